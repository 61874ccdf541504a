/**
 * Flows: pieces of something long that go from one context to another in
 * order, no faster than the other end takes them.
 *
 * The data of a piece is a byte that says what it is, and what that needs. The
 * sender may go on while it has credit; each piece takes some, and the receiver
 * gives it back as it is done with them. So one flow never holds more than its
 * window in all the hops together, and a slow reader stops its own writer only.
 *
 * @module
 */
import { errorMessage, errorName } from "./errors.ts";
import { HEADER_SIZE, MAX_PIECE } from "./frame.ts";
import { frames } from "./frame_pool.ts";
import type { Message, MessageFields } from "./message.ts";

/** What a piece of a flow is. */
export const Piece = {
  /** Bytes of a stream of bytes, which may be cut anywhere. */
  BYTES: 0,
  /** One value, or the last part of one. */
  VALUE: 1,
  /** A part of a value or of a message; more follows. */
  MORE: 2,
  /** Nothing more will come. */
  END: 3,
  /** A value that says why nothing more will come. */
  ERROR: 4,
  /** The beginning of a large message: see `lanes.ts`. */
  MESSAGE: 5,
} as const;

/** Credit that every stream begins with, in bytes. */
export const WINDOW: number = 128 * 1024;

/** Credit of a reader that keeps up grows to this, in bytes. */
export const AMPLE_WINDOW: number = 1024 * 1024;

/**
 * It grows to this where the way is so long that it helps. Elsewhere more would
 * only wait in the buffers on the way, ahead of all else, and sshd takes a
 * second of processor time to make room for it.
 */
export const MAX_WINDOW: number = 8 * 1024 * 1024;

/**
 * Bytes of a flow, or of a lane, that wait to be written at a time: enough to
 * keep a link busy, and few enough that they are in the processor's cache when
 * it comes to them.
 */
export const MAX_UNWRITTEN: number = 256 * 1024;

/** Credit that the first step of an iteration gives, in bytes. */
export const ITEM_WINDOW: number = 64 * 1024;

/** A piece takes this much credit at least: small ones cost memory too. */
export const MIN_COST = 1024;

/** Limit of one value in a flow, in bytes: less than may wait unread. */
export const MAX_VALUE: number = 32 * 1024 * 1024;

/** What a piece with so many bytes of data takes of the credit. */
export function costOf(size: number): number {
  return size < MIN_COST ? MIN_COST : size;
}

/**
 * Makes a frame for a piece: header, what it is, room for `size` bytes. The
 * largest are used again: a new one costs more than what goes into it, and what
 * was in it before is there until that is overwritten.
 */
export function pieceFrame(
  kind: number,
  size: number,
): Uint8Array<ArrayBuffer> {
  const frame = (size === MAX_PIECE ? frames.take() : undefined) ??
    new Uint8Array(HEADER_SIZE + 1 + size);
  frame[HEADER_SIZE] = kind;
  return frame;
}

/** Bytes ahead of the first data of a large message: handle, reply handle, magic, length. */
export const MESSAGE_HEAD = 14;

/** What a piece carries. */
export function bodyOf(data: Uint8Array): Uint8Array {
  return data.subarray(data[0] === Piece.MESSAGE ? 1 + MESSAGE_HEAD : 1);
}

/** Joins what pieces carry, `size` bytes, behind free ones. They are spent by it. */
export function joinPieces(
  pieces: readonly Message[],
  size: number,
  headroom = 0,
): Uint8Array {
  const all = new Uint8Array(headroom + size);
  let at = headroom;
  for (const piece of pieces) {
    const body = bodyOf(piece.data);
    all.set(body, at);
    at += body.length;
    piece.spend();
  }
  return all;
}

/** Sends a message to the other end. */
export type Post = (fields: MessageFields, frame?: Uint8Array) => void;

/** Encodes a value for the other end, behind so many free bytes. */
export type EncodeValue = (value: unknown, headroom: number) => Uint8Array;

/** Encodes why something ended; what cannot cross is said in words. */
export function encodeReason(
  reason: unknown,
  encode: EncodeValue,
  headroom: number,
): Uint8Array {
  try {
    const frame = encode(reason, headroom);
    if (frame.length - headroom <= MAX_PIECE) return frame;
  } catch {
    // In words, then.
  }
  return encode(wordsOf(reason), headroom);
}

/** What can be said of a reason that cannot cross; it may be impossible to read. */
function wordsOf(reason: unknown): unknown {
  const message = errorMessage(reason).slice(0, 10_000);
  try {
    if (!(reason instanceof Error)) return message;
  } catch {
    return message;
  }
  const name = errorName(reason).slice(0, 1000);
  return Object.assign(new Error(message), { name });
}
