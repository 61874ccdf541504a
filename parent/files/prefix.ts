import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";

/** The beginning of a file that the other side has already. */
export interface Prefix {
  size: number;
  /** SHA-256. */
  hash: Uint8Array;
}

/** Whether what was hashed is what the other side has. */
export function isSame(own: Prefix, other: Prefix): boolean {
  return own.size === other.size && Buffer.compare(own.hash, other.hash) === 0;
}

/** Bytes that are read at once. */
const STEP = 256 * 1024;

/** The hash of so many bytes of a file, or of as many as there are. */
export async function hashOf(
  file: Deno.FsFile,
  most: number,
): Promise<Prefix> {
  const hash = createHash("sha256");
  const buffer = new Uint8Array(STEP);
  let size = 0;
  while (size < most) {
    const n = await file.read(buffer.subarray(0, most - size));
    if (n === null) break;
    hash.update(buffer.subarray(0, n));
    size += n;
  }
  return { size, hash: new Uint8Array(hash.digest()) };
}
