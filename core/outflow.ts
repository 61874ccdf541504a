import { CodecError } from "./codec.ts";
import {
  costOf,
  encodeReason,
  type EncodeValue,
  MAX_UNWRITTEN,
  MAX_VALUE,
  MAX_WINDOW,
  Piece,
  pieceFrame,
  type Post,
} from "./flow.ts";
import { HEADER_SIZE, Magic, MAX_PIECE } from "./frame.ts";

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
  #wake: PromiseWithResolvers<void> | undefined;

  /** @param credit what it may send before it is told more */
  constructor(post: Post, encode: EncodeValue, credit: number) {
    this.#post = post;
    this.#encode = encode;
    this.#credit = credit;
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

  #piece(frame: Uint8Array): void {
    const { length } = frame;
    this.#credit -= costOf(length - HEADER_SIZE - 1);
    this.#unwritten += length;
    const written = () => {
      this.#unwritten -= length;
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
    this.#piece(frame.subarray(0, this.#end));
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
        this.#held = pieceFrame(Piece.BYTES, MAX_PIECE);
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
    if (size > MAX_VALUE) {
      throw new CodecError(
        `Cannot send a value of ${size} bytes in a stream: the limit is ${MAX_VALUE}; make it smaller, or send its bytes`,
      );
    }
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
