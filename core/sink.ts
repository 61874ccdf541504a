import type { Message } from "./message.ts";
import { atMost } from "./at_most.ts";
import { CLOSED, End, type Ends } from "./ends.ts";
import { ChannelError } from "./errors.ts";
import { ITEM_WINDOW, WINDOW } from "./flow.ts";
import { Inflow, type Waiter } from "./inflow.ts";
import { Magic } from "./frame.ts";

/** Milliseconds that who leaves an iteration waits for its `finally`. */
const PATIENCE = 1000;

/** Takes what the other side sends. */
abstract class Sink extends End {
  protected readonly in: Inflow;

  constructor(
    ends: Ends,
    otherId: number,
    handle: number | undefined,
    window: number,
  ) {
    super(ends, otherId, handle);
    this.in = new Inflow({
      grant: (credit) => this.grant(credit),
      decode: (data) => ends.decode(data, otherId, true),
      grow: (bytes) => ends.grow(bytes),
      budget: ends.budgetOf(otherId),
      maxSize: ends.router.maxMessageSize,
    }, window);
    if (handle !== undefined && ends.greets) this.grant(0);
  }

  override receive(message: Message): void {
    if (message.magic === Magic.FLOW) {
      this.in.push(message);
      if (this.in.ended) this.ended();
      return;
    }
    // A greeting.
    if (message.magic === Magic.BYTES) return;
    let error: unknown = new ChannelError(CLOSED);
    try {
      message.decode();
    } catch (thrown) {
      error = thrown;
    }
    this.in.finish({ error });
    this.ended();
  }

  /** Nothing more will come. */
  protected ended(): void {
    this.conclude();
  }

  protected conclude(): void {
    this.in.close();
    this.finish();
  }

  override lost(error: unknown): void {
    this.in.finish({ error });
    this.conclude();
  }

  override release(reason: unknown): void {
    if (this.over) return;
    const error = reason ?? new ChannelError(CLOSED);
    this.refuse(error);
    this.in.discard();
    this.in.finish({ error });
    this.conclude();
  }
}

/** A stream that is read somewhere else than where it comes from. */
export class ReadableSink extends Sink {
  readonly stream: ReadableStream;

  constructor(ends: Ends, otherId: number, handle: number) {
    super(ends, otherId, handle, WINDOW);
    let waiter!: Waiter;
    this.stream = new ReadableStream({
      start: (controller) => {
        waiter = {
          resolve: ({ done, value }) => {
            if (done) controller.close();
            else controller.enqueue(value);
          },
          reject: (error) => controller.error(error),
        };
      },
      // No promise: the stream would wait for it as well, piece by piece.
      pull: () => {
        const step = this.in.step();
        if (step) waiter.resolve(step);
        else this.in.wait(waiter);
      },
      cancel: (reason) => {
        this.release(reason);
        this.in.discard();
      },
    }, { highWaterMark: 0 });
  }
}

/** Values that are made somewhere else, as far ahead as there is credit. */
export class IterableSink extends Sink {
  readonly iterator: AsyncGenerator<unknown, undefined>;
  #open = false;
  #closing = false;

  constructor(ends: Ends, otherId: number, handle: number) {
    super(ends, otherId, handle, 0);
    this.iterator = {
      next: async () => await this.#step(),
      return: async () => {
        await this.#close(undefined);
        return { done: true, value: undefined };
      },
      throw: async (error: unknown) => {
        await this.#close(error);
        throw error;
      },
      [Symbol.asyncIterator]() {
        return this;
      },
      [Symbol.asyncDispose]: () => this.#close(undefined),
    } as AsyncGenerator<unknown, undefined>;
  }

  #tail: Promise<unknown> = Promise.resolve();

  /** Steps that are asked for at once come one after another. */
  #step(): Promise<IteratorResult<unknown, undefined>> {
    const step = this.#tail.then(() => {
      if (this.#closing) return { done: true, value: undefined } as const;
      if (!this.#open) {
        this.#open = true;
        this.in.open(ITEM_WINDOW);
      }
      return this.in.next();
    });
    this.#tail = step.catch(() => {});
    return step;
  }

  /** Resolves when the other side has run what it does at the end, or is late. */
  async #close(reason: unknown): Promise<void> {
    this.#closing = true;
    if (!this.over) {
      this.refuse(
        reason ?? new DOMException("the reader has left", "AbortError"),
      );
      const over = new Promise<void>((resolve) => this.whenOver(resolve));
      // One that is in the middle of a step, and looks at no signal, may never
      // come to its end.
      await atMost(PATIENCE, over);
    }
    this.in.discard();
  }
}

/** The owner's end of a stream that others write to. */
export class WritableSink extends Sink {
  readonly #target: WritableStream;
  #writer: WritableStreamDefaultWriter | undefined;

  constructor(ends: Ends, otherId: number, target: WritableStream) {
    super(ends, otherId, undefined, WINDOW);
    this.#target = target;
  }

  protected override start(): void {
    if (this.over) return;
    try {
      this.#writer = this.#target.getWriter();
    } catch (error) {
      return this.release(error);
    }
    void this.#pump(this.#writer);
  }

  async #pump(writer: WritableStreamDefaultWriter): Promise<void> {
    // Broken from behind, it is to be known without a write.
    writer.closed.catch((error) => this.release(error));
    try {
      for (;;) {
        const { done, value } = await this.in.next();
        if (done) break;
        await writer.write(value);
      }
      await writer.close();
      // The other side waits to hear that all of it has been written.
      this.post({ magic: Magic.TEXT });
      this.conclude();
    } catch (error) {
      await writer.abort(error).catch(() => {});
      this.release(error);
    }
  }

  /** Its end is when all is written. */
  protected override ended(): void {}

  override lost(error: unknown): void {
    super.lost(error);
    if (!this.#writer) void this.#target.abort(error).catch(() => {});
  }
}
