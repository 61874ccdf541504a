/** Bytes of the largest frame of a flow: the ones that come in masses. */
export const LARGE_FRAME: number = 64 * 1024;

/** Frames that are kept at most. */
const MAX_KEPT = 64;

/** Half of the bytes that the C library is to keep when they are freed. */
const KEPT_FREE = 16 * 1024 * 1024;

/**
 * Tells the C library to keep more of what is freed.
 *
 * glibc gives the end of its heap back as soon as 128 KiB of it are free. So
 * each sweep of a reader's garbage costs thousands of page faults, which take
 * longer than all else that is done with the bytes. When it first frees
 * something large that it had mapped, it takes that for a sign that the program
 * works with such sizes, and keeps twice as much (`M_MMAP_THRESHOLD` and
 * `M_TRIM_THRESHOLD` in mallopt(3)). Other allocators see a mapping come and go
 * that nobody has touched.
 */
function keepFreed(): void {
  new ArrayBuffer(KEPT_FREE).transfer(0);
}

/**
 * Large frames that nobody holds any more, to be filled again. What only passes
 * through would leave tens of megabytes to the garbage collector.
 */
export class FramePool {
  readonly #frames: Uint8Array<ArrayBuffer>[] = [];
  #asked = false;

  /** Whether it has none to give. */
  get empty(): boolean {
    return this.#frames.length === 0;
  }

  /** A frame with anything in it, if there is one. */
  take(): Uint8Array<ArrayBuffer> | undefined {
    if (!this.#asked) {
      this.#asked = true;
      keepFreed();
    }
    return this.#frames.pop();
  }

  /**
   * Takes a frame that nobody holds any more, if it is worth it. The memory of
   * a larger one is free at once: the garbage collector would come for it when
   * many of them have gathered.
   */
  give(frame: Uint8Array): void {
    const { length, buffer } = frame as Uint8Array<ArrayBuffer>;
    if (length < LARGE_FRAME || buffer.byteLength !== length) return;
    if (length > LARGE_FRAME) buffer.transfer(0);
    else if (this.#frames.length < MAX_KEPT) {
      this.#frames.push(frame as Uint8Array<ArrayBuffer>);
    }
  }
}

/** The one of all links of this process. */
export const frames: FramePool = new FramePool();
