import { type CodecError, decode, encode } from "./codec.ts";
import type { Context } from "./context.ts";
import { ChannelError, fromDead } from "./errors.ts";
import { encodeReason, type EncodeValue, type Post } from "./flow.ts";
import { Budget } from "./inflow.ts";
import { Handle, HEADER_SIZE, Magic } from "./frame.ts";
import type { Link } from "./link.ts";
import { Message } from "./message.ts";
import type { Router } from "./router.ts";

/** Why something ends when nobody gave a reason. */
export const CLOSED = "it was closed on the other side";

/** Live things that one other context may have sent here. */
const MAX_PEERS = 5_000;

/** The same of all contexts behind one neighbour below. */
const MAX_BELOW = 20_000;

/**
 * Bytes that may wait, unread, in all that came over one link: what is granted
 * beyond the least, and the least of some 190 streams.
 */
const MAX_UNREAD = 40 * 1024 * 1024;

/** Ends of which it is remembered that they were closed here. */
const MAX_CLOSED = 10_000;

/** Bytes that all readers of a context together may hold beyond the least. */
const MAX_GROWTH = 16 * 1024 * 1024;

/**
 * One end of something live that crosses between two contexts: a stream, an
 * iterable, a signal, a callback, or a large message.
 *
 * Whoever sends it owns it and has a handle for it. The other end is known by
 * its owner and that handle, so that the owner can go on at once: what it sends
 * arrives after the message that made the other end.
 */
export abstract class End {
  /** The ends of this context. */
  readonly ends: Ends;
  /** The context that has the other end. */
  readonly context: Context;
  /** The owner's handle. */
  readonly handle: number;
  /** Whether this is the owner's end. */
  readonly owner: boolean;
  /** Whether it goes when the call does that it was an argument of. */
  readonly ofCall: boolean = false;
  #over = false;
  #begun = false;
  #dismissed: { reason: unknown } | undefined;
  #watchers: (() => void)[] = [];
  /** What is live in the pieces that it has sent, and not known to be there. */
  readonly #carried = new Set<End>();
  #carrier: End | undefined;
  #ended = false;

  /** Registers an end: the owner's, or the other one of a handle. */
  constructor(ends: Ends, otherId: number, handle?: number) {
    this.ends = ends;
    this.context = ends.router.contextById(otherId);
    this.owner = handle === undefined;
    this.handle = handle ?? ends.own(this);
    if (!this.owner) ends.take(this);
    ends.note(this);
  }

  /** Whether it is done with. */
  get over(): boolean {
    return this.#over;
  }

  /** Calls when it is done with. */
  whenOver(watcher: () => void): void {
    if (this.#over) watcher();
    else this.#watchers.push(watcher);
  }

  /** Sends a message to the other end. */
  protected readonly post: Post = (fields, frame) => {
    if (this.#over) return;
    const { id } = this.context;
    const to = this.owner
      ? { dstId: id, handle: Handle.FLOW, replyTo: this.handle }
      : { dstId: id, handle: this.handle };
    const message = new Message({ ...to, ...fields }, frame);
    const { router } = this.ends;
    // Pieces need credit. What the other end makes this one say does not.
    if (fields.written) router.route(message);
    else router.answer(message);
  };

  /** Encodes a value that goes to the other end in pieces. */
  protected readonly encode: EncodeValue = (value, headroom) => {
    const { id } = this.context;
    const [frame, live] = this.ends.encodeLive(value, id, headroom);
    for (const end of live ?? []) {
      this.#carried.add(end);
      end.#carrier = this;
      end.whenOver(() => this.#arrived(end));
    }
    return frame;
  };

  #arrived(end: End): void {
    if (!this.#carried.delete(end)) return;
    if (this.#ended && this.#carried.size === 0) this.finish();
  }

  /** Ends what was in pieces that the other end has not read, and never will. */
  protected drop(reason: unknown): void {
    for (const end of [...this.#carried]) end.release(reason);
  }

  /**
   * Forgets it when all that it has sent is there: who leaves it before that
   * says so to this end.
   */
  protected finishBehind(): void {
    this.#ended = true;
    if (this.#carried.size === 0) this.finish();
  }

  /** Gives the other end credit. */
  protected grant(credit: number): void {
    const data = new Uint8Array(4);
    new DataView(data.buffer).setUint32(0, credit);
    this.post({ magic: Magic.BYTES, data });
  }

  /** Tells the other end that this one is done with it, and why. */
  protected refuse(reason: unknown): void {
    const { ends, context, handle } = this;
    if (!this.owner) ends.tell(context.id, handle);
    const frame = encodeReason(
      reason,
      (value, headroom) => ends.encode(value, context.id, headroom),
      HEADER_SIZE,
    );
    this.post({ magic: Magic.ERROR }, frame);
  }

  /** Forgets it. The last thing that is done with it. */
  protected finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.ends.drop(this);
    for (const watcher of this.#watchers.splice(0)) watcher();
  }

  /** What it sends from now on arrives behind the message that holds it. */
  begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    if (this.#carrier) this.#carrier.#arrived(this);
    this.start();
    if (this.#dismissed) this.release(this.#dismissed.reason);
  }

  /** Releases it, but not ahead of the message that holds it. */
  dismiss(reason: unknown): void {
    if (this.#begun || !this.owner) this.release(reason);
    else this.#dismissed ??= { reason };
  }

  /** It may send. */
  protected start(): void {}

  /** The message that was to hold it was never made. */
  abandon(): void {
    this.finish();
  }

  /** The other end has sent something. */
  abstract receive(message: Message): void;

  /** The other end is gone. */
  abstract lost(error: unknown): void;

  /** It is no longer wanted on this side. */
  abstract release(reason: unknown): void;
}

/** Reads what a receiving end says to a sending one. */
export function creditOf({ data }: Message): number {
  return new DataView(data.buffer, data.byteOffset, data.length).getUint32(0);
}

/** The ends of all that is live in one context. */
export class Ends {
  /** Whose they are. */
  readonly router: Router;
  readonly #owned = new Set<End>();
  readonly #peers = new Map<number, Map<number, End>>();
  /** For whom, or from whom, a value is being encoded or decoded. */
  #other = -1;
  #inFlow = false;
  #fresh: End[] | undefined;
  #growth = MAX_GROWTH;
  readonly #budgets = new WeakMap<object, Budget>();
  /** How many came over a link from below, and over which each did. */
  readonly #below = new WeakMap<Link, number>();
  readonly #via = new WeakMap<End, Link>();
  /** Which handles of others were told that their other end is closed. */
  readonly #told = new Set<string>();

  /** Made by the router. */
  constructor(router: Router) {
    this.router = router;
    router.addHandler((message, link) => {
      const end = this.#peers.get(message.srcId)?.get(message.replyTo);
      if (end) return this.#hand(end, message);
      if (router.lanes.begin(message, link)) return;
      // It was closed here, or the message that holds it was never read.
      if (message.magic !== Magic.FLOW || message.srcId === router.id) return;
      // Much may have been under way: its owner is told once.
      if (!this.tell(message.srcId, message.replyTo)) return;
      const gone = new ChannelError("the other end of it is closed");
      const frame = encode(gone, {
        extensions: router.extensions,
        headroom: HEADER_SIZE,
      });
      router.answer(
        new Message({
          magic: Magic.ERROR,
          dstId: message.srcId,
          handle: message.replyTo,
        }, frame),
      );
    }, { handle: Handle.FLOW, service: true });
  }

  /** How many there are; tests hold it against its start. */
  get size(): number {
    let size = this.#owned.size;
    for (const peers of this.#peers.values()) size += peers.size;
    return size;
  }

  /** Somebody's handle is about to be told; answers whether it was not before. */
  tell(id: number, handle: number): boolean {
    const key = `${id} ${handle}`;
    const told = this.#told;
    if (told.has(key)) return false;
    told.add(key);
    if (told.size > MAX_CLOSED) told.delete(told.values().next().value!);
    return true;
  }

  #hand(end: End, message: Message): void {
    try {
      end.receive(message);
    } catch (error) {
      // What cannot be read ends it: nothing after it would make sense.
      end.release(error);
    }
  }

  /** Gives an end a handle. */
  own(end: End): number {
    this.#owned.add(end);
    return this.router.addHandler((message) => {
      if (message.isDead) {
        return end.lost(fromDead(message.text, end.context.path));
      }
      // The other end is there, then.
      end.begin();
      this.#hand(end, message);
    }, { respondent: end.context });
  }

  /** Takes up the other end of somebody's handle. */
  take(end: End): void {
    const { id } = end.context;
    let peers = this.#peers.get(id);
    if (!peers) this.#peers.set(id, peers = new Map());
    // Whoever is below may have any number of ids.
    const link = this.router.routeTo(id);
    const below = link ? this.#below.get(link) ?? 0 : 0;
    if (
      peers.size >= MAX_PEERS || below >= MAX_BELOW || peers.has(end.handle)
    ) {
      throw new TypeError(
        `Cannot take it from ${end.context.path}: it has sent too many, or one twice`,
      );
    }
    peers.set(end.handle, end);
    if (link) {
      this.#below.set(link, below + 1);
      this.#via.set(end, link);
    }
  }

  /** Whether somebody's handle has an end here. */
  has(id: number, handle: number): boolean {
    return this.#peers.get(id)?.has(handle) ?? false;
  }

  /** Forgets an end. */
  drop(end: End): void {
    if (end.owner) {
      this.#owned.delete(end);
      this.router.deleteHandler(end.handle);
      return;
    }
    const peers = this.#peers.get(end.context.id);
    if (peers?.get(end.handle) !== end) return;
    peers.delete(end.handle);
    if (peers.size === 0) this.#peers.delete(end.context.id);
    const link = this.#via.get(end);
    if (link) this.#below.set(link, this.#below.get(link)! - 1);
  }

  /** A context is gone: what came from there has ended. */
  lost(id: number, error: unknown): void {
    for (const end of [...this.#peers.get(id)?.values() ?? []]) end.lost(error);
  }

  /** The router is gone: everything has ended. */
  close(error: unknown): void {
    for (const id of [...this.#peers.keys()]) this.lost(id, error);
  }

  /** What waits of the streams that come the same way as a context. */
  budgetOf(id: number): Budget {
    const link = this.router.routeTo(id) ?? this.router.parentLink ?? this;
    let budget = this.#budgets.get(link);
    if (!budget) this.#budgets.set(link, budget = new Budget(MAX_UNREAD));
    return budget;
  }

  /** Asks for room to hold so many bytes more. Give it back with less than 0. */
  grow(bytes: number): boolean {
    if (bytes > this.#growth) return false;
    this.#growth -= bytes;
    return true;
  }

  /** Whether what is encoded or decoded has another context at its other end. */
  get between(): boolean {
    return this.#other >= 0;
  }

  /** The context for or from which a value is being encoded or decoded. */
  get otherId(): number {
    return this.#other;
  }

  /**
   * Whether a far end that is made now tells its owner at once that it is there.
   * One that came in a piece of a flow: such pieces are overtaken, so that its
   * owner waits for that. One whose owner is neither above nor below: hops tell
   * those of a loss who have spoken to what is lost.
   */
  get greets(): boolean {
    return this.#inFlow || !this.router.isNear(this.#other);
  }

  /** Notes an end that belongs to the value that is being dealt with. */
  note(end: End): void {
    if (this.#other >= 0) (this.#fresh ??= []).push(end);
  }

  #within<T>(
    other: number,
    work: () => T,
    inFlow = false,
  ): [T, End[] | undefined] {
    const before = this.#other;
    const fresh = this.#fresh;
    const within = this.#inFlow;
    this.#other = other;
    this.#inFlow = inFlow;
    this.#fresh = undefined;
    try {
      const result = work();
      return [result, this.#fresh];
    } catch (error) {
      for (const end of (this.#fresh ?? []) as End[]) end.abandon();
      throw error;
    } finally {
      this.#other = before;
      this.#fresh = fresh;
      this.#inFlow = within;
    }
  }

  /**
   * Encodes a value for a context. What is live in it begins behind whatever is
   * sent in this turn: the value itself goes first.
   *
   * @throws {CodecError} when it cannot cross
   */
  encode(value: unknown, otherId: number, headroom: number): Uint8Array {
    const [frame, fresh] = this.encodeLive(value, otherId, headroom);
    if (fresh) {
      queueMicrotask(() => {
        for (const end of fresh) end.begin();
      });
    }
    return frame;
  }

  /** The same, with what is live in it: to begin once it is sent. */
  encodeLive(
    value: unknown,
    otherId: number,
    headroom: number,
  ): [frame: Uint8Array, live: End[] | undefined] {
    const { extensions } = this.router;
    return this.#within(
      otherId,
      () => encode(value, { extensions, headroom }),
    );
  }

  /**
   * Decodes a value from a context, with what is live in it.
   *
   * @param inFlow whether it came in a piece of a flow
   * @throws {CodecError} when it is malformed
   */
  decode(
    data: Uint8Array,
    otherId: number,
    inFlow = false,
  ): [value: unknown, live: End[] | undefined] {
    const { extensions } = this.router;
    return this.#within(otherId, () => decode(data, { extensions }), inFlow);
  }
}

export type { CodecError };
