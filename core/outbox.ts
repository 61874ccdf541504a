/** Up to this many bytes of small frames are joined into one write. */
const BATCH = 64 * 1024;

/** Frames that are written together. */
export interface Batch {
  /** What to write. */
  bytes: Uint8Array;
  /** What it is made of. */
  frames: Uint8Array[];
}

/**
 * What waits to be written on one link.
 *
 * Pieces of flows wait apart from all else, each flow by itself. Whatever is no
 * such piece overtakes them; they take turns with it and with each other, so
 * that nothing waits for the end of something large, and nothing starves.
 * Within a flow, and among all that is not of one, the order is kept; and a
 * piece never overtakes what was there before it, which may be the message that
 * its flow is of.
 */
export class Outbox {
  /** Bytes that wait. */
  size = 0;
  #prompt: Uint8Array[] = [];
  #next = 0;
  /** How many of those were ever added, and taken. */
  #added = 0;
  #taken = 0;
  readonly #flows = new Map<string, Waiting[]>();
  readonly #written = new Map<Uint8Array, () => void>();
  #turn = false;

  /**
   * Adds a frame.
   *
   * @param flow the flow that it is a piece of
   * @param written called when it is written, or never will be
   */
  add(
    frame: Uint8Array,
    flow: string | undefined,
    written: (() => void) | undefined,
  ): void {
    this.size += frame.length;
    if (written) this.#written.set(frame, written);
    if (flow === undefined) {
      this.#prompt.push(frame);
      this.#added++;
      return;
    }
    const piece = { frame, behind: this.#added };
    const pieces = this.#flows.get(flow);
    if (pieces) pieces.push(piece);
    else this.#flows.set(flow, [piece]);
  }

  /** What to write next; `undefined` when nothing waits. */
  take(): Batch | undefined {
    const prompt = this.#next < this.#prompt.length;
    if (!prompt && this.#flows.size === 0) return undefined;
    let frames: Uint8Array[] = [];
    if (!prompt || !this.#turn) frames = this.#takePieces();
    this.#turn = frames.length > 0;
    if (!this.#turn) frames = this.#takePrompt();
    return { bytes: join(frames), frames };
  }

  /** A batch has been written. */
  done({ bytes, frames }: Batch): void {
    this.size -= bytes.length;
    if (this.#written.size === 0) return;
    for (const frame of frames) {
      const written = this.#written.get(frame);
      this.#written.delete(frame);
      written?.();
    }
  }

  /** Forgets all that waits. */
  clear(): void {
    this.#prompt = [];
    this.#next = this.size = 0;
    this.#taken = this.#added;
    this.#flows.clear();
    const written = [...this.#written.values()];
    this.#written.clear();
    for (const call of written) call();
  }

  #takePrompt(): Uint8Array[] {
    const from = this.#next;
    let size = this.#prompt[this.#next++]!.length;
    while (this.#next < this.#prompt.length) {
      size += this.#prompt[this.#next]!.length;
      if (size > BATCH) break;
      this.#next++;
    }
    this.#taken += this.#next - from;
    if (this.#next < this.#prompt.length) {
      return this.#prompt.slice(from, this.#next);
    }
    const frames = from === 0 ? this.#prompt : this.#prompt.slice(from);
    this.#prompt = [];
    this.#next = 0;
    return frames;
  }

  #takePieces(): Uint8Array[] {
    const taken: Uint8Array[] = [];
    let size = 0;
    // One of each flow, and again, until the batch is full.
    for (let before = -1; taken.length > before;) {
      before = taken.length;
      for (const [flow, pieces] of [...this.#flows]) {
        const { frame, behind } = pieces[0]!;
        if (behind > this.#taken) continue;
        if (size > 0 && size + frame.length > BATCH) return taken;
        pieces.shift();
        // To the end of the line, if it has more.
        this.#flows.delete(flow);
        if (pieces.length > 0) this.#flows.set(flow, pieces);
        size += frame.length;
        taken.push(frame);
      }
    }
    return taken;
  }
}

/** A piece, and how many frames that are none must have left before it. */
interface Waiting {
  frame: Uint8Array;
  behind: number;
}

function join(frames: Uint8Array[]): Uint8Array {
  if (frames.length === 1) return frames[0]!;
  let size = 0;
  for (const frame of frames) size += frame.length;
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const frame of frames) {
    bytes.set(frame, at);
    at += frame.length;
  }
  return bytes;
}
