import { CodecError } from "./codec.ts";
import type { End } from "./ends.ts";
import { costOf, joinPieces, MAX_WINDOW, Piece } from "./flow.ts";
import { frames } from "./frame_pool.ts";
import { pieceCame } from "./garbage.ts";
import type { Message } from "./message.ts";
import { Pace } from "./pace.ts";

/** One step of a flow as its reader sees it. */
export type Step = { done: false; value: unknown } | {
  done: true;
  value: undefined;
};

const DONE: Step = { done: true, value: undefined };

/** Who waits for the next step of a flow. */
export interface Waiter {
  /** It has come. */
  resolve(step: Step): void;
  /** The sender has failed. */
  reject(error: unknown): void;
}

/** What the receiving end of a flow has to do with. */
export interface InflowHost {
  /** Tells the sender that it may send more. */
  grant(credit: number): void;
  /** Reads a value that the sender has sent, and what is live in it. */
  decode(data: Uint8Array): [value: unknown, live: End[] | undefined];
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

  /**
   * Makes one of which nothing is taken.
   *
   * @param limit in bytes
   */
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
  #queue: { value: unknown; cost: number; live: End[] | undefined }[] = [];
  #parts: Message[] = [];
  #partial = 0;
  #partialCost = 0;
  #window: number;
  #allowed: number;
  #taken = 0;
  #grown = 0;
  readonly #pace = new Pace();
  #end: { error?: unknown } | undefined;
  #waiter: Waiter | undefined;
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
  push(message: Message): void {
    if (this.#end) return;
    // What waits must not hold on to the buffer that it was read to.
    const { data } = message.compact();
    const kind = data[0];
    if (kind === Piece.END) return this.finish({});
    if (kind === Piece.ERROR) {
      return this.finish({ error: this.#host.decode(data.subarray(1))[0] });
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
        pieceCame(cost);
        return this.#give(body, cost);
      case Piece.MORE:
        this.#partial += body.length;
        if (this.#partial > this.#host.maxSize) {
          throw new CodecError("Cannot take a value: it is too large");
        }
        this.#account.take(cost);
        this.#partialCost += cost;
        this.#parts.push(message);
        // Nobody can take it before the rest is here.
        return this.#done(cost);
      case Piece.VALUE: {
        let whole = body;
        if (this.#parts.length > 0) {
          this.#parts.push(message);
          whole = joinPieces(this.#parts, this.#partial + body.length);
          this.#account.take(-this.#partialCost);
          this.#parts = [];
          this.#partial = this.#partialCost = 0;
        }
        const [value, live] = this.#host.decode(whole);
        if (whole === body) message.spend();
        else frames.give(whole);
        return this.#give(value, cost, live);
      }
    }
    throw new CodecError(`Cannot read a piece of kind ${kind}`);
  }

  #give(value: unknown, cost: number, live?: End[]): void {
    const waiter = this.#waiter;
    if (!waiter) {
      this.#account.take(cost);
      this.#queue.push({ value, cost, live });
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
    const faster = this.#pace.wantsMore(this.#window, credit);
    // The reader has taken all that there was: the way is longer than the
    // window. Twice as much may be under way from now on.
    if (
      faster && this.#queue.length === 0 && this.#window < MAX_WINDOW &&
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
    const waiting = this.#queue;
    this.#account.take(-this.#account.held);
    this.#queue = [];
    this.#parts = [];
    this.close();
    for (const { live } of waiting) {
      for (const end of live ?? []) end.release(undefined);
    }
  }

  /** Gives back the room that it had beyond the least. */
  close(): void {
    this.#host.grow(-this.#grown);
    this.#grown = 0;
  }

  /**
   * The next step, if it is there; else {@linkcode wait} for it.
   *
   * @throws what the sender has failed with, when all else is taken
   */
  step(): Step | undefined {
    const item = this.#queue.shift();
    if (item) {
      this.#account.take(-item.cost);
      this.#done(item.cost);
      return { done: false, value: item.value };
    }
    if (!this.#end) return undefined;
    if ("error" in this.#end) throw this.#end.error;
    return DONE;
  }

  /** Has one called with the next step, in the turn in which it comes. */
  wait(waiter: Waiter): void {
    this.#waiter = waiter;
  }

  /**
   * The next step, at once where it is there. One can wait for it.
   *
   * @throws what the sender has failed with, when all else is taken
   */
  next(): Step | Promise<Step> {
    return this.step() ??
      new Promise((resolve, reject) => this.wait({ resolve, reject }));
  }
}
