import { CallScope, scopes } from "./current.ts";
import type { End } from "./ends.ts";
import { replyFailure, toCallError } from "./failure.ts";
import { type CloseReason, Dead, DisconnectedError } from "./errors.ts";
import { Handle } from "./frame.ts";
import type { AnyFunction } from "./functions.ts";
import { Message } from "./message.ts";
import type { Router } from "./router.ts";

/** A function that was found, and the object that it is a member of. */
export interface Found {
  /** What is called. */
  fn: AnyFunction;
  /** What `this` is in it. */
  self: unknown;
}

/** What CALL_SERVICE carries; a reference of what makes the service, or none. */
export type ServicePayload = [
  name: string,
  method: string,
  args: unknown[],
  url?: string,
  maker?: string,
];

/** Runs what others call, whichever way they ask for it, and lets them cancel it. */
export class Runner {
  readonly #router: Router;
  /** Calls that wait for something, by what they are known by. */
  readonly #running = new Map<Key, CallScope>();

  /** Made by the router. */
  constructor(router: Router) {
    this.#router = router;
    // A call is named by its caller: nobody can cancel that of another.
    router.addHandler((message) => {
      this.#running.get(`${message.srcId}:${message.decode()}`)?.abort(
        new DOMException("the caller cancelled the call", "AbortError"),
      );
    }, { handle: Handle.CANCEL_CALL, service: true });
    // Until something is served here: see `services.ts` of the parent room.
    router.addHandler(async (message, link) => {
      const payload = message.decode() as ServicePayload;
      if (payload[3] === undefined || !router.hasParentAuthority(message)) {
        message.reply(Message.dead(Dead.NO_SERVICE));
        return;
      }
      const scope = this.wait(message);
      let wanted = false;
      const room = await router.parentRoom().finally(() => {
        wanted = this.ready(scope);
      });
      if (wanted) room.takeCall(router, message, link);
    }, { handle: Handle.CALL_SERVICE, service: true });
  }

  /** A call that cannot begin yet can be cancelled all the same. */
  wait(message: Message): CallScope {
    const scope = new CallScope(this.#router, message);
    this.#running.set(keyOf(message, scope), scope);
    return scope;
  }

  /** Its turn has come; answers whether it is still wanted. */
  ready(scope: CallScope): boolean {
    const key = keyOf(scope.message, scope);
    if (this.#running.get(key) === scope) this.#running.delete(key);
    return !scope.aborted;
  }

  /** Calls that have not answered yet. */
  get running(): number {
    return this.#running.size;
  }

  /** Cancels what a context has called that is gone. */
  lost(id: number, reason: CloseReason): void {
    for (const scope of this.#running.values()) {
      const { srcId, replyTo } = scope.message;
      // What nobody waits for goes on without its caller.
      if (srcId !== id || replyTo === 0) continue;
      scope.abort(new DisconnectedError(reason));
    }
  }

  /** Cancels everything that runs. */
  close(reason: unknown): void {
    for (const scope of this.#running.values()) scope.abort(reason);
  }

  /**
   * Calls a function and answers with what it returns or throws.
   *
   * @param done called when it has returned
   * @param failed called with what it throws, in place of the answer
   */
  run(
    { fn, self }: Found,
    message: Message,
    args: unknown[],
    scope: CallScope = new CallScope(this.#router, message),
    done?: () => void,
    failed?: (error: unknown) => void,
  ): void {
    const key = keyOf(message, scope);
    const fail = failed ?? ((error: unknown) => {
      // That it was cancelled is no news where nobody waits for it.
      if (message.replyTo !== 0 || !scope.aborted) this.fail(message, error);
      else settleHere(message);
    });
    const succeed = (value: unknown) => {
      try {
        const live = isPlain(value)
          ? message.reply(value)
          : scopes.run(scope, () => message.reply(value));
        if (live) this.#follow(key, scope, live);
        if (message.replyTo === 0) settleHere(message);
        done?.();
      } catch (error) {
        fail(error);
      }
    };
    let result: unknown;
    let later: Promise<unknown> | undefined;
    try {
      result = scopes.run(scope, Reflect.apply, fn, self, args);
      // What is there may be odd enough to throw when it is looked at.
      if (isThenable(result)) later = Promise.resolve(result);
    } catch (error) {
      return fail(error);
    }
    if (!later) return succeed(result);
    this.#running.set(key, scope);
    later.then(
      (value) => {
        this.#running.delete(key);
        succeed(value);
      },
      (error) => {
        this.#running.delete(key);
        fail(error);
      },
    );
  }

  /** A call whose result is live goes on until all of that is over. */
  #follow(key: Key, scope: CallScope, live: End[]): void {
    scope.live = live;
    this.#running.set(key, scope);
    let left = live.length;
    for (const end of live) {
      end.whenOver(() => {
        if (--left === 0) this.#running.delete(key);
      });
    }
  }

  /** Answers with what was thrown; logs it where nobody waits. */
  fail(message: Message, error: unknown): void {
    const router = this.#router;
    const failure = toCallError(error, router.path);
    if (message.replyTo === 0) {
      settleHere(message);
      router.log(
        "error",
        `a call that nobody waits for failed: ${failure.remoteStack}`,
      );
      return;
    }
    replyFailure(router, message, failure);
  }
}

/**
 * What a call is known by: who waits for its answer, and where. One that nobody
 * waits for has no name by which it could be cancelled.
 */
type Key = string | CallScope;

function keyOf({ srcId, replyTo }: Message, scope: CallScope): Key {
  return replyTo === 0 ? scope : `${srcId}:${replyTo}`;
}

/** A call has ended of which its caller is not told: its signals go with it. */
function settleHere({ live }: Message): void {
  for (const end of live ?? []) if (end.ofCall) end.release(undefined);
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
