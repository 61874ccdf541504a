import {
  BATCH_SIZE,
  BatchWriter,
  Kind,
  type Stat,
  STAT_SIZE,
} from "./batch.ts";
import { checkPath, copyError, SPECIAL, systemError } from "./copy_error.ts";
import { hashOf, isSame, type Prefix } from "./prefix.ts";
import { withoutSlash } from "./temporary.ts";
import type { CopyProgress } from "../../core/mod.ts";

/** How files are read. */
export interface PackOptions {
  /** Mode of the result. Default: the source's. */
  mode?: number;
  /** Time of the result, in milliseconds. Default: the source's. */
  mtime?: number;
  /** Whether to say ahead how much there is. */
  count?: boolean;
  /** What need not be sent, if the source begins with it. */
  prefix?: Prefix;
  onProgress?: (progress: CopyProgress) => void;
}

/** Files up to this size are read in one step, while nothing else happens. */
export const SMALL: number = 64 * 1024;

const PAGE = 4096;

/** Entries in a batch at most: each is work for those who unpack it. */
const MAX_ENTRIES = 512;

/** Bytes of the longest name, or target of a link. */
const MAX_NAME = 4096;

/** Room that the beginning of any record needs. */
const MAX_RECORD = 1 + STAT_SIZE + 2 * (2 + MAX_NAME) + 16;

const NOT_UTF8 =
  "its name, or what it points to, is not UTF-8, and Deno cannot name such files";

/** Reads a file, a tree of files or a stream, and makes batches of it. */
export class Packer {
  readonly #source: string | ReadableStream<Uint8Array>;
  readonly #context: string;
  readonly #options: PackOptions;
  readonly #out = new BatchWriter();
  readonly #progress: { bytes: number; files: number; total?: number } = {
    bytes: 0,
    files: 0,
  };
  #entries = 0;
  #path = "";
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  /** What it failed with. */
  failure: unknown;

  /** @param context path of the context that this is */
  constructor(
    source: string | ReadableStream<Uint8Array>,
    context: string,
    options: PackOptions,
  ) {
    this.#source = typeof source === "string" ? withoutSlash(source) : source;
    this.#context = context;
    this.#options = options;
  }

  /** The batches. A chunk is good until the next but one is read. */
  stream(): ReadableStream<Uint8Array> {
    const batches = this.#run();
    let cancelled = false;
    return new ReadableStream({
      pull: async (controller) => {
        try {
          const { done, value } = await batches.next();
          if (cancelled) return;
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          if (cancelled) return;
          this.failure = error;
          controller.error(error);
        }
      },
      cancel: (reason) => {
        cancelled = true;
        // A source that gives nothing would keep the generator from its end.
        const source = this.#reader ?? this.#source;
        if (typeof source !== "string") {
          void source.cancel(reason).catch(() => {});
        }
        void batches.return().catch(() => {});
      },
    }, { highWaterMark: 0 });
  }

  #fail(path: string, cause: unknown): Error {
    return copyError("read", path, this.#context, cause);
  }

  #try<T>(path: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw this.#fail(path, error);
    }
  }

  #take(): Uint8Array {
    this.#entries = 0;
    const { onProgress } = this.#options;
    onProgress?.({ path: this.#path, ...this.#progress });
    return this.#out.take();
  }

  async *#run(): AsyncGenerator<Uint8Array, void> {
    const source = this.#source;
    const out = this.#out;
    if (typeof source !== "string") yield* this.#stream(source);
    else {
      this.#try(source, () => checkPath(source));
      const info = await Deno.stat(source).catch((error) => {
        throw this.#fail(source, error);
      });
      // To open a pipe is to wait for who writes to it, perhaps for ever.
      if (!info.isDirectory) this.#checkFile(source, info);
      if (this.#options.count) {
        const total = info.isDirectory ? this.#count(source) : info.size;
        this.#progress.total = total;
        out.u8(Kind.TOTAL);
        out.f64(total);
      }
      if (info.isDirectory) yield* this.#directory(source, "", info, true);
      else yield* this.#large(source, "", await this.#open(source), true);
    }
    out.u8(Kind.END);
    yield this.#take();
  }

  #open(path: string): Promise<Deno.FsFile> {
    return Deno.open(path).catch((error) => {
      throw this.#fail(path, error);
    });
  }

  #checkFile(path: string, { isFile, isDirectory }: Deno.FileInfo): void {
    if (isFile) return;
    throw this.#fail(
      path,
      isDirectory ? systemError("EISDIR") : new TypeError(SPECIAL),
    );
  }

  /** Bytes of all files in a directory. */
  #count(path: string): number {
    let total = 0;
    for (const entry of this.#list(path)) {
      const inner = `${path}/${entry.name}`;
      if (entry.isDirectory) total += this.#count(inner);
      else if (entry.isFile) {
        total += this.#try(inner, () => Deno.lstatSync(inner)).size;
      }
    }
    return total;
  }

  /** What is in a directory; fails on names that Deno cannot give. */
  #list(path: string): Deno.DirEntry[] {
    const entries = this.#try(path, () => [...Deno.readDirSync(path)]);
    const odd = new Set<string>();
    for (const { name } of entries) {
      if (!name.includes("\ufffd")) continue;
      // What is not UTF-8 has become U+FFFD: nothing of this name is there, or
      // something else is.
      const inner = `${path}/${name}`;
      let there = !odd.has(name);
      try {
        Deno.lstatSync(inner);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) {
          throw this.#fail(inner, error);
        }
        there = false;
      }
      if (!there) throw this.#fail(inner, new TypeError(NOT_UTF8));
      odd.add(name);
    }
    return entries;
  }

  #stat(info: Deno.FileInfo, top: boolean): Stat {
    const { mode, mtime } = top ? this.#options : {};
    return {
      mode: mode ?? (info.mode ?? 0o644) & 0o7777,
      mtime: mtime ?? info.mtime?.getTime() ?? Date.now(),
      uid: info.uid ?? 0xffffffff,
      gid: info.gid ?? 0xffffffff,
    };
  }

  /** Whether a record and so many bytes do not fit any more. */
  #full(size = 0): boolean {
    return this.#out.room < MAX_RECORD + size || this.#entries >= MAX_ENTRIES;
  }

  async *#directory(
    path: string,
    name: string,
    info: Deno.FileInfo,
    top = false,
  ): AsyncGenerator<Uint8Array, void> {
    const out = this.#out;
    if (this.#full()) yield this.#take();
    this.#entries++;
    out.u8(Kind.DIRECTORY);
    out.stat(this.#stat(info, top));
    out.text(name);
    for (const entry of this.#list(path)) {
      const inner = `${path}/${entry.name}`;
      if (entry.isFile) {
        const file = this.#try(inner, () => Deno.openSync(inner));
        let open = true;
        try {
          const info = file.statSync();
          this.#checkFile(inner, info);
          if (info.size > SMALL || info.size === 0 && !isEmpty(file)) {
            open = false;
            yield* this.#large(inner, entry.name, file);
            continue;
          }
          if (this.#full(info.size + 6)) yield this.#take();
          this.#small(inner, entry.name, file, info);
        } finally {
          if (open) file.close();
        }
      } else if (entry.isDirectory) {
        const info = this.#try(inner, () => Deno.lstatSync(inner));
        yield* this.#directory(inner, entry.name, info);
      } else if (entry.isSymlink) {
        if (this.#full()) yield this.#take();
        this.#link(inner, entry.name);
      } else {
        throw this.#fail(inner, new TypeError(SPECIAL));
      }
    }
    if (this.#full()) yield this.#take();
    out.u8(Kind.LEAVE);
  }

  #link(path: string, name: string): void {
    const target = this.#try(path, () => Deno.readLinkSync(path));
    if (target.includes("\ufffd")) {
      throw this.#fail(path, new TypeError(NOT_UTF8));
    }
    const info = this.#try(path, () => Deno.lstatSync(path));
    this.#entries++;
    this.#out.u8(Kind.LINK);
    this.#out.stat(this.#stat(info, false));
    this.#out.text(name);
    this.#out.text(target);
  }

  #begin(
    path: string,
    name: string,
    stat: Stat,
    size: number,
    offset: number,
  ): void {
    const out = this.#out;
    this.#path = path;
    this.#entries++;
    out.u8(Kind.FILE);
    out.stat(stat);
    out.text(name);
    out.f64(size);
    out.f64(offset);
  }

  #done(): void {
    this.#out.u8(Kind.DONE);
    this.#progress.files++;
  }

  /** Puts a whole file into the batch. */
  #small(
    path: string,
    name: string,
    file: Deno.FsFile,
    info: Deno.FileInfo,
  ): void {
    const out = this.#out;
    this.#begin(path, name, this.#stat(info, false), info.size, 0);
    const space = out.space(5, info.size);
    for (let at = 0; at < info.size;) {
      const n = this.#try(path, () => file.readSync(space.subarray(at)));
      if (n === null) throw this.#shrunk(path);
      at += n;
    }
    out.u8(Kind.DATA);
    out.u32(info.size);
    out.filled(info.size);
    this.#done();
    this.#progress.bytes += info.size;
  }

  #shrunk(path: string): Error {
    return this.#fail(
      path,
      new TypeError("it has become shorter while it was read"),
    );
  }

  /**
   * Sends a file that may be of any size. One of size 0 may be of those that
   * the kernel makes as they are read: it is read to its end.
   */
  async *#large(
    path: string,
    name: string,
    file: Deno.FsFile,
    top = false,
  ): AsyncGenerator<Uint8Array, void> {
    const out = this.#out;
    let reading: Promise<number | null> | undefined;
    try {
      const info = await file.stat();
      // It may have been replaced since it was looked at.
      this.#checkFile(path, info);
      const size = info.size > 0 ? info.size : Infinity;
      const { prefix } = this.#options;
      let at = top && prefix ? await this.#skip(file, prefix) : 0;
      if (this.#full(PAGE + 6)) yield this.#take();
      this.#begin(
        path,
        name,
        this.#stat(info, top),
        size === Infinity ? info.size : size,
        at,
      );
      this.#progress.bytes += at;
      while (at < size) {
        const full = out.room < PAGE + 6 ? this.#take() : undefined;
        // Whole pages: that is what disks like.
        const most = out.room - 6 - (out.room - 6) % PAGE;
        const space = out.space(5, Math.min(most, size - at));
        reading = file.read(space);
        reading.catch(() => {});
        // One batch leaves while the next is read.
        if (full) yield full;
        const n = await reading;
        if (n === null) {
          if (size !== Infinity) throw this.#shrunk(path);
          break;
        }
        out.u8(Kind.DATA);
        out.u32(n);
        out.filled(n);
        at += n;
        this.#progress.bytes += n;
      }
      if (out.room < 2) yield this.#take();
      this.#done();
    } catch (error) {
      throw this.#fail(path, error);
    } finally {
      await reading?.catch(() => {});
      file.close();
    }
  }

  /** Where to begin: behind what the other side has, if it has that. */
  async #skip(file: Deno.FsFile, prefix: Prefix): Promise<number> {
    const own = await hashOf(file, prefix.size);
    const same = isSame(own, prefix);
    const at = same ? prefix.size : 0;
    await file.seek(at, Deno.SeekMode.Start);
    return at;
  }

  /** Sends what a stream gives. */
  async *#stream(
    source: ReadableStream<Uint8Array>,
  ): AsyncGenerator<Uint8Array, void> {
    const out = this.#out;
    const { mode, mtime } = this.#options;
    const stat = {
      mode: mode ?? 0xffffffff,
      mtime: mtime ?? NaN,
      uid: 0xffffffff,
      gid: 0xffffffff,
    };
    const reader = this.#reader = source.getReader();
    try {
      this.#begin("", "", stat, -1, 0);
      // Whether it can be written is known before anything comes.
      yield this.#take();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        if (!(value instanceof Uint8Array)) {
          throw new TypeError("Cannot copy a stream of anything but bytes");
        }
        for (let at = 0; at < value.length;) {
          if (out.room < 7) yield this.#take();
          const part = value.subarray(at, at + out.room - 6);
          out.u8(Kind.DATA);
          out.u32(part.length);
          out.bytes(part);
          at += part.length;
          this.#progress.bytes += part.length;
        }
        // What comes slowly is passed on as it comes.
        if (out.room < BATCH_SIZE / 2) yield this.#take();
      }
      if (out.room < 2) yield this.#take();
      this.#done();
    } catch (error) {
      void reader.cancel(error).catch(() => {});
      throw error;
    }
  }
}

/** The kernel makes some files as they are read: their size is 0. */
function isEmpty(file: Deno.FsFile): boolean {
  if (file.readSync(new Uint8Array(1)) === null) return true;
  file.seekSync(0, Deno.SeekMode.Start);
  return false;
}
