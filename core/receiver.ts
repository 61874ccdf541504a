import type { Context } from "./context.ts";
import { after, checkTime } from "./deadline.ts";
import { ChannelError, Dead, fromDead } from "./errors.ts";
import type { Policy } from "./handlers.ts";
import { Message } from "./message.ts";
import type { Router } from "./router.ts";
import { Sender } from "./sender.ts";

/** How a {@linkcode Receiver} is registered. */
export interface ReceiverOptions {
  /** A fixed handle. Default: the next free one. */
  handle?: number;
  /** Whether it stays after its first message. @default {true} */
  persist?: boolean;
  /** The one context that may send to it; its loss ends the receiver. */
  respondent?: Context;
  /** Who may send to it. Default: everyone. */
  policy?: Policy;
  /** Whether an earlier handler of the same handle is replaced. @default {false} */
  overwrite?: boolean;
  /**
   * Bytes that may wait to be taken; each value counts 256 more. A sender that goes past them ends the
   * receiver: nothing slows it down, and memory is finite.
   *
   * @default {67_108_864}
   */
  maxQueued?: number;
}

/** About the bytes of memory of a value that waits, beside its own. */
const VALUE_COST = 256;

/** How long to wait. */
export interface WaitOptions {
  /**
   * Milliseconds until `get()` throws a `TimeoutError`; `Infinity` is never.
   * Default: never.
   */
  timeout?: number;
  /** Ends the wait with its reason. */
  signal?: AbortSignal;
}

interface Waiter {
  resolve(message: Message): void;
  reject(error: unknown): void;
}

/**
 * A queue of values that others send to a handle of this context.
 *
 * @example
 * ```ts
 * import { Receiver, Router } from "@mitogen/mitogen";
 * import { assertEquals } from "@std/assert";
 *
 * await using router = new Router();
 * using receiver = new Receiver<number>(router);
 * receiver.toSender().send(42);
 * assertEquals(await receiver.get(), 42);
 * ```
 */
export class Receiver<T = unknown> implements AsyncIterable<T>, Disposable {
  /** The handle it receives at. */
  readonly handle: number;
  /** Called when something arrived or it ended; one slot, used by `Select`. */
  notify: ((receiver: Receiver<T>) => void) | undefined;

  readonly #router: Router;
  readonly #maxQueued: number;
  #queue: Message[] = [];
  #queued = 0;
  #waiters: Waiter[] = [];
  #end: ChannelError | undefined;
  #clean = false;

  /** Registers the handle. */
  constructor(router: Router, options: ReceiverOptions = {}) {
    this.#router = router;
    this.#maxQueued = options.maxQueued ?? 64 * 1024 * 1024;
    this.handle = router.addHandler((message) => this.#take(message), options);
  }

  /** The sending end; may be sent to other contexts. */
  toSender(): Sender<T> {
    return new Sender<T>(this.#router.myself(), this.handle);
  }

  /** How many values wait. */
  get size(): number {
    return this.#queue.length;
  }

  /** Whether nothing more will come than what waits now. */
  get ended(): boolean {
    return this.#end !== undefined;
  }

  #take(message: Message): void {
    if (message.isDead) {
      this.#clean = message.text === Dead.CLOSED;
      return this.#finish(fromDead(message.text));
    }
    message.readLive();
    const waiter = this.#waiters.shift();
    if (waiter) return waiter.resolve(message);
    this.#queued += message.size + VALUE_COST;
    if (this.#queued > this.#maxQueued) {
      this.#router.deleteHandler(this.handle);
      this.#finish(
        new ChannelError(
          `Cannot keep more than ${this.#maxQueued} bytes that nobody takes: the receiver is closed`,
        ),
      );
      return;
    }
    this.#queue.push(message.compact());
    this.notify?.(this);
  }

  #finish(error: ChannelError): void {
    if (this.#end) return;
    this.#end = error;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
    this.notify?.(this);
  }

  /**
   * The next message as it came.
   *
   * @throws {ChannelError} when the other end closed or the receiver is closed
   * @throws {DisconnectedError} when the respondent is lost
   */
  getMessage(options: WaitOptions = {}): Promise<Message> {
    const { timeout, signal } = options;
    if (timeout !== undefined) {
      try {
        checkTime("Cannot receive: timeout", timeout);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    const message = this.#queue.shift();
    if (message) {
      this.#queued -= message.size + VALUE_COST;
      return Promise.resolve(message);
    }
    if (this.#end) return Promise.reject(this.#end);
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const give = (error: unknown) => {
        this.#waiters = this.#waiters.filter((w) => w !== waiter);
        done();
        reject(error);
      };
      const abort = () => give(signal!.reason);
      const stop = after(timeout ?? Infinity, () =>
        give(
          new DOMException(
            `Cannot receive: nothing came in ${timeout} ms`,
            "TimeoutError",
          ),
        ));
      const done = () => {
        stop();
        signal?.removeEventListener("abort", abort);
      };
      const waiter: Waiter = {
        resolve: (message) => {
          done();
          resolve(message);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      };
      signal?.addEventListener("abort", abort);
      this.#waiters.push(waiter);
    });
  }

  /**
   * The next value.
   *
   * @throws what {@linkcode Receiver.getMessage} throws, and what the sender threw
   */
  async get(options?: WaitOptions): Promise<T> {
    return (await this.getMessage(options)).take() as T;
  }

  /**
   * Ends the receiver; all who wait get a `ChannelError`. What has come before
   * can still be taken, but what is live in it ends.
   */
  close(): void {
    this.#router.deleteHandler(this.handle);
    this.#clean = true;
    for (const message of this.#queue) message.leave();
    this.#finish(new ChannelError("the Receiver has been closed"));
  }

  /** Values until the sender closes; a lost respondent throws. */
  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    for (;;) {
      let message;
      try {
        message = await this.getMessage();
      } catch (error) {
        if (error === this.#end && this.#clean) return;
        throw error;
      }
      yield message.take() as T;
    }
  }

  /** The same as {@linkcode Receiver.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}
