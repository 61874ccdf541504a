import { concat, errorMessage } from "../core/mod.ts";
import type { RuntimeInfo } from "./runtime_script.ts";

/** Most of the gain at half of the time of the usual 6. */
const LEVEL = 2;

/** Bytes that are compressed before others get their turn. */
const SLICE = 1024 * 1024;

/** The executable that this process runs on, as something to send. */
export class OwnRuntime {
  #info: Promise<RuntimeInfo> | undefined;
  #packed: Promise<Uint8Array> | undefined;

  /** @throws when it cannot be read */
  info(): Promise<RuntimeInfo> {
    return this.#info ??= ownExecutable()
      .then((bytes) => runtimeInfo(Deno.version.deno, bytes))
      .catch((error) => {
        this.#info = undefined;
        throw error;
      });
  }

  /** The same, compressed; made when it is first needed, and kept. */
  packed(): Promise<Uint8Array> {
    return this.#packed ??= ownExecutable().then(compress).catch((error) => {
      this.#packed = undefined;
      throw error;
    });
  }
}

/** One for the process: every tree of contexts in it has the same. */
export const ownRuntime: OwnRuntime = new OwnRuntime();

/** Keeps what is made once under a key; a failure is not kept. */
export function once<T>(
  kept: Map<string, Promise<T>>,
  key: string,
  make: () => Promise<T>,
): Promise<T> {
  let value = kept.get(key);
  if (!value) {
    kept.set(key, value = make());
    value.catch(() => kept.delete(key));
  }
  return value;
}

/** What a target is told of an executable. */
export async function runtimeInfo(
  version: string,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<RuntimeInfo> {
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return {
    version,
    size: bytes.length,
    sha256: new Uint8Array(digest).toHex(),
  };
}

/** Compresses with gzip, in slices: other connections go on meanwhile. */
export async function compress(bytes: Uint8Array): Promise<Uint8Array> {
  // Only who sends a runtime needs it.
  const { createGzip } = await import("node:zlib");
  const gzip = createGzip({ level: LEVEL, chunkSize: SLICE });
  const parts: Uint8Array[] = [];
  let size = 0;
  gzip.on("data", (part: Uint8Array) => {
    parts.push(part);
    size += part.length;
  });
  const ended = new Promise((resolve, reject) => {
    gzip.on("end", resolve);
    gzip.on("error", reject);
  });
  for (let at = 0; at < bytes.length; at += SLICE) {
    gzip.write(bytes.subarray(at, at + SLICE));
    await new Promise((resolve) => setTimeout(resolve));
  }
  gzip.end();
  await ended;
  return concat(parts, size);
}

/**
 * Reads the executable. A context that opens others may run programs but need
 * not be allowed to read: `cat` may. It finds the file even when that was
 * deleted, as it is with `cacheDir: null`.
 */
async function ownExecutable(): Promise<Uint8Array<ArrayBuffer>> {
  const path = Deno.execPath();
  const descriptor = { name: "read", path } as const;
  if (Deno.permissions.querySync(descriptor).state === "granted") {
    try {
      return await Deno.readFile(path);
    } catch {
      // Deleted, or the path is not seen from here.
    }
  }
  let why: string;
  try {
    const script = 'cat "/proc/$1/exe" 2>/dev/null||exec cat "$2"';
    const { success, stdout, stderr } = await new Deno.Command("sh", {
      args: ["-c", script, "sh", String(Deno.pid), path],
      stdin: "null",
    }).output();
    if (success) return stdout;
    why = new TextDecoder().decode(stderr).trim();
  } catch (error) {
    why = errorMessage(error);
  }
  throw new Error(
    `the Deno that ${path} is cannot be read here, which takes --allow-read=${path}: ${why}`,
  );
}
