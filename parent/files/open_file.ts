import fs from "node:fs";
import type { Stat } from "./batch.ts";

/** What a number stands for that is not known. */
export const UNKNOWN = 0xffffffff;

/** Who writes the files, as far as that matters for what is kept. */
export interface Writer {
  /** Whether it may give files to others. */
  root: boolean;
  /** Bits of a mode that are kept. */
  bits: number;
  /** Bits that new files do not get. */
  umask: number;
}

/**
 * Sets the time of modification of what a path names: that of a link too, which
 * is not followed. NaN leaves it as it is.
 */
export function setTime(path: string, mtime: number, isLink = false): void {
  const time = new Date(mtime).getTime();
  if (Number.isNaN(time)) return;
  const beyond = time % 1000;
  if (beyond >= 0) fs.lutimesSync(path, new Date(), new Date(time));
  // Before 1970, the call that follows no links fails for parts of a second.
  else if (!isLink) Deno.utimeSync(path, new Date(), new Date(time));
  else fs.lutimesSync(path, new Date(), new Date(time - 1000 - beyond));
}

/** A file that is being written under a name that is not its own yet. */
export class OpenFile {
  readonly #writer: Writer;
  /** Where it is now. */
  readonly path: string;
  /** Where it will be. */
  readonly target: string;
  /** Whether what was written is kept when it cannot be completed. */
  readonly partial: boolean;
  readonly stat: Stat;
  #fd: number | undefined;
  #at: number;

  /** Makes it; or goes on behind `offset` bytes of what is there. */
  constructor(
    writer: Writer,
    path: string,
    target: string,
    stat: Stat,
    offset: number | undefined,
  ) {
    this.#writer = writer;
    this.path = path;
    this.target = target;
    this.stat = stat;
    this.partial = offset !== undefined;
    this.#at = offset ?? 0;
    const mode = stat.mode === UNKNOWN ? 0o666 : stat.mode & 0o777;
    this.#fd = offset === undefined
      ? fs.openSync(path, "wx", mode)
      : fs.openSync(path, "r+");
    if (offset !== undefined) fs.ftruncateSync(this.#fd, offset);
  }

  /** Writes while nothing else happens: for small files. */
  writeNow(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      at += fs.writeSync(
        this.#fd!,
        bytes,
        at,
        bytes.length - at,
        this.#at + at,
      );
    }
    this.#at += bytes.length;
  }

  /** Writes beside everything else. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      at += await new Promise<number>((resolve, reject) =>
        fs.write(
          this.#fd!,
          bytes,
          at,
          bytes.length - at,
          this.#at + at,
          (error, written) => error ? reject(error) : resolve(written),
        )
      );
    }
    this.#at += bytes.length;
  }

  /** Gives it owner, mode and time. */
  dress(): void {
    const { root, bits, umask } = this.#writer;
    const { mode, mtime, uid, gid } = this.stat;
    const fd = this.#fd!;
    if (root && uid !== UNKNOWN) fs.fchownSync(fd, uid, gid);
    // After that, for it takes setuid bits away. What was made anew has the
    // mode that it was made with.
    const exact = mode === UNKNOWN ? 0o666 & ~umask : mode & bits;
    if (this.partial || exact > 0o777 || (mode !== UNKNOWN && exact & umask)) {
      fs.fchmodSync(fd, exact);
    }
    // By its name: through descriptors, times are rounded down.
    setTime(this.path, mtime);
  }

  /** Waits until it is on the disk. */
  sync(): Promise<void> {
    return new Promise((resolve, reject) =>
      fs.fsync(this.#fd!, (error) => error ? reject(error) : resolve())
    );
  }

  /** Takes its name. */
  finish(): void {
    this.close();
    if (this.path !== this.target) fs.renameSync(this.path, this.target);
  }

  /** Closes it where it is. */
  close(): void {
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd !== undefined) fs.closeSync(fd);
  }
}
