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
import { CodecError } from "./codec.ts";
import { HEADER_SIZE, Magic, MAX_PIECE } from "./frame.ts";
import { concat } from "./frame.ts";
import { Message, type MessageFields } from "./message.ts";

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
export const MAX_WINDOW: number = 4 * 1024 * 1024;

/** Credit that the first step of an iteration gives, in bytes. */
export const ITEM_WINDOW: number = 64 * 1024;

/** A piece takes this much credit at least: small ones cost memory too. */
const MIN_COST = 1024;

/** Bytes of a flow that wait to be written at a time. */
const MAX_UNWRITTEN = 1024 * 1024;

/**
 * Frames that a flow keeps, to fill them again: a transport has copied what it
 * says is written, and a new frame costs more than what goes into it.
 */
const SPARE = 16;

/** What a piece with so many bytes of data takes of the credit. */
export function costOf(size: number): number {
  return size < MIN_COST ? MIN_COST : size;
}

/** Makes a frame for a piece: header, what it is, room for `size` bytes. */
export function pieceFrame(kind: number, size: number): Uint8Array {
  const frame = new Uint8Array(HEADER_SIZE + 1 + size);
  frame[HEADER_SIZE] = kind;
  return frame;
}

/** Sends a message to the other end. */
export type Post = (fields: MessageFields, frame?: Uint8Array) => void;

/** Encodes a value for the other end, behind so many free bytes. */
export type EncodeValue = (value: unknown, headroom: number) => Uint8Array;

/** The sending end of a flow. */
export class Outflow {
  readonly #post: Post;
  readonly #encode: EncodeValue;
  #credit: number;
  #stopped: { reason: unknown } | undefined;
  /** Bytes that the link has not taken yet. */
  #unwritten = 0;
  /** A piece that has room for more bytes, and where they go. */
  #held: Uint8Array | undefined;
  #end = 0;
  readonly #reuse: boolean;
  readonly #spare: Uint8Array[] = [];
  #wake: PromiseWithResolvers<void> | undefined;

  /**
   * @param credit what it may send before it is told more
   * @param reuse whether nobody holds a frame that was written
   */
  constructor(
    post: Post,
    encode: EncodeValue,
    credit: number,
    reuse: boolean,
  ) {
    this.#post = post;
    this.#encode = encode;
    this.#credit = credit;
    this.#reuse = reuse;
  }

  /** Whether the other end has had enough. */
  get stopped(): boolean {
    return this.#stopped !== undefined;
  }

  /** Takes credit from the other end. */
  grant(credit: number): void {
    // No reader has more: one that says so would fill this memory with what
    // the link does not take.
    this.#credit = Math.min(this.#credit + credit, MAX_WINDOW);
    if (!this.#full()) this.#wake?.resolve();
  }

  /** Ends it: nothing more is sent, and who waits for credit gets the reason. */
  stop(reason: unknown): void {
    this.#stopped ??= { reason };
    this.#wake?.resolve();
  }

  /**
   * Waits until something may be sent; at once where it may.
   *
   * @throws the reason for which it was stopped
   */
  ready(): Promise<void> | undefined {
    if (this.#stopped) throw this.#stopped.reason;
    return this.#full() ? this.#wait() : undefined;
  }

  #full(): boolean {
    return this.#credit <= 0 || this.#unwritten >= MAX_UNWRITTEN;
  }

  async #wait(): Promise<void> {
    while (this.#full() && !this.#stopped) {
      this.#wake ??= Promise.withResolvers<void>();
      await this.#wake.promise;
      this.#wake = undefined;
    }
    if (this.#stopped) throw this.#stopped.reason;
  }

  /** @param reusable the frame that may be used again when it is written */
  #piece(frame: Uint8Array, reusable?: Uint8Array): void {
    const { length } = frame;
    this.#credit -= costOf(length - HEADER_SIZE - 1);
    this.#unwritten += length;
    const written = () => {
      this.#unwritten -= length;
      if (reusable && this.#spare.length < SPARE) this.#spare.push(reusable);
      if (this.#stopped) return;
      // The link has taken all that was sent: it gets what was held back.
      if (this.#unwritten === 0) this.#flush();
      if (!this.#full()) this.#wake?.resolve();
    };
    this.#post({ magic: Magic.FLOW, written }, frame);
  }

  /** Sends the bytes that were held back. */
  #flush(): void {
    const frame = this.#held;
    if (!frame) return;
    this.#held = undefined;
    this.#piece(
      frame.subarray(0, this.#end),
      this.#reuse ? frame : undefined,
    );
  }

  /**
   * Sends bytes, or a value; resolves when they have left or are held back for
   * a moment.
   *
   * @throws {CodecError} when the value cannot cross
   */
  write(chunk: unknown): Promise<void> | undefined {
    return chunk instanceof Uint8Array ? this.#bytes(chunk) : this.value(chunk);
  }

  /**
   * Pieces are as large as they may be, since they fill a pipe just so: what is
   * left of a chunk waits for the next one, as long as the link is busy.
   */
  #bytes(chunk: Uint8Array): Promise<void> | undefined {
    for (let at = 0; at < chunk.length;) {
      const wait = this.ready();
      if (wait) return wait.then(() => this.#bytes(chunk.subarray(at)));
      const left = chunk.length - at;
      if (!this.#held && left < MAX_PIECE && this.#unwritten === 0) {
        const frame = pieceFrame(Piece.BYTES, left);
        frame.set(chunk.subarray(at), HEADER_SIZE + 1);
        this.#piece(frame);
        return undefined;
      }
      if (!this.#held) {
        this.#held = this.#spare.pop() ?? pieceFrame(Piece.BYTES, MAX_PIECE);
        this.#end = HEADER_SIZE + 1;
      }
      const part = chunk.subarray(at, at + this.#held.length - this.#end);
      this.#held.set(part, this.#end);
      this.#end += part.length;
      at += part.length;
      if (this.#end === this.#held.length) this.#flush();
    }
    return undefined;
  }

  /**
   * Sends a value, which arrives as it is: bytes are neither cut nor joined.
   *
   * @throws {CodecError} when the value cannot cross
   */
  async value(value: unknown): Promise<void> {
    let wait = this.ready();
    if (wait) await wait;
    this.#flush();
    // That may have taken the last of the credit.
    wait = this.ready();
    if (wait) await wait;
    const whole = this.#encode(value, HEADER_SIZE + 1);
    const size = whole.length - HEADER_SIZE - 1;
    if (size <= MAX_PIECE) {
      whole[HEADER_SIZE] = Piece.VALUE;
      return this.#piece(whole);
    }
    for (let at = HEADER_SIZE + 1; at < whole.length; at += MAX_PIECE) {
      const wait = this.ready();
      if (wait) await wait;
      const part = whole.subarray(at, at + MAX_PIECE);
      const last = at + MAX_PIECE >= whole.length;
      const frame = pieceFrame(last ? Piece.VALUE : Piece.MORE, part.length);
      frame.set(part, HEADER_SIZE + 1);
      this.#piece(frame);
    }
  }

  /** Says that nothing more will come. */
  end(): void {
    if (!this.#stopped) {
      this.#flush();
      this.#post({ magic: Magic.FLOW }, pieceFrame(Piece.END, 0));
    }
    this.stop(new TypeError("Cannot write: the stream has ended"));
  }

  /** Says that nothing more will come, and why; in order after what was sent. */
  fail(reason: unknown): void {
    if (!this.#stopped) {
      this.#flush();
      const frame = encodeReason(reason, this.#encode, HEADER_SIZE + 1);
      frame[HEADER_SIZE] = Piece.ERROR;
      this.#post({ magic: Magic.FLOW }, frame);
    }
    this.stop(reason);
  }
}

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
  const words = reason instanceof Error
    ? Object.assign(new Error(reason.message.slice(0, 10_000)), {
      name: reason.name,
    })
    : String(reason).slice(0, 10_000);
  return encode(words, headroom);
}

/** One step of a flow as its reader sees it. */
export type Step = { done: false; value: unknown } | {
  done: true;
  value: undefined;
};

const DONE: Step = { done: true, value: undefined };

/** What the receiving end of a flow has to do with. */
export interface InflowHost {
  /** Tells the sender that it may send more. */
  grant(credit: number): void;
  /** Reads a value that the sender has sent. */
  decode(data: Uint8Array): unknown;
  /** Asks for room to hold more than before; answers whether it is there. */
  grow(bytes: number): boolean;
  /** Where what it holds is counted. */
  budget: Budget;
  /** Limit of one value, in bytes. */
  maxSize: number;
}

/** What all flows of one neighbour may hold together. */
export class Budget {
  #left: number;

  /** @param limit in bytes */
  constructor(limit: number) {
    this.#left = limit;
  }

  /**
   * Takes some of it, or gives it back with less than 0.
   *
   * @throws {CodecError} when nothing is left
   */
  take(bytes: number): void {
    if (bytes > this.#left) {
      throw new CodecError(
        "Cannot take more: too much waits in streams that nobody reads",
      );
    }
    this.#left -= bytes;
  }
}

/** What one flow has taken of a budget. */
class Account {
  readonly #budget: Budget;
  held = 0;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  take(bytes: number): void {
    this.#budget.take(bytes);
    this.held += bytes;
  }
}

/** A stream that is dropped without having been read gives back what it held. */
const dropped = new FinalizationRegistry<Account>((account) =>
  account.take(-account.held)
);

/** The receiving end of a flow: a queue with one reader. */
export class Inflow {
  readonly #host: InflowHost;
  #queue: { value: unknown; cost: number }[] = [];
  #parts: Uint8Array[] = [];
  #partial = 0;
  #window: number;
  #allowed: number;
  #taken = 0;
  #grown = 0;
  #end: { error?: unknown } | undefined;
  #waiter: PromiseWithResolvers<Step> | undefined;
  readonly #account: Account;

  /** @param window what the sender may send before it is told more */
  constructor(host: InflowHost, window: number) {
    this.#host = host;
    this.#account = new Account(host.budget);
    dropped.register(this, this.#account);
    this.#window = this.#allowed = window;
  }

  /** What it may hold at most, in bytes. */
  get window(): number {
    return this.#window;
  }

  /** Whether the sender has said that nothing more will come. */
  get ended(): boolean {
    return this.#end !== undefined;
  }

  /** Lets the sender begin, where it waits to be told. */
  open(window: number): void {
    this.#window = window;
    this.#allow(window);
  }

  #allow(credit: number): void {
    this.#allowed += credit;
    this.#host.grant(credit);
  }

  /**
   * Takes a piece.
   *
   * @throws {CodecError} when it is none that a sender sends
   */
  push({ data }: Message): void {
    if (this.#end) return;
    const kind = data[0];
    if (kind === Piece.END) return this.finish({});
    if (kind === Piece.ERROR) {
      return this.finish({ error: this.#host.decode(data.subarray(1)) });
    }
    const cost = costOf(data.length - 1);
    // The last piece may go over what was left.
    if (this.#allowed <= 0) {
      throw new CodecError("Cannot take more: the sender had no credit left");
    }
    this.#allowed -= cost;
    const body = data.subarray(1);
    switch (kind) {
      case Piece.BYTES:
        return this.#give(body, cost);
      case Piece.MORE:
        this.#partial += body.length;
        if (this.#partial > this.#host.maxSize) {
          throw new CodecError("Cannot take a value: it is too large");
        }
        this.#account.take(body.length);
        this.#parts.push(body);
        // Nobody can take it before the rest is here.
        return this.#done(cost);
      case Piece.VALUE: {
        const whole = this.#parts.length === 0
          ? body
          : concat([...this.#parts, body], this.#partial + body.length);
        this.#account.take(-this.#partial);
        this.#parts = [];
        this.#partial = 0;
        return this.#give(this.#host.decode(whole), cost);
      }
    }
    throw new CodecError(`Cannot read a piece of kind ${kind}`);
  }

  #give(value: unknown, cost: number): void {
    const waiter = this.#waiter;
    if (!waiter) {
      this.#account.take(cost);
      this.#queue.push({ value, cost });
      return;
    }
    this.#waiter = undefined;
    waiter.resolve({ done: false, value });
    this.#done(cost);
  }

  /** A piece is dealt with: its credit goes back, in large portions. */
  #done(cost: number): void {
    this.#taken += cost;
    if (this.#end || this.#taken < this.#window / 2) return;
    let credit = this.#taken;
    this.#taken = 0;
    // The reader has taken all that there was: the way is longer than the
    // window. Twice as much may be under way from now on.
    if (
      this.#queue.length === 0 && this.#window < MAX_WINDOW &&
      this.#host.grow(this.#window)
    ) {
      credit += this.#window;
      this.#grown += this.#window;
      this.#window *= 2;
    }
    this.#allow(credit);
  }

  /** Nothing more will come. What waits can still be taken. */
  finish(end: { error?: unknown }): void {
    this.#end ??= end;
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (!waiter) return;
    if ("error" in end) waiter.reject(end.error);
    else waiter.resolve(DONE);
  }

  /** Forgets what waits, and gives back the room that it had. */
  discard(): void {
    this.#account.take(-this.#account.held);
    this.#queue = [];
    this.#parts = [];
    this.close();
  }

  /** Gives back the room that it had beyond the least. */
  close(): void {
    this.#host.grow(-this.#grown);
    this.#grown = 0;
  }

  /**
   * The next step, at once where it is there.
   *
   * @throws what the sender has failed with, when all else is taken
   */
  next(): Step | Promise<Step> {
    const item = this.#queue.shift();
    if (item) {
      this.#account.take(-item.cost);
      this.#done(item.cost);
      return { done: false, value: item.value };
    }
    if (this.#end) {
      if ("error" in this.#end) throw this.#end.error;
      return DONE;
    }
    this.#waiter ??= Promise.withResolvers<Step>();
    return this.#waiter.promise;
  }
}
