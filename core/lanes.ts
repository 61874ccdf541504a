import { CLOSED, End, type Ends } from "./ends.ts";
import { ChannelError, Dead } from "./errors.ts";
import {
  bodyOf,
  costOf,
  joinPieces,
  MAX_UNWRITTEN,
  MESSAGE_HEAD,
  MIN_COST,
  Piece,
  pieceFrame,
  WINDOW,
} from "./flow.ts";
import { HEADER_SIZE, Magic, MAX_PIECE } from "./frame.ts";
import type { Link } from "./link.ts";
import { Message } from "./message.ts";
import type { Router } from "./router.ts";

/** Lanes that lead to one context at a time; more wait for their turn. */
const MAX_LANES = 4;

/** Bytes of messages that are not let in yet, from one neighbour. */
const MAX_UNASKED = 64 * 1024 * 1024;

/**
 * Sends large messages in pieces, so that others overtake them, and puts those
 * that arrive together again.
 *
 * Each is sent on a lane. Messages that must stay in order have a lane in
 * common: what follows a large one, however small, waits behind it.
 */
export class Lanes {
  readonly #router: Router;
  readonly #ordered = new Map<string, Lane>();
  readonly #open = new Map<number, number>();
  readonly #waiting = new Map<number, Lane[]>();
  readonly #arriving = new WeakMap<Link, Arrivals>();
  #count = 0;
  #drained: (() => void)[] = [];

  /** Made by the router. */
  constructor(router: Router) {
    this.#router = router;
  }

  /** Lanes that are open or wait for their turn. */
  get size(): number {
    return this.#count;
  }

  /** Whether a message must be sent on a lane. */
  takes(message: Message): boolean {
    if (message.magic === Magic.FLOW || message.dstId === this.#router.id) {
      return false;
    }
    return message.size > MAX_PIECE ||
      message.lane !== undefined && this.#ordered.has(message.lane);
  }

  /** Sends a message on its lane. */
  send(message: Message): void {
    const key = message.lane;
    const known = key === undefined ? undefined : this.#ordered.get(key);
    if (known) return known.add(message);
    const { dstId } = message;
    const lane = new Lane(this.#router.ends, dstId);
    this.#count++;
    if (key !== undefined) this.#ordered.set(key, lane);
    lane.add(message);
    lane.whenOver(() => this.#closed(dstId, key));
    const open = this.#open.get(dstId) ?? 0;
    if (open < MAX_LANES) {
      this.#open.set(dstId, open + 1);
      lane.begin();
    } else {
      const waiting = this.#waiting.get(dstId);
      if (waiting) waiting.push(lane);
      else this.#waiting.set(dstId, [lane]);
    }
  }

  #closed(dstId: number, key: string | undefined): void {
    this.#count--;
    if (key !== undefined) this.#ordered.delete(key);
    const waiting = this.#waiting.get(dstId);
    let next = waiting?.shift();
    // One that was lost while it waited has no turn.
    while (next?.over) next = waiting!.shift();
    if (waiting?.length === 0) this.#waiting.delete(dstId);
    // Not from in here: where all are lost, each would start the next.
    if (next) queueMicrotask(() => next.begin());
    else {
      const open = this.#open.get(dstId)! - 1;
      if (open > 0) this.#open.set(dstId, open);
      else this.#open.delete(dstId);
    }
    if (this.#count > 0) return;
    for (const resolve of this.#drained.splice(0)) resolve();
  }

  /** Resolves when nothing large is under way. */
  drained(): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => this.#drained.push(resolve));
  }

  /** Takes the beginning of a large message; answers whether it is one. */
  begin(message: Message, link: Link | undefined): boolean {
    const { data, magic } = message;
    if (
      magic !== Magic.FLOW || data[0] !== Piece.MESSAGE ||
      data.length < 1 + MESSAGE_HEAD || !link
    ) return false;
    let arrivals = this.#arriving.get(link);
    if (!arrivals) this.#arriving.set(link, arrivals = new Arrivals());
    new Arrival(this.#router, message, link, arrivals);
    return true;
  }
}

/** The sending end: one message after another, each in pieces. */
class Lane extends End {
  #queue: Message[] = [];
  #sent = 0;
  /** Messages that have left and are not yet said to have arrived. */
  #leaving: Message[] = [];
  #at = 0;
  #credit = WINDOW;
  #unwritten = 0;
  #started = false;

  constructor(ends: Ends, dstId: number) {
    super(ends, dstId);
  }

  add(message: Message): void {
    this.#queue.push(message);
    if (this.#started) this.#go();
  }

  protected override start(): void {
    this.#started = true;
    this.#go();
  }

  #go(): void {
    while (
      !this.over && this.#credit > 0 && this.#unwritten < MAX_UNWRITTEN
    ) {
      const message = this.#queue[0];
      if (!message) return;
      this.#piece(message);
    }
  }

  #piece(message: Message): void {
    const { data } = message;
    const first = this.#at === 0;
    const room = MAX_PIECE - (first ? MESSAGE_HEAD : 0);
    const part = data.subarray(this.#at, this.#at + room);
    const frame = first
      ? pieceFrame(Piece.MESSAGE, MESSAGE_HEAD + part.length)
      : pieceFrame(Piece.MORE, part.length);
    if (first) {
      const view = new DataView(frame.buffer, HEADER_SIZE + 1);
      view.setUint32(0, message.handle);
      view.setUint32(4, message.replyTo);
      view.setUint16(8, message.magic);
      view.setUint32(10, data.length);
    }
    frame.set(part, frame.length - part.length);
    this.#at += part.length;
    this.#credit -= part.length;
    const size = frame.length;
    this.#unwritten += size;
    const written = () => {
      this.#unwritten -= size;
      this.#go();
    };
    if (this.#at >= data.length) {
      this.#queue.shift();
      this.#at = 0;
      this.#sent++;
      this.#leaving.push(message);
      // Whoever waits for the answer holds on to it.
      message.spend();
    }
    this.post({ magic: Magic.FLOW, written }, frame);
  }

  override receive(message: Message): void {
    if (message.magic !== Magic.BYTES || message.size < 5) {
      return this.release();
    }
    const { data } = message;
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    this.#credit += view.getUint32(0);
    if (view.getUint8(4) > 0 && this.#sent > 0) {
      this.#sent--;
      const arrived = this.#leaving.shift();
      arrived?.written?.();
      // What is live in it was not to be ahead of it.
      arrived?.sent();
      if (this.#sent === 0 && this.#queue.length === 0) return this.finish();
    }
    this.#go();
  }

  /** Nobody but this end knows what has not arrived. */
  override lost(why: ChannelError): void {
    const messages = [...this.#leaving, ...this.#queue];
    this.#queue = this.#leaving = [];
    this.finish();
    for (const message of messages) this.ends.router.unsent(message, why);
  }

  override release(): void {
    this.lost(new ChannelError(CLOSED));
  }
}

/** What large messages of one neighbour take here. */
class Arrivals {
  /** Bytes that those may have that are let in. */
  let = 0;
  /** Bytes that the others have sent already. */
  unasked = 0;
  readonly waiting: Arrival[] = [];
}

/** The receiving end. */
class Arrival extends End {
  readonly #router: Router;
  readonly #link: Link;
  readonly #arrivals: Arrivals;
  #head: Message | undefined;
  #refused = false;
  #admitted = false;
  #total = 0;
  #have = 0;
  /** What it takes of what may be unasked. */
  #unasked = 0;
  #parts: Message[] = [];

  constructor(
    router: Router,
    first: Message,
    link: Link,
    arrivals: Arrivals,
  ) {
    super(router.ends, first.srcId, first.replyTo);
    this.#router = router;
    this.#link = link;
    this.#arrivals = arrivals;
    this.receive(first);
  }

  override receive(message: Message): void {
    // What waits must not hold on to the buffer that it was read to.
    const { data, magic } = message.compact();
    if (magic !== Magic.FLOW) {
      return this.#corrupt(message, "what is no piece of it");
    }
    const body = bodyOf(data);
    if (
      data[0] === Piece.MESSAGE && !this.#head && data.length > MESSAGE_HEAD
    ) {
      this.#begin(message);
    } else if (data[0] === Piece.MORE && this.#head) {
      if (message.authId !== this.#head.authId) {
        return this.#corrupt(message, "a piece with another authority");
      }
    } else return this.#corrupt(message, "its pieces in no order");
    const have = this.#have + body.length;
    if (have > this.#total) {
      return this.#corrupt(message, "more than its length");
    }
    const more = data[0] === Piece.MORE && have < this.#total;
    if (more && body.length < MIN_COST) {
      return this.#corrupt(message, "too many pieces");
    }
    this.#have = have;
    if (!this.#admitted) {
      const cost = costOf(body.length);
      this.#unasked += cost;
      this.#arrivals.unasked += cost;
      if (
        this.#have > WINDOW + MAX_PIECE ||
        this.#arrivals.unasked > MAX_UNASKED
      ) return this.#corrupt(message, "more than it may unasked");
    }
    if (!this.#refused) this.#parts.push(message);
    if (this.#have === this.#total) this.#complete();
  }

  #begin(message: Message): void {
    const { data } = message;
    const view = new DataView(data.buffer, data.byteOffset + 1, MESSAGE_HEAD);
    const { dstId, srcId, authId } = message;
    const head = new Message({
      magic: view.getUint16(8),
      dstId,
      srcId,
      authId,
      handle: view.getUint32(0),
      replyTo: view.getUint32(4),
    });
    head.router = this.#router;
    this.#head = head;
    this.#total = view.getUint32(10);
    this.#have = 0;
    const refused = this.#total > this.#router.maxMessageSize
      ? Dead.SIZE
      : this.#router.handlers.refusal(head, this.#link, this.#total);
    this.#refused = refused !== undefined;
    if (refused !== undefined) {
      this.#router.refuseFrom(head, refused, this.#link);
    }
    if (this.#fits()) this.#admit();
    else {
      this.#admitted = false;
      this.#arrivals.waiting.push(this);
      // As all far ends do: its loss would not be heard of.
      if (!this.#router.isNear(this.context.id)) this.#say(0, false);
    }
  }

  #fits(): boolean {
    const { let: taken } = this.#arrivals;
    return this.#refused || taken === 0 ||
      taken + costOf(this.#total) <= this.#router.maxMessageSize;
  }

  #admit(): void {
    this.#admitted = true;
    const { waiting } = this.#arrivals;
    const at = waiting.indexOf(this);
    if (at >= 0) waiting.splice(at, 1);
    this.#arrivals.unasked -= this.#unasked;
    this.#unasked = 0;
    if (!this.#refused) this.#arrivals.let += costOf(this.#total);
    this.#say(this.#total, false);
  }

  #say(credit: number, done: boolean): void {
    const data = new Uint8Array(5);
    const view = new DataView(data.buffer);
    view.setUint32(0, credit);
    view.setUint8(4, done ? 1 : 0);
    this.post({ magic: Magic.BYTES, data });
  }

  #complete(): void {
    const head = this.#head!;
    const parts = this.#parts;
    const refused = this.#refused;
    const total = this.#total;
    if (!this.#admitted) this.#admit();
    this.#say(0, true);
    this.#leave();
    this.finish();
    if (refused) return;
    const frame = joinPieces(parts, total, HEADER_SIZE);
    const { magic, dstId, srcId, authId, handle, replyTo } = head;
    const fields = { magic, dstId, srcId, authId, handle, replyTo };
    this.#router.deliver(new Message(fields, frame), this.#link);
  }

  /** Makes room for the next. */
  #leave(): void {
    const arrivals = this.#arrivals;
    this.#parts = [];
    this.#head = undefined;
    if (!this.#admitted) {
      arrivals.unasked -= this.#unasked;
      this.#unasked = 0;
      const at = arrivals.waiting.indexOf(this);
      if (at >= 0) arrivals.waiting.splice(at, 1);
    } else if (!this.#refused) arrivals.let -= costOf(this.#total);
    this.#have = this.#total = 0;
    let next = arrivals.waiting[0];
    while (next !== undefined && next.#fits()) {
      next.#admit();
      next = arrivals.waiting[0];
    }
  }

  #corrupt(from: Message, what: string): void {
    this.#leave();
    this.finish();
    const message = `Cannot read a large message: it has ${what}`;
    if (this.#link.closed) return;
    // A neighbour answers for what comes from behind it only in so far as it
    // is its own: others lose their message, not its connection.
    if (this.#link.remoteId !== this.context.id) {
      const why = `refused a large message with ${what}`;
      return this.#link.complain(why, from);
    }
    this.#router.log("error", message, this.context.id);
    this.#link.close({ kind: "protocol", message });
  }

  override lost(): void {
    this.#leave();
    this.finish();
  }

  override release(): void {
    this.lost();
  }
}
