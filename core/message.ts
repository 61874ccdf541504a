import { CodecError, decode, encode } from "./codec.ts";
import type { End } from "./ends.ts";
import { ChannelError, fromDead } from "./errors.ts";
import {
  HEADER_SIZE,
  IS_DEAD,
  Magic,
  readHeader,
  writeHeader,
} from "./frame.ts";
import { frames } from "./frame_pool.ts";
import type { Router } from "./router.ts";

const utf8 = new TextEncoder();

/** What a message is made of; everything but `handle` may be left out. */
export interface MessageFields {
  /** The context that it is for. */
  dstId?: number;
  /** The context that sent it. */
  srcId?: number;
  /** The context on whose authority it acts. */
  authId?: number;
  /** The handle that it is for. */
  handle?: number;
  /** The handle that waits for an answer. */
  replyTo?: number;
  /** What the data is. @default {Magic.BYTES} */
  magic?: number;
  /** What it carries. */
  data?: Uint8Array;
  /** Called when it was written to the link, or never will be. */
  written?: () => void;
}

/** The unit of routing: addressed to one handle of one context. */
export class Message {
  /** The router that received it; unset on messages made here. */
  router: Router | undefined;
  /** What the data is; see {@linkcode Magic}. */
  magic: number;
  /** The context that it is for. */
  dstId: number;
  /** The context that sent it. */
  srcId: number;
  /** The context on whose authority it acts. */
  authId: number;
  /** The handle that it is for. */
  handle: number;
  /** The handle that waits for an answer; 0 is none, 999 makes it a dead message. */
  replyTo: number;
  /** Messages of the same lane arrive in the order in which they were sent. */
  lane: string | undefined;
  /** The context whose end it tells: it overtakes nothing that comes from there. */
  endOfId: number | undefined;
  /** Called when it was written to the link, or never will be. */
  written: (() => void) | undefined;
  /** What is live in its value, such as streams; known once that is made. */
  live: End[] | undefined;
  #value: unknown;
  #decoded = false;
  /** Header and data in one buffer, so that forwarding copies nothing. */
  #frame: Uint8Array | undefined;
  #data: Uint8Array | undefined;
  /** Bytes of the data that is done with. */
  #spent: number | undefined;

  /** Makes a message of its fields. */
  constructor(fields: MessageFields = {}, frame?: Uint8Array) {
    this.magic = fields.magic ?? Magic.BYTES;
    this.dstId = fields.dstId ?? 0;
    this.srcId = fields.srcId ?? 0;
    this.authId = fields.authId ?? 0;
    this.handle = fields.handle ?? 0;
    this.replyTo = fields.replyTo ?? 0;
    this.#frame = frame;
    this.#data = fields.data;
    this.written = fields.written;
  }

  /** A message as it came from the wire. The frame belongs to it from now on. */
  static fromFrame(frame: Uint8Array): Message {
    return new Message(readHeader(frame, 0), frame);
  }

  /**
   * A message that carries one value.
   *
   * @throws {CodecError} when the value cannot cross
   */
  static value(
    value: unknown,
    options: MessageFields & { router?: Router } = {},
  ): Message {
    const { router } = options;
    if (!router) {
      const frame = encode(value, { headroom: HEADER_SIZE });
      return new Message(
        { ...options, magic: options.magic ?? Magic.VALUE },
        frame,
      );
    }
    const [frame, live] = router.ends.encodeLive(
      value,
      options.dstId ?? -1,
      HEADER_SIZE,
    );
    const magic = options.magic ?? (live ? Magic.LIVE : Magic.VALUE);
    const message = new Message({ ...options, magic }, frame);
    message.live = live;
    return message;
  }

  /** Its last byte is on the way: what is live in it may begin. */
  sent(): void {
    const { live } = this;
    if (live) { for (const end of live) end.begin(); }
  }

  /** What the flow is called that it is a piece of. */
  get flow(): string {
    return `${this.srcId} ${this.dstId} ${this.handle} ${this.replyTo}`;
  }

  /** A dead message: it closes what it is sent to, and says why. */
  static dead(reason = "", to: MessageFields = {}): Message {
    return new Message({
      ...to,
      magic: Magic.TEXT,
      replyTo: IS_DEAD,
      data: utf8.encode(reason),
    });
  }

  /** Whether this says that its sender, or the way to it, is gone. */
  get isDead(): boolean {
    return this.replyTo === IS_DEAD;
  }

  /**
   * The data after the header.
   *
   * @throws {TypeError} when it is done with, as that of a large message is
   * that was sent
   */
  get data(): Uint8Array {
    if (this.#spent !== undefined) {
      throw new TypeError(
        "Cannot read the data of a message that was sent or taken: make another",
      );
    }
    return this.#data ??= this.#frame
      ? this.#frame.subarray(HEADER_SIZE)
      : new Uint8Array(0);
  }

  /** Bytes of data, which may be done with. */
  get size(): number {
    return this.#frame
      ? this.#frame.length - HEADER_SIZE
      : this.#data?.length ?? this.#spent ?? 0;
  }

  /** The data as text: the reason of a dead message. */
  get text(): string {
    return new TextDecoder().decode(this.data);
  }

  /**
   * The value that the message carries; raw bytes as they are.
   *
   * @throws {ChannelError} if it is dead
   * @throws {CodecError} if its data is malformed
   * @throws what the other side threw, if it is an error reply
   */
  decode(): unknown {
    if (this.isDead) throw fromDead(this.text);
    if (this.magic === Magic.BYTES) return this.data;
    if (this.magic === Magic.TEXT) return this.text;
    if (!this.#decoded) {
      const { router } = this;
      if (router) {
        [this.#value, this.live] = router.ends.decode(this.data, this.srcId);
        // What is live can only be made once.
        this.#decoded = this.live !== undefined;
      } else this.#value = decode(this.data);
    }
    const value = this.#value;
    if (!this.#decoded) this.#value = undefined;
    if (this.magic === Magic.ERROR) throw value;
    return value;
  }

  /** The same for the last time: nobody looks at its data any more. */
  take(): unknown {
    try {
      return this.decode();
    } finally {
      // Values are copies of what they were made from, bytes are that itself.
      if (this.magic !== Magic.BYTES) this.spend();
    }
  }

  /** Its data is done with: the memory is used again. */
  spend(): void {
    const frame = this.#frame;
    if (!frame) return;
    this.#spent = this.size;
    this.#frame = this.#data = undefined;
    frames.give(frame);
  }

  /** Reads a value that holds live things now: they are being sent to already. */
  readLive(): void {
    if (this.magic !== Magic.LIVE) return;
    try {
      this.decode();
    } catch {
      // Whoever takes it will see.
    }
  }

  /** Nobody takes it: what is live in it ends, for its owner to know. */
  leave(): void {
    this.readLive();
    for (const end of this.live ?? []) end.release(undefined);
  }

  /**
   * Answers with a value or a message. Does nothing when no answer is wanted.
   *
   * @returns what is live in the value
   *
   * @throws {CodecError} when the value cannot cross
   */
  reply(value: unknown): End[] | undefined {
    const { router } = this;
    if (!router || this.replyTo === 0 || this.isDead) return undefined;
    const message = value instanceof Message
      ? value
      : Message.value(value, { router, dstId: this.srcId });
    message.dstId = this.srcId;
    message.handle = this.replyTo;
    router.answer(message);
    return message.live;
  }

  /** The frame to write. Fields changed since it was made are written into it. */
  pack(): Uint8Array {
    let frame = this.#frame;
    if (!frame) {
      const { data } = this;
      frame = new Uint8Array(HEADER_SIZE + data.length);
      frame.set(data, HEADER_SIZE);
      this.#frame = frame;
      this.#data = undefined;
    }
    writeHeader(frame, this);
    return frame;
  }

  /**
   * Lets go of the read buffer that the data may be a small view of; for
   * messages that wait in a queue.
   */
  compact(): this {
    const frame = this.#frame;
    if (frame && frame.buffer.byteLength > 2 * frame.length) {
      this.#frame = frame.slice();
      this.#data = undefined;
    }
    return this;
  }

  /** What `Deno.inspect` shows. */
  [Symbol.for("Deno.customInspect")](): string {
    const { dstId, srcId, authId, handle, replyTo, size } = this;
    return `Message(${srcId} -> ${dstId}:${handle}, auth ${authId}, ${
      this.isDead ? `dead: ${this.text}` : `reply to ${replyTo}, ${size} bytes`
    })`;
  }
}

export { ChannelError, CodecError };
