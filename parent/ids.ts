import { Handle, Message, type Router } from "../core/mod.ts";

/** First id of a range, and the first that is not in it. */
export type Range = [start: number, end: number];

/** Ids in one block. */
const BLOCK = 1000;

/** How many blocks the contexts below one neighbour may have. */
const MAX_BLOCKS = 64;

/**
 * Gives out the ids of contexts. The master counts; everyone else has a block
 * from its parent and asks for another when it is used up.
 *
 * Each parent knows which ids it gave to whom, so that a context cannot claim
 * one that is not its own; see `RouteMonitor`.
 */
export class Ids {
  readonly #router: Router;
  #block: Range;
  #more: Promise<void> | undefined;

  constructor(router: Router) {
    this.#router = router;
    this.#block = router.id === 0
      ? [1, 2 ** 32]
      : [...(router.ids ?? [0, 0])] as Range;
  }

  /** One id, for a context that is opened here. */
  async one(): Promise<number> {
    while (this.#block[0] >= this.#block[1]) await this.#refill();
    return this.#block[0]++;
  }

  /** What a new child gets to begin with: a part of what is left, or nothing. */
  share(): Range | undefined {
    const [start, end] = this.#block;
    const size = Math.min(BLOCK, Math.floor((end - start) / 10));
    if (size === 0) return undefined;
    // From the far end, so that the ids of one's own stay small.
    return [this.#block[1] -= size, end];
  }

  /** A whole block, for a child that asks. */
  async block(): Promise<Range> {
    return this.#router.id === 0 ? this.#cut(BLOCK) : await this.#ask();
  }

  #cut(size: number): Range {
    const start = this.#block[0];
    if (start + size > this.#block[1]) {
      throw new RangeError("Cannot give out an id: none is left");
    }
    this.#block[0] += size;
    return [start, start + size];
  }

  #refill(): Promise<void> {
    return this.#more ??= this.#ask().then((block) => {
      this.#block = block;
    }).finally(() => this.#more = undefined);
  }

  async #ask(): Promise<Range> {
    const router = this.#router;
    const parent = router.contextById(router.parentIds[0]!);
    return await parent.ask(
      new Message({ handle: Handle.ALLOCATE_ID }),
    ) as Range;
  }
}

/** What was given to those below one neighbour. */
export class Grants {
  /** Contexts below it that are open, but for itself. */
  routes = 0;
  readonly #ranges: Range[] = [];
  #asked = 0;

  /** Notes ids that may be used there. */
  add(range: Range): void {
    this.#ranges.push(range);
  }

  /** Whether this id was given. */
  has(id: number): boolean {
    return this.#ranges.some(([start, end]) => id >= start && id < end);
  }

  /** Counts a request for more ids. False when there were too many. */
  ask(): boolean {
    // Counted before the answer is there: many may ask at once.
    return ++this.#asked <= MAX_BLOCKS;
  }
}
