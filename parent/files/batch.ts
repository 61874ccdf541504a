/**
 * How files travel: a stream of batches, each of which holds records.
 *
 * A batch is `u32 length`, the CRC-32 of all bodies up to its own, and its
 * body. Nothing of a batch is acted on before it has been checked, and one that
 * is missing, twice there or out of order does not pass for the next. This is
 * against mistakes; against others there is ssh.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import { MAX_PIECE } from "../../core/mod.ts";

const HEAD = 8;

/** Bytes of a batch at most: as many as go in four pieces of a stream. */
export const BATCH_SIZE: number = 4 * MAX_PIECE;

/** What a record is. */
export const Kind = {
  /** A file begins: stat, name, `f64 size` (-1: unknown), `f64 offset`. */
  FILE: 1,
  /** A directory begins: stat, name. What follows is in it. */
  DIRECTORY: 2,
  /** A symbolic link: stat, name, target. */
  LINK: 3,
  /** A part of the file: `u32 length`, bytes. */
  DATA: 4,
  /** The file is complete. */
  DONE: 5,
  /** The directory is complete. */
  LEAVE: 6,
  /** How much will come: `f64 bytes`. */
  TOTAL: 7,
  /** All is complete. */
  END: 8,
} as const;

/** What is kept of a file beside its bytes. -1 stands for unknown. */
export interface Stat {
  mode: number;
  /** Milliseconds. */
  mtime: number;
  uid: number;
  gid: number;
}

/** Bytes of a stat in a record. */
export const STAT_SIZE: number = 20;

/** Fills batches. A batch is good until the one after the next is begun. */
export class BatchWriter {
  #bytes = new Uint8Array(BATCH_SIZE);
  #spare = new Uint8Array(BATCH_SIZE);
  #view = new DataView(this.#bytes.buffer);
  #at = HEAD;
  #check = 0;

  /** Bytes that still fit. */
  get room(): number {
    return BATCH_SIZE - this.#at;
  }

  u8(value: number): void {
    this.#bytes[this.#at++] = value;
  }

  u32(value: number): void {
    this.#view.setUint32(this.#at, value);
    this.#at += 4;
  }

  f64(value: number): void {
    this.#view.setFloat64(this.#at, value);
    this.#at += 8;
  }

  text(text: string): void {
    const { written } = new TextEncoder().encodeInto(
      text,
      this.#bytes.subarray(this.#at + 2),
    );
    this.#view.setUint16(this.#at, written);
    this.#at += 2 + written;
  }

  stat({ mode, mtime, uid, gid }: Stat): void {
    this.u32(mode);
    this.f64(mtime);
    this.u32(uid);
    this.u32(gid);
  }

  /** Room to be filled, behind so many bytes that are left free. */
  space(skip: number, size: number): Uint8Array {
    return this.#bytes.subarray(this.#at + skip, this.#at + skip + size);
  }

  /** What was put into the room counts. */
  filled(size: number): void {
    this.#at += size;
  }

  bytes(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** Completes the batch and begins the next. */
  take(): Uint8Array {
    const batch = this.#bytes.subarray(0, this.#at);
    const body = batch.subarray(HEAD);
    this.#check = crc32(body, this.#check);
    this.#view.setUint32(0, body.length);
    this.#view.setUint32(4, this.#check);
    [this.#bytes, this.#spare] = [this.#spare, this.#bytes];
    this.#view = new DataView(this.#bytes.buffer);
    this.#at = HEAD;
    return batch;
  }
}

/** Reads batches. A body is good until the one after the next is asked for. */
export class BatchReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #bytes = new Uint8Array(BATCH_SIZE);
  #spare = new Uint8Array(BATCH_SIZE);
  #have = 0;
  #rest: Uint8Array = new Uint8Array(0);
  #check = 0;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  /** Tells the other side that no more is wanted. */
  cancel(reason: unknown): void {
    void this.#reader.cancel(reason).catch(() => {});
  }

  /**
   * The body of the next batch.
   *
   * @throws {TypeError} when it is not what was sent
   */
  async next(): Promise<Uint8Array> {
    [this.#bytes, this.#spare] = [this.#spare, this.#bytes];
    this.#have = 0;
    await this.#fill(HEAD);
    const view = new DataView(this.#bytes.buffer);
    const length = view.getUint32(0);
    if (length > BATCH_SIZE - HEAD) {
      throw new TypeError("what arrived is not what a copy sends");
    }
    await this.#fill(HEAD + length);
    const body = this.#bytes.subarray(HEAD, HEAD + length);
    this.#check = crc32(body, this.#check);
    if (this.#check !== view.getUint32(4)) {
      throw new TypeError("what arrived is not what was sent");
    }
    return body;
  }

  async #fill(size: number): Promise<void> {
    while (this.#have < size) {
      if (this.#rest.length === 0) {
        const { done, value } = await this.#reader.read();
        if (done) throw new TypeError("the stream ended too early");
        if (!(value instanceof Uint8Array)) {
          throw new TypeError("what arrived is not what a copy sends");
        }
        this.#rest = value;
      }
      const part = this.#rest.subarray(0, size - this.#have);
      this.#bytes.set(part, this.#have);
      this.#have += part.length;
      this.#rest = this.#rest.subarray(part.length);
    }
  }
}
