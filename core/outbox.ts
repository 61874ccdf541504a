import { concat } from "./frame.ts";

/** Up to this many bytes of small frames are joined into one write. */
const BATCH = 64 * 1024;

/** Frames that are written together. */
export interface Batch {
  /** What to write. */
  bytes: Uint8Array;
  /** What it is made of. */
  frames: Uint8Array[];
  /** Whether those are pieces of flows. */
  pieces: boolean;
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
  #prompt = new Queue<Uint8Array>();
  /** How many of those were ever added, and taken. */
  #added = 0;
  #taken = 0;
  readonly #flows = new Map<string, Queue<Waiting>>();
  readonly #written = new Map<Uint8Array, () => void>();
  #turn = false;

  /**
   * Adds a frame.
   *
   * @param flow the flow that it is a piece of; {@linkcode endOf} a context for
   * what must not overtake any of that context's
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
    if (pieces) return pieces.push(piece);
    const fresh = new Queue<Waiting>();
    fresh.push(piece);
    this.#flows.set(flow, fresh);
  }

  /** What to write next; `undefined` when nothing waits. */
  take(): Batch | undefined {
    const prompt = this.#prompt.first !== undefined;
    if (!prompt && this.#flows.size === 0) return undefined;
    let frames: Uint8Array[] = [];
    if (!prompt || !this.#turn) frames = this.#takePieces();
    const pieces = this.#turn = frames.length > 0;
    if (!pieces) frames = this.#takePrompt();
    return { bytes: join(frames), frames, pieces };
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
    this.#prompt = new Queue();
    this.size = 0;
    this.#taken = this.#added;
    this.#flows.clear();
    const written = [...this.#written.values()];
    this.#written.clear();
    for (const call of written) call();
  }

  #takePrompt(): Uint8Array[] {
    const frames: Uint8Array[] = [];
    let size = 0;
    for (let frame; (frame = this.#prompt.first); this.#prompt.drop()) {
      size += frame.length;
      if (size > BATCH && frames.length > 0) break;
      frames.push(frame);
    }
    this.#taken += frames.length;
    return frames;
  }

  /** Of which contexts flows wait, as the ends of those are called. */
  #sources(): Set<string> {
    const sources = new Set<string>();
    for (const flow of this.#flows.keys()) {
      sources.add(END + flow.slice(0, flow.indexOf(" ") + 1));
    }
    return sources;
  }

  #takePieces(): Uint8Array[] {
    const taken: Uint8Array[] = [];
    let size = 0;
    // Looked up when the first end is come to: there may be thousands of them.
    let sources: Set<string> | undefined;
    // One of each flow, and again, until the batch is full: those that are put
    // at the end of the line are come to once more.
    for (const [flow, pieces] of this.#flows) {
      const { frame, behind } = pieces.first!;
      if (behind > this.#taken) continue;
      if (flow.startsWith(END) && (sources ??= this.#sources()).has(flow)) {
        continue;
      }
      if (size > 0 && size + frame.length > BATCH) break;
      pieces.drop();
      this.#flows.delete(flow);
      if (pieces.first) this.#flows.set(flow, pieces);
      size += frame.length;
      taken.push(frame);
    }
    return taken;
  }
}

/** In place of a flow: says that it is behind all flows of a context. */
export function endOf(id: number): string {
  return `${END}${id} `;
}

const END = "end of ";

/** A queue: to take from it costs the same, however long it is. */
class Queue<T> {
  #items: (T | undefined)[] = [];
  #next = 0;

  /** What has waited longest. */
  get first(): T | undefined {
    return this.#items[this.#next];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** Takes the first away. */
  drop(): void {
    this.#items[this.#next++] = undefined;
    if (this.#next < this.#items.length && this.#next < 1024) return;
    if (this.#next * 2 < this.#items.length) return;
    this.#items = this.#items.slice(this.#next);
    this.#next = 0;
  }
}

/** A piece, and how many frames that are none must have left before it. */
interface Waiting {
  frame: Uint8Array;
  behind: number;
}

function join(frames: Uint8Array[]): Uint8Array {
  if (frames.length === 1) return frames[0]!;
  return concat(frames, frames.reduce((size, { length }) => size + length, 0));
}
