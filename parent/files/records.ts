import type { CopyProgress } from "../../core/mod.ts";
import { type BatchReader, Kind, type Stat, STAT_SIZE } from "./batch.ts";

/** A file as its record tells of it. */
export interface FileRecord {
  name: string;
  stat: Stat;
  /** -1 where it is not known. */
  size: number;
  /** Where its data begins: what is before that is here already. */
  offset: number;
}

/** Takes what records say. A promise that it answers is waited for. */
export interface Target {
  /** A file with all that is in it. */
  whole(file: FileRecord, bytes: Uint8Array): Promise<void> | undefined;
  open(file: FileRecord): Promise<void> | undefined;
  /** The bytes are good until the next but one call. */
  write(bytes: Uint8Array): Promise<void> | undefined;
  close(): Promise<void>;
  enter(name: string, stat: Stat): Promise<void> | undefined;
  leave(): Promise<void> | undefined;
  link(name: string, stat: Stat, to: string): void;
  end(): Promise<void>;
  /** Nothing more will come: what is not complete goes. */
  abort(reason: unknown): void;
}

/** Who is told how far it is. */
export interface Watch {
  /** Of what is copied, where that is. */
  path: string;
  onProgress: (progress: CopyProgress) => void;
}

/** Milliseconds of work after which others get their turn. */
const TURN = 10;

const MALFORMED = "what arrived is not what a copy sends";

const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

class Cursor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get over(): boolean {
    return this.at >= this.#bytes.length;
  }

  #step(size: number): number {
    const { at } = this;
    if (at + size > this.#bytes.length) throw new TypeError(MALFORMED);
    this.at += size;
    return at;
  }

  u8(): number {
    return this.#view.getUint8(this.#step(1));
  }

  u32(): number {
    return this.#view.getUint32(this.#step(4));
  }

  f64(): number {
    return this.#view.getFloat64(this.#step(8));
  }

  /** A count of bytes. */
  size(): number {
    const size = this.f64();
    if (!Number.isSafeInteger(size) || size < -1) {
      throw new TypeError(MALFORMED);
    }
    return size;
  }

  bytes(size: number): Uint8Array {
    const at = this.#step(size);
    return this.#bytes.subarray(at, at + size);
  }

  text(): string {
    return text.decode(this.bytes(this.#view.getUint16(this.#step(2))));
  }

  stat(): Stat {
    const at = this.#step(STAT_SIZE);
    const view = this.#view;
    const mtime = view.getFloat64(at + 4);
    // As far as dates go.
    if (Math.abs(mtime) > 8.64e15) throw new TypeError(MALFORMED);
    return {
      mode: view.getUint32(at),
      mtime,
      uid: view.getUint32(at + 12),
      gid: view.getUint32(at + 16),
    };
  }

  /** The bytes of a file that is in here as a whole, if it is. */
  whole(size: number): Uint8Array | undefined {
    const { at } = this;
    const end = size === 0 ? at : at + 5 + size;
    if (size < 0 || end >= this.#bytes.length) return undefined;
    if (this.#bytes[end] !== Kind.DONE) return undefined;
    if (size > 0) {
      if (this.#bytes[at] !== Kind.DATA) return undefined;
      if (this.#view.getUint32(at + 1) !== size) return undefined;
    }
    this.at = end + 1;
    return this.#bytes.subarray(end - size, end);
  }
}

/** A name that stays in its directory. */
function inner(name: string): string {
  if (name === "." || name === ".." || /[\/\0]/.test(name)) {
    throw new TypeError(MALFORMED);
  }
  return name;
}

/** Reads records until all is complete. Whoever sends them may be hostile. */
export class RecordReader {
  readonly #input: BatchReader;
  readonly #target: Target;
  readonly #watch: Watch | undefined;
  readonly #progress: { bytes: number; files: number; total?: number } = {
    bytes: 0,
    files: 0,
  };
  /** Names of the directories that are entered; that at the top has none. */
  readonly #inside: string[] = [];
  #inFile = false;
  #name = "";
  #begin = 0;
  /** Whether the only thing that may come is the end. */
  #complete = false;

  constructor(
    input: BatchReader,
    target: Target,
    watch?: Watch,
  ) {
    this.#input = input;
    this.#target = target;
    this.#watch = watch;
  }

  /** @throws {TypeError} when it cannot be read, or ends too early */
  async run(): Promise<void> {
    for (;;) {
      const cursor = new Cursor(await this.#input.next());
      this.#begin = performance.now();
      while (!cursor.over) {
        const kind = cursor.u8();
        if (kind === Kind.END) {
          if (!this.#complete) throw new TypeError(MALFORMED);
          // Ahead of the end: what is told may throw, and nothing has changed.
          this.#tell();
          return this.#target.end();
        }
        const wait = this.#record(kind, cursor);
        if (wait) await wait;
        if (performance.now() - this.#begin > TURN) await this.#rest();
      }
      this.#tell();
    }
  }

  async #rest(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#begin = performance.now();
  }

  #tell(): void {
    const watch = this.#watch;
    if (!watch) return;
    const names = [watch.path, ...this.#inside, this.#name];
    const path = names.filter((name) => name !== "").join("/");
    watch.onProgress({ path, ...this.#progress });
  }

  /** The name of an entry; empty for the one at the top only. */
  #entry(cursor: Cursor): string {
    const name = inner(cursor.text());
    if (this.#complete || (name === "") !== (this.#inside.length === 0)) {
      throw new TypeError(MALFORMED);
    }
    return name;
  }

  #record(kind: number, cursor: Cursor): Promise<void> | undefined {
    if (this.#inFile !== (kind === Kind.DATA || kind === Kind.DONE)) {
      throw new TypeError(MALFORMED);
    }
    switch (kind) {
      case Kind.FILE:
        return this.#file(cursor);
      case Kind.DATA: {
        const bytes = cursor.bytes(cursor.u32());
        this.#progress.bytes += bytes.length;
        return this.#target.write(bytes);
      }
      case Kind.DONE:
        this.#inFile = false;
        this.#completed();
        return this.#target.close();
      case Kind.DIRECTORY: {
        const stat = cursor.stat();
        const name = this.#entry(cursor);
        this.#inside.push(name);
        return this.#target.enter(name, stat);
      }
      case Kind.LEAVE:
        if (this.#inside.length === 0) throw new TypeError(MALFORMED);
        this.#inside.pop();
        this.#complete = this.#inside.length === 0;
        return this.#target.leave();
      case Kind.LINK: {
        const stat = cursor.stat();
        const name = this.#entry(cursor);
        if (name === "") throw new TypeError(MALFORMED);
        this.#target.link(name, stat, cursor.text());
        return undefined;
      }
      case Kind.TOTAL:
        this.#progress.total = cursor.size();
        return undefined;
    }
    throw new TypeError(MALFORMED);
  }

  #completed(): void {
    this.#progress.files++;
    if (this.#inside.length === 0) this.#complete = true;
  }

  #file(cursor: Cursor): Promise<void> | undefined {
    const stat = cursor.stat();
    const name = this.#entry(cursor);
    const size = cursor.size();
    const offset = cursor.size();
    if (offset < 0) throw new TypeError(MALFORMED);
    const file = { name, stat, size, offset };
    this.#name = name;
    const bytes = offset === 0 ? cursor.whole(size) : undefined;
    if (!bytes) {
      this.#inFile = true;
      this.#progress.bytes += offset;
      return this.#target.open(file);
    }
    this.#completed();
    this.#progress.bytes += size;
    return this.#target.whole(file, bytes);
  }
}
