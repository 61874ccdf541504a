import type { Message } from "./message.ts";
import { type CallScope, scopes } from "./current.ts";
import { CLOSED, creditOf, End, type Ends } from "./ends.ts";
import { ChannelError } from "./errors.ts";
import { WINDOW } from "./flow.ts";
import { Outflow } from "./outflow.ts";
import { Magic } from "./frame.ts";

/** Sends what is read from something: a stream or an iterator. */
abstract class Source extends End {
  protected readonly out: Outflow;
  #began = false;

  constructor(ends: Ends, otherId: number, credit: number) {
    super(ends, otherId);
    this.out = new Outflow(this.post, this.encode, credit);
  }

  /** What there is to send next. */
  protected abstract read(): Promise<{ done?: boolean; value?: unknown }>;

  /** Sends it. */
  protected write(value: unknown): Promise<void> | undefined {
    return this.out.write(value);
  }

  /** The other side wants no more. */
  protected abstract cancel(reason: unknown): Promise<unknown> | undefined;

  protected async pump(): Promise<void> {
    if (this.#began) return;
    this.#began = true;
    const { out } = this;
    try {
      for (;;) {
        const wait = out.ready();
        if (wait) await wait;
        const { done, value } = await this.read();
        if (out.stopped) return;
        if (done) {
          out.end();
          return this.finishBehind();
        }
        await this.write(value);
      }
    } catch (error) {
      // Stopped: whoever did it sees to the rest.
      if (out.stopped) return;
      out.fail(error);
      await this.#close(error);
    }
  }

  async #close(reason: unknown): Promise<void> {
    try {
      await this.cancel(reason);
    } catch {
      // It has nobody to tell.
    }
    this.finish();
  }

  override receive(message: Message): void {
    if (message.magic === Magic.BYTES) {
      this.out.grant(creditOf(message));
      void this.pump();
      return;
    }
    let reason: unknown;
    try {
      reason = message.decode();
    } catch (error) {
      reason = error;
    }
    void this.#stop(reason);
  }

  /** Ends it for the other side, which waits to hear that it has ended. */
  async #stop(reason: unknown): Promise<void> {
    this.out.stop(reason);
    this.drop(reason);
    try {
      await this.cancel(reason);
    } catch {
      // It has nobody to tell.
    }
    this.refuse(new ChannelError(CLOSED));
    this.finish();
  }

  override lost(error: unknown): void {
    this.out.stop(error);
    void this.#close(error);
  }

  override release(reason: unknown): void {
    if (this.over) return;
    if (this.out.stopped) return this.drop(reason);
    const error = reason ?? new ChannelError(CLOSED);
    this.out.fail(error);
    void this.#close(error);
  }
}

/** The owner's end of a stream that others read. */
export class ReadableSource extends Source {
  readonly #stream: ReadableStream;
  #reader: ReadableStreamDefaultReader | undefined;

  constructor(ends: Ends, otherId: number, stream: ReadableStream) {
    super(ends, otherId, WINDOW);
    this.#stream = stream;
  }

  protected override start(): void {
    if (this.over) return;
    try {
      this.#reader = this.#stream.getReader();
    } catch (error) {
      return this.release(error);
    }
    void this.pump();
  }

  protected override read(): Promise<ReadableStreamReadResult<unknown>> {
    return this.#reader!.read();
  }

  protected override cancel(reason: unknown): Promise<unknown> {
    return (this.#reader ?? this.#stream).cancel(reason);
  }
}

type AnyIterator = Iterator<unknown> | AsyncIterator<unknown>;

/** The owner's end of an iterable: it runs here. */
export class IterableSource extends Source {
  readonly #iterable: AsyncIterable<unknown> | AnyIterator;
  readonly #call: CallScope | undefined;
  readonly #scope: CallScope | undefined;
  #iterator: AnyIterator | undefined;

  constructor(
    ends: Ends,
    otherId: number,
    iterable: AsyncIterable<unknown> | AnyIterator,
  ) {
    // The first step that is asked for gives credit: nothing runs before.
    super(ends, otherId, 0);
    this.#iterable = iterable;
    // A generator runs in here for the call that it is of.
    this.#call = scopes.getStore();
    this.#scope = this.#call?.inner();
  }

  #run<T>(work: () => T): T {
    return this.#scope ? scopes.run(this.#scope, work) : work();
  }

  protected override async read(): Promise<IteratorResult<unknown>> {
    return await this.#run(() => {
      this.#iterator ??= Symbol.asyncIterator in this.#iterable
        ? this.#iterable[Symbol.asyncIterator]()
        : this.#iterable;
      return this.#iterator.next();
    });
  }

  /** Each is a step of its own, bytes as well. */
  protected override write(value: unknown): Promise<void> {
    return this.out.value(value);
  }

  protected override cancel(reason: unknown): Promise<unknown> | undefined {
    const iterator = this.#iterator ??
      ("return" in this.#iterable ? this.#iterable : undefined);
    // What it waits for may be waiting for this; or for the end of the call,
    // if that goes on for the sake of nothing else.
    this.#scope?.abort(reason);
    const live = this.#call?.live;
    if (live?.includes(this) && live.every((e) => e === this || e.over)) {
      this.#call!.abort(reason);
    }
    const result = this.#run(() => iterator?.return?.());
    return result instanceof Promise ? result : undefined;
  }
}

/** A stream that is written somewhere else than where it goes to. */
export class WritableSource extends End {
  readonly stream: WritableStream;
  readonly #out: Outflow;
  readonly #closed: PromiseWithResolvers<void> = Promise.withResolvers();
  #controller!: WritableStreamDefaultController;

  constructor(ends: Ends, otherId: number, handle: number) {
    super(ends, otherId, handle);
    this.#closed.promise.catch(() => {});
    const out = new Outflow(this.post, this.encode, WINDOW);
    this.#out = out;
    this.stream = new WritableStream({
      start: (controller) => {
        this.#controller = controller;
      },
      write: (chunk) => out.write(chunk),
      close: () => {
        out.end();
        return this.#closed.promise;
      },
      abort: (reason) => {
        out.fail(reason);
        this.finish();
      },
    });
    if (ends.greets) this.grant(0);
  }

  override receive(message: Message): void {
    if (message.magic === Magic.BYTES) {
      return this.#out.grant(creditOf(message));
    }
    if (message.magic === Magic.TEXT) {
      this.#closed.resolve();
      return this.finish();
    }
    try {
      message.decode();
    } catch (error) {
      this.drop(error);
      this.lost(error);
    }
  }

  override lost(error: unknown): void {
    this.#out.stop(error);
    this.#closed.reject(error);
    this.#controller.error(error);
    this.finish();
  }

  override release(reason: unknown): void {
    if (this.over) return;
    const error = reason ?? new ChannelError(CLOSED);
    this.#out.fail(error);
    this.lost(error);
  }
}
