import type { CallOptions } from "./call.ts";
import { after } from "./deadline.ts";

/**
 * Makes a call whose function has to be found, or handed in, first: its
 * deadline and its signal are for that as well. It is not sent when they have
 * come before.
 *
 * @param path of the context, for the error
 * @param ready settles when nothing more is to be waited for before that
 * @param send looks at the call when it sends it: what is told of it changes
 */
export function underDeadline<T, C extends CallOptions>(
  path: string,
  given: C,
  ready: Promise<unknown>,
  send: (call: C) => Promise<T>,
): Promise<T> {
  const { signal, timeout } = given;
  // Whoever sends waits for it as well, and says what is wrong.
  ready.catch(() => {});
  // It says itself what is no time.
  if (!signal && timeout === undefined || !((timeout ?? 0) >= 0)) {
    return send(given);
  }
  const call = { ...given };
  const end = performance.now() + (timeout ?? 0);
  return new Promise((resolve, reject) => {
    const giveUp = (reason: unknown) => {
      call.signal = AbortSignal.abort(reason);
      reject(reason);
    };
    const abort = () => giveUp(signal!.reason);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
    const stop = after(
      timeout ?? Infinity,
      () =>
        giveUp(
          new DOMException(
            `Cannot wait longer for ${path}: the call took more than ${timeout} ms`,
            "TimeoutError",
          ),
        ),
    );
    const found = () => {
      signal?.removeEventListener("abort", abort);
      // A little more: it is the timer here that says how long it was.
      if (timeout !== undefined) {
        call.timeout = Math.max(1, Math.ceil(end - performance.now()) + 1);
      }
    };
    ready.then(found, found);
    send(call).then(resolve, reject).finally(stop);
  });
}
