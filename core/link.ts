import { FrameReader, Handle, Magic, MAX_FRAME } from "./frame.ts";
import { frames } from "./frame_pool.ts";
import { Message } from "./message.ts";
import type { CloseReason } from "./errors.ts";
import { endOf, Outbox } from "./outbox.ts";
import type { Router } from "./router.ts";

/** What a transport tells the link above it. */
export interface TransportEvents {
  /**
   * Bytes arrived; they belong to the receiver from now on, unless they are
   * lent for this call. Where a promise is returned, nothing more should be
   * delivered before it resolves.
   */
  data(chunk: Uint8Array, lent?: boolean): Promise<void> | undefined;
  /** Nothing more will arrive. Called once. */
  end(reason: CloseReason): void;
  /** Whether the next chunk is better lent: it is copied to what is there. */
  borrows?(): boolean;
}

/**
 * A two-way stream of bytes. The link above never sees what it is made of.
 */
export interface Transport {
  /** Begins to deliver. Called once, by the link. */
  start(events: TransportEvents): void;
  /**
   * Writes bytes, which belong to the transport until it resolves: when there
   * is room for more. Never rejects: a broken transport says `end`.
   */
  write(chunk: Uint8Array): Promise<void>;
  /** Ends both directions. Safe to call twice. */
  close(): void;
}

/**
 * Bytes from a neighbour that may wait to be written elsewhere. With more, it
 * is not read: who sends faster than others take waits itself.
 */
const MAX_TRANSIT = 16 * 1024 * 1024;

/** About the bytes of memory that a frame takes beside its own. */
const FRAME_COST = 512;

/** How the end of a silent neighbour is found. */
export interface Keepalive {
  /** Milliseconds between two signs of life that are asked for; 0: none are. */
  interval: number;
  /** How many in a row may stay without an answer. */
  count: number;
}

/**
 * The connection to one neighbour in the tree; Mitogen's Stream.
 *
 * Reads frames and hands them to the router as messages; writes messages,
 * all that were sent in one turn of the event loop with one system call.
 */
export class Link {
  /** The neighbour's context id. */
  readonly remoteId: number;
  /**
   * Authority that every message from here is given; set on links whose other
   * end acts as part of this context.
   */
  authId: number | undefined;
  /** Ids that something behind this link has sent to: they are told of their end. */
  readonly egressIds: Set<number> = new Set();
  /** What was wrong here before, and how often. */
  readonly complaints: Map<string, number> = new Map();
  /** Set by the parent room: sees to it that the neighbour ends. */
  onShutdown: (() => void) | undefined;
  /** What the answers take that were sent to the neighbour and wait to be written. */
  owed = 0;

  readonly #router: Router;
  readonly #transport: Transport;
  readonly #reader: FrameReader;
  readonly #outbox = new Outbox();
  #transit = 0;
  #resume: (() => void)[] = [];
  #writing = false;
  #closed: CloseReason | undefined;
  #ending = false;
  #idle: (() => void)[] = [];
  #heard = false;
  /** How many writes have ended. */
  #batches = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Joins a transport to a router; the router must be told of it. */
  constructor(router: Router, transport: Transport, remoteId: number) {
    this.#router = router;
    this.#transport = transport;
    this.remoteId = remoteId;
    this.#reader = new FrameReader(
      (frame) => {
        // A frame may close the link; what came after it is not heard.
        if (!this.#closed) router.receive(Message.fromFrame(frame), this);
      },
      MAX_FRAME,
    );
  }

  /** Why it is closed; `undefined` while it is open. */
  get closed(): CloseReason | undefined {
    return this.#closed;
  }

  /** Bytes that wait to be written. */
  get queued(): number {
    return this.#outbox.size;
  }

  /** Begins to read. The router must know the link by then. */
  start(): void {
    this.#transport.start({
      data: (chunk, lent) => this.#receive(chunk, lent),
      end: (reason) => this.close(reason),
      borrows: () => !frames.empty,
    });
  }

  /**
   * Asks the neighbour for signs of life, and closes the link when none come.
   * Any byte is one. What counts is how often this process was ready to hear
   * one, not the time: it may have been stopped or asleep itself.
   *
   * @param busy whether the neighbour only computes
   */
  keepAlive(
    { interval, count }: Keepalive,
    busy: () => boolean = () => false,
  ): void {
    if (!(interval > 0) || this.#closed) return;
    const router = this.#router;
    let [asked, missed, stuck, batches] = [0, 0, 0, 0];
    this.#timer = setInterval(() => {
      router.deleteHandler(asked);
      // One that speaks and does not read holds up whoever sends to it. What is
      // held up by something behind it is not to blame.
      const moves = batches !== this.#batches || this.#outbox.size === 0 ||
        this.#isHop();
      stuck = moves ? 0 : stuck + 1;
      batches = this.#batches;
      if (stuck > count) {
        return this.close({
          kind: "timeout",
          message: `it has not read what it is sent for ${
            Math.round(interval * stuck) / 1000
          } seconds`,
        });
      }
      // What is not read, for want of room, may well be there.
      if (this.#heard || !asked || this.#resume.length > 0 || busy()) {
        missed = 0;
      } else if (++missed >= count) {
        const seconds = Math.round(interval * (count + 1)) / 1000;
        return this.close({
          kind: "timeout",
          message: `it was silent for ${seconds} seconds`,
        });
      }
      this.#heard = false;
      const respondent = router.contextById(this.remoteId);
      asked = router.addHandler(() => {}, { persist: false, respondent });
      router.route(
        new Message({
          dstId: this.remoteId,
          handle: Handle.PING,
          replyTo: asked,
        }),
      );
    }, interval);
  }

  /** Whether it leads further than to its neighbour. */
  #isHop(): boolean {
    const router = this.#router;
    if (this === router.parentLink) return true;
    const { path } = router.contextById(this.remoteId);
    return router.contexts().some((c) => c.path.startsWith(`${path}/`));
  }

  #receive(chunk: Uint8Array, lent?: boolean): Promise<void> | undefined {
    if (this.#closed) return undefined;
    this.#heard = true;
    try {
      this.#reader.push(chunk, lent);
    } catch (error) {
      const message = (error as Error).message;
      this.#router.log("error", message, this.remoteId);
      this.close({ kind: "protocol", message });
    }
    if (this.#transit <= MAX_TRANSIT || this.#closed) return undefined;
    return new Promise((resolve) => this.#resume.push(resolve));
  }

  /** What came from here and went on: so many bytes of it have left again. */
  #passed(bytes: number): void {
    this.#transit -= bytes;
    if (this.#transit > MAX_TRANSIT / 2) return;
    for (const resolve of this.#resume.splice(0)) resolve();
  }

  /**
   * Sends a message. Never blocks; silently does nothing on a closed link.
   *
   * @param from the link that brought it, if one did
   */
  send(message: Message, from?: Link): void {
    let { written } = message;
    if (this.#closed) return written?.();
    // What waits must not hold on to the buffer that it was read to.
    if (from && this.#writing) message.compact();
    const frame = message.pack();
    if (from) {
      const cost = frame.length + FRAME_COST;
      from.#transit += cost;
      written = () => from.#passed(cost);
    }
    const { endOfId } = message;
    const flow = message.magic === Magic.FLOW
      ? message.flow
      : endOfId === undefined
      ? undefined
      : endOf(endOfId);
    this.#outbox.add(frame, flow, written);
    if (!this.#writing) {
      this.#writing = true;
      // One write for all that is sent in this turn.
      queueMicrotask(() => void this.#flush());
    }
  }

  async #flush(): Promise<void> {
    while (!this.#closed) {
      const batch = this.#outbox.take();
      if (!batch) break;
      await this.#transport.write(batch.bytes);
      // What was cleared meanwhile is done with already.
      if (this.#closed) break;
      this.#batches++;
      // The transport has copied them, and nobody else holds a piece. Of a link
      // that is lost, they may be written just now.
      if (batch.pieces) {
        for (const frame of batch.frames) frames.give(frame);
      }
      this.#outbox.done(batch);
    }
    this.#writing = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** Resolves when everything sent so far was given to the transport. */
  flushed(): Promise<void> {
    if (!this.#writing) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /**
   * Logs what the neighbour did wrong: the first time, and then rarely. What
   * stands before the first colon tells one thing from another.
   */
  complain(what: string, { srcId, dstId, handle }: Message): void {
    const kind = what.split(":", 1)[0]!.replace(/\d+/g, "");
    const count = (this.complaints.get(kind) ?? 0) + 1;
    this.complaints.set(kind, count);
    if (count === 1 || (count >= 1000 && Number.isInteger(Math.log10(count)))) {
      this.#router.log(
        "error",
        `dropped a message (${what}, ${count} so far) from ${srcId} to ${dstId}:${handle}, received from context ${this.remoteId}`,
        this.remoteId,
      );
    }
  }

  /** The neighbour is being asked to end: however it does, that is why. */
  expectEnd(): void {
    this.#ending = true;
    this.onShutdown?.();
  }

  /** Closes the link. The first reason is kept. */
  close(reason: CloseReason): void {
    if (this.#closed) return;
    if (this.#ending && reason.kind !== "protocol") {
      reason = { kind: "shutdown", message: "it was shut down" };
    }
    this.#closed = reason;
    clearInterval(this.#timer);
    for (const resolve of this.#idle.splice(0)) resolve();
    for (const resolve of this.#resume.splice(0)) resolve();
    this.#transport.close();
    this.#router.linkClosed(this, reason);
    // Last: who hears that it has room would send more to what is lost.
    this.#outbox.clear();
  }
}
