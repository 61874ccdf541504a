interface Waiting {
  go: () => void;
}

/** Lets so much run at a time. What waits is taken in order. */
export class Slots {
  #free: number;
  readonly #waiting = new Set<Waiting>();

  /** @throws {RangeError} when nothing could run */
  constructor(size: number) {
    if (!Number.isInteger(size) || size < 1) {
      throw new RangeError(
        `Cannot run ${size} calls at a time: expected a whole number from 1`,
      );
    }
    this.#free = size;
  }

  /** Runs something when there is room; rejects if the signal fires before. */
  async run<T>(signal: AbortSignal, work: () => T): Promise<Awaited<T>> {
    if (this.#free > 0) this.#free--;
    else await this.#turn(signal);
    try {
      return await work();
    } finally {
      this.#leave();
    }
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#waiting.delete(waiting);
        reject(signal.reason);
      };
      const waiting = {
        go() {
          signal.removeEventListener("abort", abort);
          resolve();
        },
      };
      if (signal.aborted) return reject(signal.reason);
      signal.addEventListener("abort", abort);
      this.#waiting.add(waiting);
    });
  }

  /** Hands the place to the next: nobody comes in between. */
  #leave(): void {
    const [next] = this.#waiting;
    if (!next) {
      this.#free++;
      return;
    }
    this.#waiting.delete(next);
    next.go();
  }
}
