import type { CopyOptions } from "../../core/mod.ts";
import type { DiskOptions } from "./disk_target.ts";
import type { PackOptions } from "./packer.ts";

/** The bits of a mode. */
const ALL_BITS = 0o7777;

/** The last millisecond of dates, either way. */
const LAST = 8.64e15;

function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/**
 * Looks at what is asked, before anything is done.
 *
 * @throws {TypeError} when something is of another type
 * @throws {RangeError} on a mode that has other bits, or a time that is none
 */
export function checkOptions(options: CopyOptions): void {
  const { mode, mtime, onProgress } = options;
  if (mode !== undefined) {
    const message = `Cannot copy: mode is ${
      shown(mode)
    }, not a whole number from 0 to 0o7777`;
    if (typeof mode !== "number") throw new TypeError(message);
    if (!Number.isInteger(mode) || mode < 0 || mode > ALL_BITS) {
      throw new RangeError(message);
    }
  }
  if (mtime !== undefined) {
    const message = `Cannot copy: mtime is ${
      shown(mtime)
    }, not a valid date or its milliseconds`;
    if (typeof mtime !== "number" && !(mtime instanceof Date)) {
      throw new TypeError(message);
    }
    if (!(Math.abs(Number(mtime)) <= LAST)) throw new RangeError(message);
  }
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw new TypeError(
      `Cannot copy: onProgress is ${shown(onProgress)}, not a function`,
    );
  }
  for (const name of ["resume", "fsync"] as const) {
    const value = options[name];
    if (value !== undefined && typeof value !== "boolean") {
      throw new TypeError(
        `Cannot copy: ${name} is ${shown(value)}, not true or false`,
      );
    }
  }
}

/**
 * What who reads the source is asked for.
 *
 * @param watch told of it where the source is read; otherwise where it is written
 */
export function packOptions(
  { mode, mtime, onProgress }: CopyOptions,
  watch?: PackOptions["onProgress"],
): PackOptions {
  return {
    ...(mode === undefined ? {} : { mode }),
    ...(mtime === undefined ? {} : { mtime: Number(mtime) }),
    ...(onProgress ? { count: true } : {}),
    ...(watch ? { onProgress: watch } : {}),
  };
}

/** What who writes the target is asked for. */
export function diskOptions({ fsync, resume }: CopyOptions): DiskOptions {
  return {
    ...(fsync === undefined ? {} : { fsync }),
    ...(resume === undefined ? {} : { resume }),
  };
}
