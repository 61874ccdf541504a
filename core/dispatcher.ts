import type { CallPayload } from "./call.ts";
import type { End } from "./ends.ts";
import { CallScope, scopes } from "./current.ts";
import type { CallError } from "./errors.ts";
import { replyFailure, toCallError } from "./failure.ts";
import { Handle } from "./frame.ts";
import {
  type AnyFunction,
  type FunctionRef,
  pick,
  registerLibrary,
} from "./functions.ts";
import type { Message } from "./message.ts";
import type { Router } from "./router.ts";

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

interface Found {
  fn: AnyFunction;
  self: unknown;
}

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
  /** Calls that wait for something, by caller and reply handle. */
  readonly #running = new Map<string, CallScope>();

  constructor(router: Router, source: ModuleSource) {
    this.#router = router;
    this.#source = source;
    const policy = (message: Message) => router.hasParentAuthority(message);
    router.addHandler((message) => this.#take(message), {
      handle: Handle.CALL_FUNCTION,
      policy,
      service: true,
    });
    router.addHandler((message) => this.#cancel(message), {
      handle: Handle.CANCEL_CALL,
      policy,
      service: true,
    });
    router.addHandler((message) => {
      this.#chains.delete(`${message.srcId}:${message.decode()}`);
    }, { handle: Handle.FORGET_CHAIN, policy, service: true });
  }

  /** Calls that have not answered yet. */
  get running(): number {
    return this.#running.size;
  }

  /** Cancels everything that runs. */
  close(reason: unknown): void {
    for (const scope of this.#running.values()) scope.abort(reason);
  }

  #take(message: Message): void {
    let payload: CallPayload;
    let called: Called;
    try {
      payload = message.decode() as CallPayload;
      called = this.#calledBy(message.srcId, payload);
    } catch (error) {
      return this.#fail(message, error);
    }
    const [chain, , args] = payload;
    if (chain) {
      return this.#queue(`${message.srcId}:${chain}`, message, called, args);
    }
    if (called.found) return this.#run(called.found, message, args);
    const scope = this.#wait(message);
    this.#find(called).then(
      (found) => {
        if (!this.#ready(scope)) return;
        this.#run(found, message, args, scope);
      },
      (error) => {
        this.#ready(scope);
        this.#fail(message, error);
      },
    );
  }

  /** A call that cannot begin yet can be cancelled all the same. */
  #wait(message: Message): CallScope {
    const scope = new CallScope(this.#router, message);
    if (message.replyTo !== 0) this.#running.set(keyOf(message), scope);
    return scope;
  }

  /** Its turn has come; answers whether it is still wanted. */
  #ready(scope: CallScope): boolean {
    const key = keyOf(scope.message);
    if (this.#running.get(key) === scope) this.#running.delete(key);
    return !scope.aborted;
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
    const scope = this.#wait(message);
    chain.tail = new Promise((done) => {
      tail.then(async () => {
        const fail = (error: unknown) => {
          this.#ready(scope);
          chain.failed ??= toCallError(error, this.#router.path);
          this.#fail(message, chain.failed);
          done();
        };
        try {
          if (chain.failed) throw chain.failed;
          const found = await this.#find(called);
          // Cancelled before its turn: it never runs, and nobody waits for it.
          if (!this.#ready(scope)) return done();
          this.#run(found, message, args, scope, done, fail);
        } catch (error) {
          fail(error);
        }
      });
    });
  }

  async #find(called: Called): Promise<Found> {
    if (called.found) return called.found;
    const [url, name] = called.ref;
    const module = await this.#source.module(called.ref);
    const [fn, self] = pick(
      module,
      url === "" ? [url, "default"] : [url, name],
    );
    return called.found = { fn, self };
  }

  #run(
    { fn, self }: Found,
    message: Message,
    args: unknown[],
    scope: CallScope = new CallScope(this.#router, message),
    done?: () => void,
    failed?: (error: unknown) => void,
  ): void {
    const key = keyOf(message);
    const fail = failed ?? ((error: unknown) => this.#fail(message, error));
    const succeed = (value: unknown) => {
      try {
        const live = isPlain(value)
          ? message.reply(value)
          : scopes.run(scope, () => message.reply(value));
        if (live) this.#follow(key, scope, live);
        done?.();
      } catch (error) {
        fail(error);
      }
    };
    let result: unknown;
    try {
      result = scopes.run(scope, Reflect.apply, fn, self, args);
    } catch (error) {
      return fail(error);
    }
    if (!isThenable(result)) return succeed(result);
    if (message.replyTo !== 0) this.#running.set(key, scope);
    const end = () => this.#running.delete(key);
    result.then(
      (value) => {
        end();
        succeed(value);
      },
      (error) => {
        end();
        fail(error);
      },
    );
  }

  /** A call whose result is live goes on until all of that is over. */
  #follow(key: string, scope: CallScope, live: End[]): void {
    scope.live = live;
    this.#running.set(key, scope);
    let left = live.length;
    for (const end of live) {
      end.whenOver(() => {
        if (--left === 0) this.#running.delete(key);
      });
    }
  }

  #cancel(message: Message): void {
    this.#running.get(`${message.srcId}:${message.decode()}`)?.abort(
      new DOMException("the caller cancelled the call", "AbortError"),
    );
  }

  #fail(message: Message, error: unknown): void {
    const router = this.#router;
    const failure = toCallError(error, router.path);
    if (message.replyTo === 0) {
      router.log(
        "error",
        `a call that nobody waits for failed: ${failure.remoteStack}`,
      );
      return;
    }
    replyFailure(router, message, failure);
  }
}

/** What a call is known by: who waits for its answer, and where. */
function keyOf({ srcId, replyTo }: Message): string {
  return `${srcId}:${replyTo}`;
}

/** Whether nothing in a result can be live. */
function isPlain(value: unknown): boolean {
  return typeof value !== "object" && typeof value !== "function" ||
    value === null;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return value !== null && typeof value === "object" && "then" in value &&
    typeof value.then === "function";
}
