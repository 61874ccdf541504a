/** Bytes of the largest frame of a flow: the ones that come in masses. */
export const LARGE_FRAME: number = 64 * 1024;

/** Frames that are kept at most. */
const MAX_KEPT = 64;

/**
 * Large frames that nobody holds any more, to be filled again. What only passes
 * through would leave tens of megabytes to the garbage collector.
 */
export class FramePool {
  readonly #frames: Uint8Array[] = [];

  /** Whether it has none to give. */
  get empty(): boolean {
    return this.#frames.length === 0;
  }

  /** A frame with anything in it. */
  take(): Uint8Array | undefined {
    return this.#frames.pop();
  }

  /** Takes a frame back, if it is worth it. */
  give(frame: Uint8Array): void {
    if (
      frame.length === LARGE_FRAME && frame.buffer.byteLength === LARGE_FRAME &&
      this.#frames.length < MAX_KEPT
    ) this.#frames.push(frame);
  }
}

/** The one of all links of this process. */
export const frames: FramePool = new FramePool();
