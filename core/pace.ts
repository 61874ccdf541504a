import { AMPLE_WINDOW } from "./flow.ts";

/** Portions that pass before a window that has grown can be felt. */
const SETTLING = 2;

/** Portions over which it is measured, or fewer that took so many milliseconds. */
const MEASURED = 8;
const ENOUGH = 30;

/** How much faster a doubled window must be for the next doubling. */
const GAIN = 1.25;

/**
 * Tells whether a flow gets faster with its window.
 *
 * Where the way is long, twice the window is twice as fast. Where it is narrow,
 * what is under way beyond what it can hold waits on it, and makes it slower.
 */
export class Pace {
  /** Bytes a millisecond: with the window before, and measured last. */
  #before = 0;
  #last = 0;
  #window = 0;
  #portions = 0;
  #bytes = 0;
  #since = 0;
  readonly #now: () => number;

  /** @param now milliseconds of a clock */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /**
   * Half a window, or more, was taken.
   *
   * @returns whether a larger one may be faster
   */
  wantsMore(window: number, bytes: number): boolean {
    // Too little to measure, and to matter.
    if (window < AMPLE_WINDOW / 2) return true;
    if (window !== this.#window) {
      this.#window = window;
      this.#before = this.#last;
      this.#portions = this.#bytes = 0;
    }
    const at = ++this.#portions - SETTLING;
    if (at === 0) this.#since = this.#now();
    if (at <= 0) return false;
    this.#bytes += bytes;
    const now = this.#now();
    const time = now - this.#since;
    if (at < MEASURED && (at < 2 || time < ENOUGH)) return false;
    this.#last = this.#bytes / time;
    // And again: it may be the writer that is slow, and not for ever.
    this.#portions = SETTLING;
    this.#since = now;
    this.#bytes = 0;
    return window < AMPLE_WINDOW || this.#last >= this.#before * GAIN;
  }
}
