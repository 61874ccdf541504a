import { Channel } from "./channel.ts";
import type { Receiver } from "./receiver.ts";

/** What a {@linkcode Select} can wait for. */
export type Source<T = unknown> = Receiver<T> | Channel<T> | Select<T>;

/** One value and where it came from. */
export interface SelectEvent<T> {
  /** The source as it was added. */
  source: Source<T>;
  /** The value. */
  data: T;
}

/** How a {@linkcode Select} treats its sources. */
export interface SelectOptions {
  /** Whether a source leaves after its first value. @default {true} */
  oneshot?: boolean;
}

/**
 * Waits for several sources at once; values come in the order of arrival.
 *
 * @example
 * ```ts
 * import { Receiver, Router, Select } from "@mitogen/mitogen";
 * import { assertEquals } from "@std/assert";
 *
 * await using router = new Router();
 * using a = new Receiver<string>(router);
 * using b = new Receiver<string>(router);
 * b.toSender().send("b");
 * a.toSender().send("a");
 * assertEquals(await Array.fromAsync(Select.all([a, b])), ["b", "a"]);
 * ```
 */
export class Select<T = unknown> implements AsyncIterable<T>, Disposable {
  /** Called when something is ready; one slot, used by an outer `Select`. */
  notify: ((select: Select<T>) => void) | undefined;

  readonly #sources = new Map<Source<T>, Source<T>>();
  readonly #oneshot: boolean;
  /** Inner sources in order of arrival, one entry a value. */
  #ready: Source<T>[] = [];
  #waiters: PromiseWithResolvers<void>[] = [];
  #closed = false;

  /**
   * Waits for these sources.
   *
   * @throws {TypeError} when one of them belongs to another `Select`
   */
  constructor(sources: Iterable<Source<T>> = [], options: SelectOptions = {}) {
    this.#oneshot = options.oneshot ?? true;
    for (const source of sources) this.add(source);
  }

  /** One value from each source, in the order of arrival. */
  static async *all<T>(sources: Iterable<Source<T>>): AsyncGenerator<T> {
    using select = new Select<T>(sources);
    while (select.length > 0) yield await select.get();
  }

  /** How many sources it waits for. */
  get length(): number {
    return this.#sources.size;
  }

  /** How many values are ready. */
  get size(): number {
    return this.#ready.length;
  }

  /** Adds a source. */
  add(source: Source<T>): void {
    const inner = source instanceof Channel ? source.receiver : source;
    if (inner instanceof Select && inner.#reaches(this)) {
      throw new TypeError("Cannot add this Select: it would wait for itself");
    }
    if (inner.notify) {
      throw new TypeError(
        "Cannot add this source: it already belongs to a Select",
      );
    }
    this.#sources.set(inner, source);
    inner.notify = () => this.#wake(inner);
    // What waited before counts too.
    for (let i = inner.size; i > 0; i--) this.#wake(inner);
    if (!(inner instanceof Select) && inner.ended && inner.size === 0) {
      this.#wake(inner);
    }
  }

  #reaches(other: Select<T>): boolean {
    return other === this ||
      [...this.#sources.keys()].some((s) =>
        s instanceof Select && s.#reaches(other)
      );
  }

  /** Removes a source. */
  remove(source: Source<T>): void {
    const inner = source instanceof Channel ? source.receiver : source;
    if (!this.#sources.delete(inner)) {
      throw new TypeError("Cannot remove this source: it was not added");
    }
    inner.notify = undefined;
    this.#ready = this.#ready.filter((s) => s !== inner);
  }

  #wake(source: Source<T>): void {
    this.#ready.push(source);
    this.#waiters.shift()?.resolve();
    this.notify?.(this);
  }

  /**
   * The next value and its source.
   *
   * @throws {RangeError} when there is no source to wait for
   */
  async getEvent(): Promise<SelectEvent<T>> {
    for (;;) {
      if (this.#closed) throw new TypeError("Cannot get: the Select is closed");
      const inner = this.#ready.shift();
      if (!inner) {
        if (this.#sources.size === 0) {
          throw new RangeError("Cannot get: the Select has no sources");
        }
        const waiter = Promise.withResolvers<void>();
        this.#waiters.push(waiter);
        await waiter.promise;
        continue;
      }
      const source = this.#sources.get(inner);
      if (!source) continue;
      if (inner instanceof Select) {
        if (inner.size === 0) continue;
        const event = await inner.getEvent();
        if (this.#oneshot && inner.length === 0) this.remove(source);
        return event;
      }
      const receiver = inner as Receiver<T>;
      // Somebody else may have taken it meanwhile.
      if (receiver.size === 0 && !receiver.ended) continue;
      if (this.#oneshot || receiver.ended && receiver.size === 0) {
        this.remove(source);
      }
      return { source, data: await receiver.get() };
    }
  }

  /** The next value. */
  async get(): Promise<T> {
    return (await this.getEvent()).data;
  }

  /** Lets go of all sources; those who wait get an error. */
  close(): void {
    this.#closed = true;
    for (const inner of [...this.#sources.keys()]) this.remove(inner);
    for (const waiter of this.#waiters.splice(0)) waiter.resolve();
  }

  /** Values until no source is left. */
  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    while (this.#sources.size > 0) yield await this.get();
  }

  /** The same as {@linkcode Select.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}
