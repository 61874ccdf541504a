/**
 * The frame: a 26-byte big-endian header, then `length` bytes of data.
 *
 * The layout is Mitogen's, so what is known about it carries over; see
 * docs/protocol.md for every field and golden vectors.
 *
 * @module
 */
import { frames, LARGE_FRAME } from "./frame_pool.ts";

/** Bytes of a frame before its data. */
export const HEADER_SIZE = 26;

/** What the data of a frame is; the first two bytes of every frame. */
export const Magic = {
  /** UTF-8 text: the reason of a dead message. */
  TEXT: 0x4d49,
  /** Raw bytes, not decoded. */
  BYTES: 0x4d4b,
  /** One value in the codec's format. */
  VALUE: 0x4d4c,
  /** One value in the codec's format that was thrown, not returned. */
  ERROR: 0x4d4d,
  /** A piece of a flow; its first byte says of what. See `flow.ts`. */
  FLOW: 0x4d4e,
  /** A value that holds live things, such as streams: read when it arrives. */
  LIVE: 0x4d4f,
} as const;

/** Handles with a fixed meaning. Dynamic ones begin at {@linkcode FIRST_DYNAMIC_HANDLE}. */
export const Handle = {
  GET_MODULE: 100,
  CALL_FUNCTION: 101,
  FORWARD_LOG: 102,
  ADD_ROUTE: 103,
  DEL_ROUTE: 104,
  ALLOCATE_ID: 105,
  SHUTDOWN: 106,
  LOAD_MODULE: 107,
  FORWARD_MODULE: 108,
  DETACHING: 109,
  CALL_SERVICE: 110,
  /** Stops a call that is running: the caller's reply handle. */
  CANCEL_CALL: 120,
  /** Lets the callee forget a call chain. */
  FORGET_CHAIN: 121,
  /** Answers at once with an empty value. */
  PING: 122,
  /** The far ends of what others have sent: see `ends.ts`. */
  FLOW: 123,
  /** What a context without Deno is to be sent, and its pieces. */
  GET_RUNTIME: 130,
} as const;

/** `replyTo` of a dead message. */
export const IS_DEAD = 999;

/** The first handle that a router gives out by itself. */
export const FIRST_DYNAMIC_HANDLE = 1000;

/** A message with more data than this is cut into frames. */
export const MAX_PIECE: number = LARGE_FRAME - HEADER_SIZE - 1;

/** Limit on the data of one frame, in bytes. */
export const MAX_FRAME: number = 128 * 1024;

/** Default limit on the data of one message, in bytes. */
export const MAX_MESSAGE_SIZE = 128 * 1024 * 1024;

/** The header's fields by name. */
export interface Header {
  magic: number;
  dstId: number;
  srcId: number;
  authId: number;
  handle: number;
  replyTo: number;
}

/** Writes a header at the start of `frame`, whose length decides the length field. */
export function writeHeader(frame: Uint8Array, header: Header): void {
  const view = new DataView(frame.buffer, frame.byteOffset, HEADER_SIZE);
  view.setUint16(0, header.magic);
  view.setUint32(2, header.dstId);
  view.setUint32(6, header.srcId);
  view.setUint32(10, header.authId);
  view.setUint32(14, header.handle);
  view.setUint32(18, header.replyTo);
  view.setUint32(22, frame.length - HEADER_SIZE);
}

/** The bytes of a link are not frames: the link cannot go on. */
export class CorruptionError extends Error {
  override name = "CorruptionError";
}

const KNOWN_MAGIC: ReadonlySet<number> = new Set(Object.values(Magic));

function u32(b: Uint8Array, at: number): number {
  return ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) |
    b[at + 3]!) >>> 0;
}

/** Reads the header at `at`. Does not check anything. */
export function readHeader(b: Uint8Array, at: number): Header {
  return {
    magic: (b[at]! << 8) | b[at + 1]!,
    dstId: u32(b, at + 2),
    srcId: u32(b, at + 6),
    authId: u32(b, at + 10),
    handle: u32(b, at + 14),
    replyTo: u32(b, at + 18),
  };
}

/** How much larger the buffer of a frame that is incomplete grows at a time. */
const GROWTH = 8;

const EMPTY = new Uint8Array(0);

/**
 * Cuts a stream of bytes, in chunks of any size, into frames.
 *
 * A frame that lies whole in one chunk is handed on as a view of it; one that
 * spans chunks is copied together, once, so that no chunk is kept: one of a
 * single byte may hold on to a large read buffer. Nothing is allocated on the
 * word of a length field: memory is at most {@linkcode GROWTH} times what has
 * arrived.
 */
export class FrameReader {
  readonly #maxSize: number;
  readonly #onFrame: (frame: Uint8Array) => void;
  /** The frame that has begun, and of it what has arrived. */
  #buffer: Uint8Array = EMPTY;
  #have = 0;
  /** Bytes until more can be told: a header, or a whole frame. */
  #need = HEADER_SIZE;

  /**
   * @param onFrame gets every whole frame, header included, to keep
   * @param maxSize limit of a frame's data, in bytes
   */
  constructor(onFrame: (frame: Uint8Array) => void, maxSize: number) {
    this.#onFrame = onFrame;
    this.#maxSize = maxSize;
  }

  /** Bytes that wait for the rest of their frame. */
  get pending(): number {
    return this.#have;
  }

  /**
   * Takes the next chunk.
   *
   * @param lent whether it is the caller's again afterwards; it belongs to the
   * reader from now on if not
   * @throws {CorruptionError} on a wrong magic or a length over the limit
   */
  push(chunk: Uint8Array, lent = false): void {
    let at = this.#have > 0 ? this.#complete(chunk) : 0;
    while (chunk.length - at >= HEADER_SIZE) {
      const size = this.#check(chunk, at);
      if (size > chunk.length - at) {
        this.#need = size;
        break;
      }
      if (lent && size < LARGE_FRAME) {
        // One copy of many small ones is cheaper than many.
        const end = endOfSmall(chunk, at);
        this.push(chunk.slice(at, end));
        at = end;
        continue;
      }
      const end = at + size;
      this.#onFrame(
        lent ? this.#copy(chunk, at, end) : chunk.subarray(at, end),
      );
      at = end;
    }
    if (at < chunk.length) this.#keep(chunk, at, chunk.length);
  }

  #copy(chunk: Uint8Array, at: number, end: number): Uint8Array {
    const spare = end - at === LARGE_FRAME ? frames.take() : undefined;
    // A copy that is made so is not filled with zeros first, as that of `slice` is.
    if (!spare) return new Uint8Array(chunk.subarray(at, end));
    spare.set(chunk.subarray(at, end));
    return spare;
  }

  /** Adds what is missing of the frame that has begun; answers how much was. */
  #complete(chunk: Uint8Array): number {
    let at = 0;
    while (at < chunk.length) {
      const end = Math.min(chunk.length, at + this.#need - this.#have);
      this.#keep(chunk, at, end);
      at = end;
      if (this.#have < this.#need) break;
      const size = this.#check(this.#buffer, 0);
      if (size > this.#have) {
        this.#need = size;
        continue;
      }
      const frame = this.#buffer.subarray(0, size);
      // It is kept by who gets it: the next one gets another buffer.
      this.#buffer = EMPTY;
      this.#have = 0;
      this.#need = HEADER_SIZE;
      this.#onFrame(frame);
      break;
    }
    return at;
  }

  #keep(chunk: Uint8Array, from: number, to: number): void {
    const have = this.#have + to - from;
    if (have > this.#buffer.length) {
      const size = Math.max(have, Math.min(this.#need, have * GROWTH));
      const spare = this.#need === LARGE_FRAME ? frames.take() : undefined;
      const buffer = spare ?? new Uint8Array(size);
      buffer.set(this.#buffer.subarray(0, this.#have));
      this.#buffer = buffer;
    }
    this.#buffer.set(chunk.subarray(from, to), this.#have);
    this.#have = have;
  }

  #check(b: Uint8Array, at: number): number {
    const magic = (b[at]! << 8) | b[at + 1]!;
    if (!KNOWN_MAGIC.has(magic)) {
      const seen = new TextDecoder().decode(b.subarray(at, at + 200));
      throw new CorruptionError(
        `Cannot read a frame: wrong signature 0x${
          magic.toString(16).padStart(4, "0")
        }; some other program writes to this connection. Received: ${
          JSON.stringify(seen)
        }`,
      );
    }
    const length = u32(b, at + 22);
    if (length > this.#maxSize) {
      throw new CorruptionError(
        `Cannot read a frame of ${length} bytes: the limit is ${this.#maxSize}`,
      );
    }
    return HEADER_SIZE + length;
  }
}

/** Where the small frames end, of which there is at least one, that lie in a row. */
function endOfSmall(chunk: Uint8Array, at: number): number {
  do {
    const size = HEADER_SIZE + u32(chunk, at + 22);
    if (size >= LARGE_FRAME || size > chunk.length - at) break;
    at += size;
  } while (chunk.length - at >= HEADER_SIZE);
  return at;
}

/** Joins chunks whose lengths add up to `size`. */
export function concat(parts: readonly Uint8Array[], size: number): Uint8Array {
  const all = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
