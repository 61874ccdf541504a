/**
 * What the client and the host end say to each other over the Unix socket.
 *
 * An invocation is two connections. Each begins with a letter (`C` control,
 * `D` data), the token and the id of the invocation. On the data connection
 * nothing but stdin and stdout follows, as they are, each ended by closing that
 * direction. On the control connection frames follow: a letter, the length in
 * four bytes, that many bytes.
 *
 * @module
 */

/** Kinds of frames. */
export const Frame = {
  /** Client: what it was called with; see {@linkcode parseHello}. */
  HELLO: "H",
  /** Client: its terminal has another size: `rows columns`. */
  SIZE: "Z",
  /** Client: nobody reads its stdout any more. */
  DEAF: "P",
  /**
   * Client: what it was told to run has ended; its exit code, one byte, and `r`
   * if the connection has refused it before it had read anything.
   */
  DONE: "D",
  /** Host: run this yourself; see {@linkcode RunFlag}. */
  RUN: "R",
  /** Host: read stdin from now on; `r` as data: put the terminal in raw mode. */
  GO: "G",
  /** Host: this is for stderr. */
  STDERR: "E",
  /** Host: nobody reads stdin any more. */
  STOP: "W",
  /** Host: exit with this, one byte, when all output is written. */
  EXIT: "X",
} as const;

/**
 * What a client is to run instead of carrying bytes: letters, then the command,
 * with NULs between. Its error output is the client's to pass on.
 */
export const RunFlag = {
  /** It reads nothing. */
  NULL: "n",
  /**
   * It is the command itself: in a process group of its own, and nobody else
   * holds on to its stdin and stdout.
   */
  HERE: "h",
} as const;

/** A letter, the token, the id. */
export const TOKEN_LENGTH = 64;
/** Length of the id of an invocation, as text. */
export const ID_LENGTH = 32;
/** Length of what a connection begins with. */
export const PREFIX_LENGTH: number = 1 + TOKEN_LENGTH + ID_LENGTH;

/** Limit on one frame from a client: command lines have 2 MiB at most. */
const MAX_FRAME = 4 * 1024 * 1024;

/** What a client says of itself. */
export interface Hello {
  /** What ssh was called with, without its own name. */
  args: string[];
  /** The arguments are no UTF-8: each character of them is one byte. */
  binary: boolean;
  /** Whether stdin, stdout and stderr are terminals. */
  terminals: [stdin: boolean, stdout: boolean, stderr: boolean];
  /** The user that it runs as; -1 if it cannot tell. */
  uid: number;
  /** Size of the terminal; 0 where there is none. */
  rows: number;
  /** Size of the terminal; 0 where there is none. */
  columns: number;
  /** Variables that `SendEnv` may name, and `TERM`. */
  env: Record<string, string>;
}

/**
 * Reads a client's greeting: fields with NULs between them.
 *
 * @throws {TypeError} when it is none
 */
export function parseHello(bytes: Uint8Array): Hello {
  let text: string;
  let binary = false;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
      .decode(bytes);
  } catch {
    binary = true;
    text = "";
    for (let at = 0; at < bytes.length; at += 8192) {
      text += String.fromCharCode(...bytes.subarray(at, at + 8192));
    }
  }
  const [self, rows, columns, count, ...rest] = text.split("\0");
  const [tty, uid] = self!.split(" ");
  const variables = Number(count);
  if (
    !/^[01]{3}$/.test(tty!) || !/^\d+$/.test(count ?? "") ||
    variables > rest.length
  ) throw new TypeError("Cannot read the greeting of a client");
  const env: Record<string, string> = {};
  for (const pair of rest.slice(0, variables)) {
    const at = pair.indexOf("=");
    if (at > 0) env[pair.slice(0, at)] = pair.slice(at + 1);
  }
  const [a, b, c] = [...tty!].map((digit) => digit === "1");
  return {
    args: rest.slice(variables),
    binary,
    terminals: [a!, b!, c!],
    uid: /^\d+$/.test(uid ?? "") ? Number(uid) : -1,
    rows: Number(rows) | 0,
    columns: Number(columns) | 0,
    env,
  };
}

/** The control connection as the host end sees it. */
export class Control {
  readonly #conn: Deno.Conn;
  #rest: Uint8Array;
  #tail: Promise<unknown> = Promise.resolve();

  /** @param rest what was read already */
  constructor(conn: Deno.Conn, rest: Uint8Array) {
    this.#conn = conn;
    this.#rest = rest;
  }

  async #take(size: number): Promise<Uint8Array | null> {
    while (this.#rest.length < size) {
      const room = Math.max(4096, size - this.#rest.length);
      const chunk = new Uint8Array(room);
      const count = await this.#conn.read(chunk).catch(() => null);
      if (count === null) return null;
      const joined = new Uint8Array(this.#rest.length + count);
      joined.set(this.#rest);
      joined.set(chunk.subarray(0, count), this.#rest.length);
      this.#rest = joined;
    }
    const taken = this.#rest.subarray(0, size);
    this.#rest = this.#rest.subarray(size);
    return taken;
  }

  /** The next frame; `null` when the client is gone, or talks nonsense. */
  async read(): Promise<[kind: string, data: Uint8Array] | null> {
    const head = await this.#take(5);
    if (!head) return null;
    const size = new DataView(head.buffer, head.byteOffset).getUint32(1);
    if (size > MAX_FRAME) return null;
    const data = await this.#take(size);
    return data && [String.fromCharCode(head[0]!), data];
  }

  /**
   * Sends a frame, after those before; resolves when it is written.
   *
   * @throws when the client is gone
   */
  send(kind: string, data: Uint8Array = new Uint8Array(0)): Promise<void> {
    const frame = new Uint8Array(5 + data.length);
    frame[0] = kind.charCodeAt(0);
    new DataView(frame.buffer).setUint32(1, data.length);
    frame.set(data, 5);
    const sent = this.#tail.then(() => writeAll(this.#conn, frame));
    this.#tail = sent.catch(() => {});
    return sent;
  }

  /** Sends text for stderr. What cannot be said to a client is not said. */
  async say(text: string): Promise<void> {
    await this.send(Frame.STDERR, new TextEncoder().encode(text))
      .catch(() => {});
  }

  /** Ends the connection. */
  close(): void {
    close(this.#conn);
  }
}

/** Writes all bytes. */
export async function writeAll(
  conn: Deno.Conn,
  bytes: Uint8Array,
): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    at += await conn.write(at === 0 ? bytes : bytes.subarray(at));
  }
}

/** Closes a connection that may be closed already. */
export function close(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch {
    // It was.
  }
}
