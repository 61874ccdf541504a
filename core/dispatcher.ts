import type { CallPayload } from "./call.ts";
import { CallScope, scopes } from "./current.ts";
import { CallError, errorMessage, errorName } from "./errors.ts";
import { Handle, Magic } from "./frame.ts";
import {
  type AnyFunction,
  type FunctionRef,
  pick,
  registerLibrary,
} from "./functions.ts";
import { Message } from "./message.ts";
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

interface Chain {
  tail: Promise<void>;
  failed: CallError | undefined;
}

/** Runs what others call: the function behind CALL_FUNCTION. */
export class Dispatcher {
  readonly #router: Router;
  readonly #source: ModuleSource;
  readonly #found = new Map<string, Found>();
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
    router.addHandler((message) => message.reply(undefined), {
      handle: Handle.PING,
      service: true,
    });
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
    try {
      payload = message.decode() as CallPayload;
    } catch (error) {
      return this.#fail(message, error);
    }
    const [chain] = payload;
    if (chain) {
      return this.#queue(`${message.srcId}:${chain}`, message, payload);
    }
    const found = this.#found.get(`${payload[1]}\0${payload[2]}`);
    if (found) return this.#run(found, message, payload[3]);
    this.#find(payload).then(
      (found) => this.#run(found, message, payload[3]),
      (error) => this.#fail(message, error),
    );
  }

  #queue(key: string, message: Message, payload: CallPayload): void {
    let chain = this.#chains.get(key);
    if (!chain) {
      chain = { tail: Promise.resolve(), failed: undefined };
      this.#chains.set(key, chain);
    }
    const { tail } = chain;
    chain.tail = new Promise((done) => {
      tail.then(async () => {
        const fail = (error: unknown) => {
          chain.failed ??= toCallError(error, this.#router.path);
          this.#fail(message, chain.failed);
          done();
        };
        if (chain.failed) return fail(chain.failed);
        try {
          const found = await this.#find(payload);
          this.#run(found, message, payload[3], done, fail);
        } catch (error) {
          fail(error);
        }
      });
    });
  }

  async #find([, url, name]: CallPayload): Promise<Found> {
    const key = `${url}\0${name}`;
    const known = this.#found.get(key);
    if (known) return known;
    const module = await this.#source.module([url, name]);
    const [fn, self] = url === ""
      ? pick(module, [url, "default"])
      : pick(module, [url, name]);
    const found = { fn, self };
    this.#found.set(key, found);
    return found;
  }

  #run(
    { fn, self }: Found,
    message: Message,
    args: unknown[],
    done?: () => void,
    failed?: (error: unknown) => void,
  ): void {
    const scope = new CallScope(this.#router, message);
    const fail = failed ?? ((error: unknown) => this.#fail(message, error));
    const succeed = (value: unknown) => {
      try {
        message.reply(value);
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
    const key = `${message.srcId}:${message.replyTo}`;
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
    const reply = (error: CallError) =>
      message.reply(Message.value(error, { router, magic: Magic.ERROR }));
    try {
      reply(failure);
    } catch {
      reply(bare(failure));
    }
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return value !== null && typeof value === "object" && "then" in value &&
    typeof value.then === "function";
}

/** The stack without the frames of this library and of the runtime below it. */
function cleanStack(stack: string): string {
  return stack.split("\n").filter((line) =>
    !/^\s+at .*(mitogen:core|node:async_hooks|ext:)/.test(line)
  ).join("\n");
}

function toCallError(error: unknown, path: string): CallError {
  // A chain's failure is handed to the calls after it as it is.
  if (error instanceof CallError && error.path === path) return error;
  const name = errorName(error);
  const message = errorMessage(error);
  let stack = `${name}: ${message}`;
  if (error instanceof Error && error.stack) {
    stack = cleanStack(error.stack);
    try {
      error.stack = stack;
    } catch {
      // A frozen error keeps the stack it has.
    }
  }
  return new CallError([error, path, name, stack, message]);
}

/** The same without what cannot cross. */
function bare(failure: CallError): CallError {
  const { cause, path, remoteName, remoteStack, message } = failure;
  let kept: unknown = message;
  if (cause instanceof Error) {
    kept = new Error(cause.message);
    Object.assign(kept as Error, { name: cause.name, stack: cause.stack });
  }
  return new CallError([kept, path, remoteName, remoteStack, message]);
}
