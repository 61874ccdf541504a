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
  /** Bytes a millisecond with the last window that was measured. */
  #before = 0;
  #window = 0;
  #portions = 0;
  #bytes = 0;
  #since = 0;
  /**
   * What was found of this window. Once: later it would be whatever else the
   * machine does that made a flow faster. So one whose writer was slow in its
   * first megabytes stays with the window that it has.
   */
  #faster: boolean | undefined;
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
      this.#portions = this.#bytes = 0;
      this.#faster = undefined;
    }
    if (this.#faster !== undefined) return this.#faster;
    const at = ++this.#portions - SETTLING;
    if (at === 0) this.#since = this.#now();
    if (at <= 0) return false;
    this.#bytes += bytes;
    const time = this.#now() - this.#since;
    if (at < MEASURED && (at < 2 || time < ENOUGH)) return false;
    const pace = this.#bytes / time;
    this.#faster = window < AMPLE_WINDOW || pace >= this.#before * GAIN;
    this.#before = pace;
    return this.#faster;
  }
}
