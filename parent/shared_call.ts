import { type CallScope, scopes } from "../core/mod.ts";

/** A call whose result more than one waits for. */
export class Shared {
  readonly #scope: CallScope;
  readonly #forget: () => void;
  readonly #result: Promise<unknown>;
  #waiting = 0;

  /**
   * Begins it. It has a signal of its own: no single caller cancels it.
   *
   * @param forget called when nobody may join it any more
   */
  constructor(scope: CallScope, work: () => unknown, forget: () => void) {
    this.#scope = scope;
    this.#forget = forget;
    // In a turn of its own, so that it cannot be over before it is known.
    this.#result = scopes.run(scope, async () => await work());
    this.#result.then(forget, forget);
  }

  /** Waits for it. When all who wait have given up, it is cancelled. */
  async join(signal: AbortSignal): Promise<unknown> {
    this.#waiting++;
    const gaveUp = Promise.withResolvers<never>();
    const abort = () => {
      gaveUp.reject(signal.reason);
      if (--this.#waiting > 0) return;
      this.#forget();
      this.#scope.abort(signal.reason);
    };
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort);
    try {
      return await Promise.race([this.#result, gaveUp.promise]);
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }
}
