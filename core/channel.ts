import type { Context } from "./context.ts";
import { Receiver, type WaitOptions } from "./receiver.ts";
import type { Router } from "./router.ts";
import { Sender } from "./sender.ts";

/** Which handles a {@linkcode Channel} joins. */
export interface ChannelOptions {
  /** The handle of the other end. */
  dstHandle: number;
  /** The handle of this end. Default: the next free one. */
  handle?: number;
}

/** A two-way conversation with one other context: a sender and a receiver. */
export class Channel<T = unknown> implements AsyncIterable<T>, Disposable {
  /** Where values come in. */
  readonly receiver: Receiver<T>;
  /** Where values go out. */
  readonly sender: Sender<T>;

  /**
   * Joins a handle here and one there.
   *
   * @param context the other end
   */
  constructor(router: Router, context: Context, options: ChannelOptions) {
    const { dstHandle, handle } = options;
    this.receiver = new Receiver<T>(router, {
      respondent: context,
      ...(handle === undefined ? {} : { handle }),
    });
    this.sender = new Sender<T>(context, dstHandle);
  }

  /** The handle of this end. */
  get handle(): number {
    return this.receiver.handle;
  }

  /** Sends a value. */
  send(value: T): void {
    this.sender.send(value);
  }

  /** The next value. */
  get(options?: WaitOptions): Promise<T> {
    return this.receiver.get(options);
  }

  /** Closes both directions. */
  close(): void {
    this.sender.close();
    this.receiver.close();
  }

  /** Values until the other end closes. */
  [Symbol.asyncIterator](): AsyncIterator<T> {
    return this.receiver[Symbol.asyncIterator]();
  }

  /** The same as {@linkcode Channel.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}
