import type { Context } from "./context.ts";
import { Dead } from "./errors.ts";
import { Message } from "./message.ts";

/**
 * The sending end of a {@linkcode Receiver}, here or anywhere in the tree.
 * Crosses between contexts as a value.
 */
export class Sender<T = unknown> implements Disposable {
  /** The context that receives. */
  readonly context: Context;
  /** The handle it receives at. */
  readonly handle: number;
  /** All that goes to one handle arrives in order, whatever its size. */
  readonly #lane: string;

  /** Sends to a handle of a context. */
  constructor(context: Context, handle: number) {
    this.context = context;
    this.handle = handle;
    this.#lane = `${context.id}:${handle}`;
  }

  /**
   * Sends a value. Does not wait for it to arrive.
   *
   * @throws {CodecError} when the value cannot cross
   */
  send(value: T): void {
    const { context, handle } = this;
    const { router } = context;
    const message = Message.value(value, { router, dstId: context.id, handle });
    message.lane = this.#lane;
    router.route(message);
  }

  /** Tells the receiver that nothing more will come. */
  close(): void {
    const { context: { id: dstId, router }, handle } = this;
    const message = Message.dead(Dead.CLOSED, { dstId, handle });
    message.lane = this.#lane;
    router.route(message);
  }

  /** The same as {@linkcode Sender.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}
