import { Message } from "./message.ts";
import { dismissAll, settle } from "./call.ts";
import { type CallScope, scopes } from "./current.ts";
import { End, type Ends } from "./ends.ts";
import { ChannelError } from "./errors.ts";
import { replyFailure, toCallError } from "./failure.ts";
import { Magic } from "./frame.ts";
import type { AnyFunction } from "./functions.ts";

/** The owner's end of a callback: it runs here. */
export class CallbackOwner extends End {
  override readonly ofCall = true;
  readonly #fn: AnyFunction;
  readonly #scope: CallScope | undefined = scopes.getStore();

  constructor(ends: Ends, otherId: number, fn: AnyFunction) {
    super(ends, otherId);
    this.#fn = fn;
  }

  override receive(message: Message): void {
    if (message.magic === Magic.TEXT) return this.finish();
    // A greeting.
    if (message.magic === Magic.BYTES) return;
    void this.#call(message);
  }

  async #call(message: Message): Promise<void> {
    const { router } = this.ends;
    try {
      const args = message.take() as unknown[];
      const run = () => Reflect.apply(this.#fn, undefined, args);
      const value = await (this.#scope ? scopes.run(this.#scope, run) : run());
      message.reply(value);
    } catch (error) {
      replyFailure(router, message, toCallError(error, router.path));
    }
  }

  override lost(): void {
    this.finish();
  }

  override release(): void {
    this.finish();
  }
}

/** A function that lives elsewhere. */
type Callback = ((...args: unknown[]) => Promise<unknown>) & Disposable;

/** Callbacks that nobody holds any more are let go of on the other side. */
const forgotten = new FinalizationRegistry<() => void>((release) => release());

/** Makes the other end of a callback. */
export function callbackPeer(
  ends: Ends,
  otherId: number,
  handle: number,
): Callback {
  const { router } = ends;
  const context = router.contextById(otherId);
  const to = { router, dstId: otherId, handle };
  if (ends.greets) {
    const data = new Uint8Array(4);
    router.answer(new Message({ ...to, magic: Magic.BYTES, data }));
  }
  let released = false;
  const release = () => {
    if (released) return;
    released = true;
    router.route(new Message({ ...to, magic: Magic.TEXT }));
  };
  const call = (...args: unknown[]) =>
    new Promise<unknown>((resolve, reject) => {
      if (released) {
        throw new ChannelError("Cannot call it: the callback was released");
      }
      const message = Message.value(args, to);
      message.replyTo = router.addHandler((reply) => {
        try {
          const value = reply.take();
          settle(message.live, reply.live);
          resolve(value);
        } catch (error) {
          dismissAll(message.live, error);
          reject(error);
        }
      }, { persist: false, respondent: context });
      router.route(message);
    });
  const callback: Callback = Object.assign(call, { [Symbol.dispose]: release });
  forgotten.register(callback, release);
  return callback;
}

/**
 * Lets go of a callback that came from another context, before the garbage
 * collector does. Does nothing to any other function.
 *
 * @example
 * ```ts
 * import { release } from "@mitogen/mitogen";
 *
 * export async function report(progress: (done: number) => Promise<void>) {
 *   for (let done = 0; done <= 100; done += 10) await progress(done);
 *   release(progress);
 * }
 * ```
 */
export function release(callback: (...args: never[]) => unknown): void {
  (callback as Partial<Disposable>)[Symbol.dispose]?.();
}
