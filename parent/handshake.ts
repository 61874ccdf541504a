/**
 * What is said on a Unix socket before the frames: one line of JSON each way.
 *
 * @module
 */
import type { Socket } from "node:net";
import { createHash } from "node:crypto";
import { type ChildConfig, concat, type Keepalive } from "../core/mod.ts";

/** What a program says that wants to join. */
export interface Hello {
  /** What the key file beside the socket holds. */
  key: string;
  /** Which core it has; contexts only understand their own kind. */
  core: string;
  /** When the listener takes it for lost. Default: as everywhere. */
  keepalive?: Keepalive;
  /** Its process: one that computes is not lost. */
  pid?: number;
}

/**
 * What it is told: who it is in the tree and which process listens, or why it
 * is not let in.
 */
export type Welcome = { config: ChildConfig; pid?: number } | { error: string };

/** Bytes of a line. */
const MAX_LINE = 64 * 1024;

/** The file that proves that somebody may read what this user may read. */
export function keyFile(path: string): string {
  return `${path}.key`;
}

/** @throws {TypeError} when it is no path, such as a URL */
export function checkPath(path: unknown, action: "listen" | "join"): void {
  if (typeof path === "string" && path !== "" && !path.includes("\0")) return;
  const named = typeof path === "string" ? JSON.stringify(path) : String(path);
  throw new TypeError(
    `Cannot ${action} at ${named}: expected the path of a socket, as in "/run/user/1000/fleet"`,
  );
}

/** How the content of a key file begins: what tells it from a file of others. */
const KEY_HEAD = "mitogen listener ";

const KEY = new RegExp(`^${KEY_HEAD}[0-9a-f]{64}\\n$`);

/** Bytes of a key file. */
export const KEY_SIZE: number = KEY_HEAD.length + 65;

/** The content of a new key file. */
export function newKey(): string {
  const secret = crypto.getRandomValues(new Uint8Array(32)).toHex();
  return `${KEY_HEAD}${secret}\n`;
}

/** Whether a listener has written this. */
export function isKey(text: string): boolean {
  return KEY.test(text);
}

/** What tells one core from another. */
export function coreDigest(core: Uint8Array): string {
  return createHash("sha256").update(core).digest("hex");
}

/** Writes one line. */
export function say(socket: Socket, what: Hello | Welcome): void {
  socket.write(JSON.stringify(what) + "\n");
}

/**
 * Reads one line; answers it with the bytes that came behind it.
 *
 * @throws {Error} when there is none, it is not JSON, or the signal fires
 */
export function hear(
  socket: Socket,
  signal: AbortSignal,
): Promise<[heard: unknown, rest: Uint8Array]> {
  return new Promise((resolve, reject) => {
    let bytes: Uint8Array = new Uint8Array(0);
    const take = (chunk: Uint8Array) => {
      bytes = concat([bytes, chunk], bytes.length + chunk.length);
      const end = bytes.indexOf(10);
      if (end < 0 && bytes.length <= MAX_LINE) return;
      stop();
      try {
        const line = new TextDecoder().decode(bytes.subarray(0, end));
        resolve([JSON.parse(line), bytes.slice(end + 1)]);
      } catch (error) {
        reject(error);
      }
    };
    const fail = (error: unknown) => {
      stop();
      reject(error);
    };
    const ended = () => fail(new Error("the connection ended"));
    const abort = () => fail(signal.reason);
    const stop = () => {
      socket.pause();
      socket.off("data", take).off("end", ended).off("error", fail);
      signal.removeEventListener("abort", abort);
    };
    socket.on("data", take).on("end", ended).on("error", fail);
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
  });
}
