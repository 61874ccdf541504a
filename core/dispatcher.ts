import type { CallPayload } from "./call.ts";
import { scopes } from "./current.ts";
import type { CallError } from "./errors.ts";
import { toCallError } from "./failure.ts";
import { Handle } from "./frame.ts";
import { type FunctionRef, pick, registerLibrary } from "./functions.ts";
import type { Message } from "./message.ts";
import type { Router } from "./router.ts";
import type { Found } from "./runner.ts";

/** Where the dispatcher gets its functions from. */
export interface ModuleSource {
  /** The module of a reference; at once when it is loaded already. */
  module(ref: FunctionRef): unknown | Promise<unknown>;
}

/** Names of the functions that a module exports. */
export async function exportsOf(url: string): Promise<string[]> {
  const { functions } = scopes.getStore()!.router;
  const module = await functions.load(url) as Record<string, unknown>;
  return Object.keys(module).filter((key) => typeof module[key] === "function");
}
registerLibrary("mitogen:core", { exportsOf });

/** A function as a caller has named it, and as it was found. */
interface Called {
  ref: FunctionRef;
  found?: Found;
}

interface Chain {
  tail: Promise<void>;
  failed: CallError | undefined;
}

/** Runs what others call: the function behind CALL_FUNCTION. */
export class Dispatcher {
  readonly #router: Router;
  readonly #source: ModuleSource;
  /** What callers have called here, by their id and their number for it. */
  readonly #called = new Map<number, Map<number, Called>>();
  readonly #chains = new Map<string, Chain>();

  constructor(router: Router, source: ModuleSource) {
    this.#router = router;
    this.#source = source;
    const policy = (message: Message) => router.hasParentAuthority(message);
    router.addHandler((message) => this.#take(message), {
      handle: Handle.CALL_FUNCTION,
      policy,
      service: true,
    });
    router.addHandler((message) => {
      this.#chains.delete(`${message.srcId}:${message.decode()}`);
    }, { handle: Handle.FORGET_CHAIN, policy, service: true });
  }

  #take(message: Message): void {
    let payload: CallPayload;
    let called: Called;
    try {
      payload = message.take() as CallPayload;
      called = this.#calledBy(message.srcId, payload);
    } catch (error) {
      return this.#router.runner.fail(message, error);
    }
    const [chain, , args] = payload;
    if (chain) {
      return this.#queue(`${message.srcId}:${chain}`, message, called, args);
    }
    const { runner } = this.#router;
    if (called.found) return runner.run(called.found, message, args);
    const scope = runner.wait(message);
    this.#find(called).then(
      (found) => {
        if (runner.ready(scope)) runner.run(found, message, args, scope);
      },
      (error) => {
        runner.ready(scope);
        runner.fail(message, error);
      },
    );
  }

  #calledBy(srcId: number, [, id, , url, name]: CallPayload): Called {
    let numbers = this.#called.get(srcId);
    if (!numbers) this.#called.set(srcId, numbers = new Map());
    if (url !== undefined) numbers.set(id, { ref: [url, name!] });
    const called = numbers.get(id);
    if (called) return called;
    throw new RangeError(`Cannot call function ${id}: it was never named`);
  }

  #queue(key: string, message: Message, called: Called, args: unknown[]): void {
    let chain = this.#chains.get(key);
    if (!chain) {
      chain = { tail: Promise.resolve(), failed: undefined };
      this.#chains.set(key, chain);
    }
    const { tail } = chain;
    const { runner } = this.#router;
    const scope = runner.wait(message);
    chain.tail = new Promise((done) => {
      tail.then(async () => {
        const fail = (error: unknown) => {
          runner.ready(scope);
          chain.failed ??= toCallError(error, this.#router.path);
          runner.fail(message, chain.failed);
          done();
        };
        try {
          if (chain.failed) throw chain.failed;
          const found = await this.#find(called);
          // Cancelled before its turn: it never runs, and nobody waits for it.
          if (!runner.ready(scope)) return done();
          runner.run(found, message, args, scope, done, fail);
        } catch (error) {
          fail(error);
        }
      });
    });
  }

  async #find(called: Called): Promise<Found> {
    return called.found ??= await findFunction(this.#source, called.ref);
  }
}

/** Finds what a reference stands for. */
export async function findFunction(
  source: ModuleSource,
  [url, name]: FunctionRef,
): Promise<Found> {
  const module = await source.module([url, name]);
  const [fn, self] = pick(module, [url, url === "" ? "default" : name]);
  return { fn, self };
}
