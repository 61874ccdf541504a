import { AsyncLocalStorage } from "node:async_hooks";
import type { Context } from "./context.ts";
import type { End } from "./ends.ts";
import type { Message } from "./message.ts";
import type { Router } from "./router.ts";

/** How a context goes on without its parent. */
export interface DetachOptions {
  /**
   * Path of a file to which its log is appended from then on. Default: the
   * master gets it as long as there is one, and then nobody.
   */
  log?: string;
}

/** What a call knows about itself. */
export class CallScope {
  /** The router of the context that runs the call. */
  readonly router: Router;
  /** The message that asked for the call. */
  readonly message: Message;
  /** What its result holds that is live. */
  live: End[] | undefined;
  #controller: AbortController | undefined;
  readonly #outer: CallScope | undefined;
  #both: AbortSignal | undefined;

  /** Made by the dispatcher for every call. */
  constructor(router: Router, message: Message, outer?: CallScope) {
    this.router = router;
    this.message = message;
    this.#outer = outer;
  }

  /** That of a part of the call: it can end by itself, and ends with the call. */
  inner(): CallScope {
    return new CallScope(this.router, this.message, this);
  }

  /** The context that runs the call. */
  get context(): Context {
    return this.router.myself();
  }

  /** The context that opened this one. */
  get parent(): Context {
    return this.router.contextById(this.router.parentIds[0] ?? 0);
  }

  /** Fires when the caller cancels, its deadline passes, or the context ends. */
  get signal(): AbortSignal {
    const { signal } = this.#controller ??= new AbortController();
    if (!this.#outer) return signal;
    return this.#both ??= AbortSignal.any([this.#outer.signal, signal]);
  }

  /** Whether the signal has fired. */
  get aborted(): boolean {
    return this.#controller?.signal.aborted || this.#outer?.aborted || false;
  }

  /**
   * Lets this context outlive its parent: neither the parent's end nor its
   * shutdown ends it. It is part of the tree until then, and on its own
   * afterwards, with those below it. It ends when it has nothing left to do.
   *
   * @throws {TypeError} where there is no parent, or nothing to live on in
   * @throws {ChannelError} when the parent does not let it go
   */
  async detach(options: DetachOptions = {}): Promise<void> {
    await (await this.router.parentRoom()).detach(this.router, options);
  }

  /** Fires the signal. Made first if need be: who asks later must see it. */
  abort(reason: unknown): void {
    (this.#controller ??= new AbortController()).abort(reason);
    for (const end of this.live ?? []) end.dismiss(reason);
  }
}

/** Carries the scope of a call through everything that it awaits. */
export const scopes: AsyncLocalStorage<CallScope> = new AsyncLocalStorage();

/**
 * What the running call knows about itself: its context, router, parent,
 * message and signal.
 *
 * @throws {TypeError} outside of a call
 * @example
 * ```ts
 * import { current } from "@mitogen/mitogen";
 *
 * export async function grandchild(): Promise<string> {
 *   await using context = await current().router.local();
 *   return context.path;
 * }
 * ```
 */
export function current(): CallScope {
  const scope = scopes.getStore();
  if (!scope) {
    throw new TypeError(
      "Cannot use current() here: nothing that another context called is running",
    );
  }
  return scope;
}
