/**
 * Where files are written before they take their names: beside them, so that
 * they can.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";

const TEMPORARY = /^\..*\.mitogen-[0-9a-f]{12}$/s;

/** Longest part of a name that is kept: 255 bytes are the limit of most systems. */
const MAX_KEPT = 200;

function beside(path: string, suffix: string): string {
  let name = basename(path);
  while (new TextEncoder().encode(name).length > MAX_KEPT) {
    name = name.slice(0, -1);
  }
  return join(dirname(path), `.${name}.mitogen-${suffix}`);
}

/** A path without the slashes at its end. */
export function withoutSlash(path: string): string {
  return path.replace(/(?<=.)\/+$/s, "");
}

/** A name beside a path that nothing has. */
export function temporaryName(path: string): string {
  return beside(path, randomBytes(6).toString("hex"));
}

/** Where the beginning of a file is kept until the rest comes. */
export function partialName(path: string): string {
  return beside(path, "partial");
}

/** Removes whatever there is, if it is there and may be removed. */
export function remove(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    // It stays: there is nobody who could do more.
  }
}

/** A directory that is written to. */
export interface Claim extends Disposable {
  /** Sees to it that the names in it are on the disk. */
  sync(): Promise<void>;
}

/**
 * Says that files in a directory are being written, and removes what is left
 * there of copies that were killed. Does nothing where that cannot be known.
 */
export async function claim(path: string): Promise<Claim> {
  let directory: Deno.FsFile | undefined;
  try {
    directory = await Deno.open(path);
    // Whoever writes here shares the lock; the kernel takes it from the dead.
    if (await directory.tryLock(true)) {
      for (const { name } of Deno.readDirSync(path)) {
        if (TEMPORARY.test(name)) remove(join(path, name));
      }
      await directory.unlock();
    }
    // Others hold it alone while they clear up, and no longer.
    for (let tries = 0; tries < 50; tries++) {
      if (await directory.tryLock(false)) break;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  } catch {
    // No read permission, or no locks there.
  }
  return {
    sync: async () => {
      // Not all file systems can.
      await directory?.sync().catch(() => {});
    },
    [Symbol.dispose]: () => directory?.close(),
  };
}
