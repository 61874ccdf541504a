import fs from "node:fs";
import { dirname } from "node:path";
import type { Stat } from "./batch.ts";
import { checkPath, copyError, SPECIAL, systemError } from "./copy_error.ts";
import { OpenFile, setTime, UNKNOWN, type Writer } from "./open_file.ts";
import type { FileRecord, Target } from "./records.ts";
import {
  type Claim,
  claim,
  partialName,
  remove,
  temporaryName,
  withoutSlash,
} from "./temporary.ts";

/** How files are written. */
export interface DiskOptions {
  /** Whether each file is on the disk before it takes its name. Default: a file is, those of a directory are not. */
  fsync?: boolean;
  /** Whether what was written is kept for the next try. */
  resume?: boolean;
  /** Whether the sender may give setuid and setgid bits. */
  trusted?: boolean;
}

/** Files that are on their way to the disk at once. */
const MAX_SYNCING = 64;

function ownUmask(): number {
  try {
    return Deno.umask();
  } catch {
    // Not allowed to know: as little as it may be.
    return 0o077;
  }
}

function isRoot(): boolean {
  try {
    return Deno.uid() === 0;
  } catch {
    // Not allowed to know.
    return false;
  }
}

/**
 * Writes what arrives: a file takes its name when it is complete, a new
 * directory too. Into a directory that is there already, file by file.
 */
export class DiskTarget implements Target {
  readonly #path: string;
  readonly #context: string;
  readonly #options: DiskOptions;
  readonly #writer: Writer;
  /** Directories that are entered: where they are written, and what they get. */
  readonly #levels: { path: string; stat: Stat; claim?: Claim }[] = [];
  /** The directory in which the result is. */
  #parent: Claim | undefined;
  readonly #open = new Set<OpenFile>();
  readonly #syncing = new Set<Promise<void>>();
  #failed: { error: unknown } | undefined;
  #file: OpenFile | undefined;
  /** The file at the top, when it is complete: at the end it takes its name. */
  #complete: OpenFile | undefined;
  #writing: Promise<void> | undefined;
  /** Where a new directory is until it is complete. */
  #staging: string | undefined;
  #lock: Deno.FsFile | undefined;
  #over: { reason: unknown } | undefined;

  /** @param context path of the context that this is */
  constructor(path: string, context: string, options: DiskOptions) {
    this.#path = withoutSlash(path);
    this.#context = context;
    this.#options = options;
    this.#writer = {
      root: isRoot(),
      bits: options.trusted ? 0o7777 : 0o777,
      umask: ownUmask(),
    };
  }

  /** Ends it at once, and removes what is not complete. */
  abort(reason: unknown): void {
    if (this.#over) return;
    this.#over = { reason };
    for (const file of this.#open) {
      try {
        file.close();
      } catch {
        // What it did not write does not matter any more.
      }
      if (!file.partial) remove(file.path);
    }
    this.#open.clear();
    if (this.#staging !== undefined) remove(this.#staging);
    this.#dispose();
  }

  #dispose(): void {
    for (const { claim } of this.#levels.splice(0)) claim?.[Symbol.dispose]();
    this.#parent?.[Symbol.dispose]();
    this.#lock?.close();
    this.#lock = undefined;
  }

  /** The error for something that failed; once it is over, why that is. */
  #fail(path: string, error: unknown): unknown {
    return this.#over ? this.#over.reason : copyError(
      "write",
      this.#staging === undefined ? path : this.#final(path),
      this.#context,
      error,
    );
  }

  /** The name that something in the staging directory will have. */
  #final(path: string): string {
    return path.startsWith(this.#staging!)
      ? this.#path + path.slice(this.#staging!.length)
      : path;
  }

  #try<T>(path: string, work: () => T): T {
    if (this.#over) throw this.#over.reason;
    try {
      return work();
    } catch (error) {
      throw this.#fail(path, error);
    }
  }

  /** What is there under a name; `undefined` if nothing. */
  #look(path: string, follow = false): fs.Stats | undefined {
    return this.#try(
      path,
      () =>
        (follow ? fs.statSync : fs.lstatSync)(path, { throwIfNoEntry: false }),
    );
  }

  /** What is there already under the name of the result. */
  #existing(): fs.Stats | undefined {
    this.#try(this.#path, () => checkPath(this.#path));
    return this.#look(this.#path, true);
  }

  /** A name is given to another file, but not that of a device and the like. */
  #checkFree(target: string): void {
    // Mostly nothing is there, and that is the quick way to know.
    const there = fs.existsSync(target) ? this.#look(target) : undefined;
    if (
      there &&
      !(there.isFile() || there.isDirectory() || there.isSymbolicLink())
    ) throw this.#fail(target, new TypeError(SPECIAL));
  }

  async #claim(directory: string): Promise<Claim> {
    const held = await claim(directory);
    if (!this.#over) return held;
    held[Symbol.dispose]();
    throw this.#over.reason;
  }

  /** A directory that is there already. */
  async #enterOld(path: string, stat: Stat): Promise<void> {
    const claim = await this.#claim(path);
    this.#levels.push({ path, stat, claim });
  }

  /** Where an entry is to be. */
  #place(name: string): string {
    return `${this.#levels.at(-1)!.path}/${name}`;
  }

  /** The same for what may replace something: in a new directory nothing is. */
  #placeFree(name: string): string {
    const target = this.#place(name);
    if (this.#levels.at(-1)!.claim) this.#checkFree(target);
    return target;
  }

  /** Where it is written: under its name only if nobody can see it there. */
  #under(target: string): string {
    return this.#staging === undefined ? temporaryName(target) : target;
  }

  // Files

  whole(file: FileRecord, bytes: Uint8Array): Promise<void> | undefined {
    if (this.#levels.length === 0) return this.#wholeAtTop(file, bytes);
    const target = this.#placeFree(file.name);
    const open = this.#make(target, file.stat);
    this.#try(target, () => {
      if (bytes.length > 0) open.writeNow(bytes);
      open.dress();
    });
    if (this.#options.fsync) return this.#finishLater(open);
    this.#finish(open);
    return undefined;
  }

  async #wholeAtTop(file: FileRecord, bytes: Uint8Array): Promise<void> {
    await this.open(file);
    if (bytes.length > 0) await this.write(bytes);
    await this.close();
  }

  #make(target: string, stat: Stat, offset?: number): OpenFile {
    const path = offset === undefined
      ? this.#under(target)
      : partialName(target);
    const open = this.#try(
      target,
      () => new OpenFile(this.#writer, path, target, stat, offset),
    );
    this.#open.add(open);
    return open;
  }

  open(file: FileRecord): Promise<void> | undefined {
    if (this.#levels.length === 0) return this.#openAtTop(file);
    this.#file = this.#make(this.#placeFree(file.name), file.stat);
    return undefined;
  }

  async #openAtTop({ stat, offset }: FileRecord): Promise<void> {
    const target = this.#path;
    if (offset > 0 && !this.#options.resume) {
      throw this.#fail(target, new TypeError("its beginning was not sent"));
    }
    const there = this.#existing();
    if (there?.isDirectory()) throw this.#fail(target, systemError("EISDIR"));
    this.#checkFree(target);
    await this.#enterParent();
    // A stream has no mode of its own: that of what it replaces will do.
    if (stat.mode === UNKNOWN && there?.isFile()) {
      stat.mode = there.mode & 0o777;
    }
    if (this.#options.resume) await this.#lockPartial(target, offset);
    this.#file = this.#make(
      target,
      stat,
      this.#options.resume ? offset : undefined,
    );
  }

  /** The directory around what is named; it must be there. */
  async #enterParent(): Promise<void> {
    const parent = dirname(this.#path);
    if (!this.#look(parent, true)) {
      throw this.#fail(parent, systemError("ENOENT"));
    }
    this.#parent = await this.#claim(parent);
  }

  /** Makes sure that the partial file is ours alone, and as it was. */
  async #lockPartial(target: string, offset: number): Promise<void> {
    const path = partialName(target);
    const there = this.#look(path);
    // Whatever else somebody may have put there.
    if (there && !(there.isFile() && there.nlink === 1)) remove(path);
    try {
      const lock = await Deno.open(path, {
        read: true,
        write: true,
        create: true,
        mode: 0o600,
      });
      if (this.#over) {
        lock.close();
        throw this.#over.reason;
      }
      this.#lock = lock;
      if (!await lock.tryLock(true)) {
        throw new TypeError("another copy to it is under way");
      }
      if ((await lock.stat()).size < offset) {
        throw new TypeError("what is there of it has changed");
      }
    } catch (error) {
      throw this.#fail(target, error);
    }
  }

  write(bytes: Uint8Array): Promise<void> | undefined {
    const before = this.#writing;
    const file = this.#file!;
    const go = () => {
      if (this.#failed) throw this.#failed.error;
      if (this.#over) throw this.#over.reason;
      this.#writing = file.write(bytes).catch((error) => {
        this.#failed ??= { error: this.#fail(file.target, error) };
      });
    };
    if (before) return before.then(go);
    go();
    return undefined;
  }

  /** Waits for what is being written. */
  async #written(): Promise<void> {
    await this.#writing;
    this.#writing = undefined;
    if (this.#failed) throw this.#failed.error;
    if (this.#over) throw this.#over.reason;
  }

  async close(): Promise<void> {
    await this.#written();
    const file = this.#file!;
    this.#file = undefined;
    this.#try(file.target, () => file.dress());
    const top = this.#levels.length === 0;
    if (this.#options.fsync ?? top) {
      try {
        await file.sync();
      } catch (error) {
        throw this.#fail(file.target, error);
      }
    }
    if (top) this.#complete = file;
    else this.#finish(file);
  }

  #finish(file: OpenFile): void {
    this.#try(file.target, () => file.finish());
    this.#open.delete(file);
  }

  /** Several files are on their way to the disk at once: each takes its time. */
  #finishLater(file: OpenFile): Promise<void> | undefined {
    const syncing = file.sync().then(() => this.#finish(file)).catch(
      (error) => {
        this.#failed ??= { error: this.#fail(file.target, error) };
      },
    ).finally(() => this.#syncing.delete(syncing));
    this.#syncing.add(syncing);
    return this.#syncing.size < MAX_SYNCING
      ? undefined
      : Promise.race(this.#syncing);
  }

  // Directories and links

  enter(name: string, stat: Stat): Promise<void> | undefined {
    if (this.#levels.length === 0) return this.#enterTop(stat);
    const path = this.#place(name);
    try {
      this.#try(path, () => fs.mkdirSync(path, 0o700));
      this.#levels.push({ path, stat });
      return undefined;
    } catch (error) {
      const there = this.#staging === undefined && !this.#over
        ? this.#look(path)
        : undefined;
      if (!there) throw error;
      // A link that leads elsewhere is not followed.
      if (!there.isDirectory()) {
        throw this.#fail(path, systemError("ENOTDIR"));
      }
      return this.#enterOld(path, stat);
    }
  }

  async #enterTop(stat: Stat): Promise<void> {
    const there = this.#existing();
    if (there) {
      if (!there.isDirectory()) {
        throw this.#fail(this.#path, systemError("ENOTDIR"));
      }
      return await this.#enterOld(this.#path, stat);
    }
    await this.#enterParent();
    const staging = temporaryName(this.#path);
    this.#try(this.#path, () => fs.mkdirSync(staging, 0o700));
    this.#staging = staging;
    this.#levels.push({ path: staging, stat });
  }

  leave(): Promise<void> | undefined {
    if (this.#syncing.size > 0) {
      return Promise.all(this.#syncing).then(() => this.leave());
    }
    if (this.#failed) throw this.#failed.error;
    const { path, stat, claim } = this.#levels.pop()!;
    claim?.[Symbol.dispose]();
    this.#try(path, () => {
      const { root, bits } = this.#writer;
      if (root && stat.uid !== UNKNOWN) fs.chownSync(path, stat.uid, stat.gid);
      fs.chmodSync(path, stat.mode & bits);
      setTime(path, stat.mtime);
    });
    return undefined;
  }

  link(name: string, stat: Stat, to: string): void {
    const target = this.#placeFree(name);
    const path = this.#under(target);
    this.#try(target, () => {
      fs.symlinkSync(to, path);
      try {
        if (this.#writer.root) fs.lchownSync(path, stat.uid, stat.gid);
        setTime(path, stat.mtime, true);
        if (path !== target) fs.renameSync(path, target);
      } catch (error) {
        remove(path);
        throw error;
      }
    });
  }

  async end(): Promise<void> {
    if (this.#complete) {
      this.#finish(this.#complete);
      await this.#parent?.sync();
    }
    const staging = this.#staging;
    if (staging !== undefined) {
      this.#try(this.#path, () => fs.renameSync(staging, this.#path));
      this.#staging = undefined;
      if (this.#options.fsync) await this.#parent?.sync();
    }
    this.#over = { reason: new TypeError("the copy is complete") };
    this.#dispose();
  }
}
