import type { Context } from "./context.ts";
import { Dead } from "./errors.ts";
import { FIRST_DYNAMIC_HANDLE } from "./frame.ts";
import type { Link } from "./link.ts";
import { Message } from "./message.ts";

/** Whether a message may reach a handle. `link` is unset for local messages. */
export type Policy = (message: Message, link: Link | undefined) => boolean;

/**
 * What a handle does with a message. A dead message is always its last. What
 * it answers does not matter, but for a promise that is rejected.
 */
export type HandlerFunction = (
  message: Message,
  link: Link | undefined,
) => unknown;

/** How a handle is registered. */
export interface HandlerOptions {
  /** A fixed number. Default: the next free one. */
  handle?: number;
  /** Whether it stays after its first message. @default {true} */
  persist?: boolean;
  /** Who may send to it. Default: everyone. */
  policy?: Policy;
  /**
   * The one context that may send to it. When that context is lost, the handle
   * gets a dead message and is removed.
   */
  respondent?: Context | undefined;
  /** Whether an earlier handler of the same number is replaced. @default {false} */
  overwrite?: boolean;
  /**
   * Whether it lives as long as the router: dead messages, which end others,
   * do not reach it. @default {false}
   */
  service?: boolean;
  /** Bytes of data of a message from elsewhere. Default: the router's limit. */
  maxSize?: number;
}

/** Told of what a handler throws: it harms no other. */
export type HandlerFailed = (
  message: Message,
  error: unknown,
  link: Link | undefined,
) => void;

interface Handler {
  fn: HandlerFunction;
  persist: boolean;
  policy: Policy | undefined;
  respondent: Context | undefined;
  service: boolean;
  maxSize: number;
}

/** The handles of one router. */
export class Handlers {
  readonly #table = new Map<number, Handler>();
  readonly #isAbove: (id: number) => boolean;
  readonly #routeTo: (id: number) => Link | undefined;
  readonly #failed: HandlerFailed;
  #next = FIRST_DYNAMIC_HANDLE;
  #down = false;

  /**
   * Makes an empty table.
   *
   * @param isAbove whether an id is that of this context or of an ancestor
   * @param routeTo the link that leads to a context
   */
  constructor(
    isAbove: (id: number) => boolean,
    routeTo: (id: number) => Link | undefined,
    failed: HandlerFailed,
  ) {
    this.#isAbove = isAbove;
    this.#routeTo = routeTo;
    this.#failed = failed;
  }

  /** How many there are; tests hold it against its start. */
  get size(): number {
    return this.#table.size;
  }

  /**
   * Registers a handler and returns its handle.
   *
   * @throws {RangeError} when the handle is taken
   */
  add(fn: HandlerFunction, options: HandlerOptions = {}): number {
    const handle = options.handle ?? this.#free();
    if (!options.overwrite && this.#table.has(handle)) {
      throw new RangeError(
        `Cannot register handle ${handle}: it already exists`,
      );
    }
    this.#table.set(handle, {
      fn,
      persist: options.persist ?? true,
      policy: options.policy,
      respondent: options.respondent,
      service: options.service ?? false,
      maxSize: options.maxSize ?? Infinity,
    });
    // Nobody would ever tell it that the router is gone: it is told now.
    if (this.#down) {
      queueMicrotask(() => this.#kill(handle, Dead.ROUTER));
    }
    return handle;
  }

  #free(): number {
    // 32 bits on the wire. After four billion calls the numbers come round.
    do {
      if (this.#next > 0xffffffff) this.#next = FIRST_DYNAMIC_HANDLE;
    } while (this.#table.has(this.#next) && this.#next++);
    return this.#next++;
  }

  /** Forgets a handle. */
  delete(handle: number): void {
    this.#table.delete(handle);
  }

  /**
   * Why a message may not reach its handle; `undefined` when it may.
   *
   * @param size bytes of its data, where they are not all there yet
   */
  refusal(
    message: Message,
    link: Link | undefined,
    size: number = message.size,
  ): string | undefined {
    const handler = this.#table.get(message.handle);
    if (!handler) return Dead.HANDLE;
    const { respondent } = handler;
    // Only the respondent may answer. That there is no way to it is for this
    // context and those above to say: what is lost further down, they are told
    // by DEL_ROUTE, and a sibling's word must not end what is not its own.
    if (
      respondent && respondent.id !== message.srcId &&
      !(message.isDead && this.#isAbove(message.srcId))
    ) {
      // A hop on the way says it honestly for all that was under way.
      const early = message.isDead && link &&
        this.#routeTo(respondent.id) === link;
      return early ? Dead.HANDLE : Dead.REPLY;
    }
    if (message.isDead && handler.service) return undefined;
    if (handler.policy && !handler.policy(message, link)) return Dead.POLICY;
    if (link && size > handler.maxSize) return Dead.SIZE;
    return undefined;
  }

  /** Hands a message to its handle; otherwise says why not. */
  dispatch(message: Message, link: Link | undefined): string | undefined {
    const refused = this.refusal(message, link);
    if (refused !== undefined) return refused;
    const handler = this.#table.get(message.handle)!;
    if (message.isDead && handler.service) return undefined;
    if (!handler.persist || message.isDead) this.#table.delete(message.handle);
    this.#call(handler, message, link);
    return undefined;
  }

  #call(handler: Handler, message: Message, link: Link | undefined): void {
    const failed = (error: unknown) => this.#failed(message, error, link);
    try {
      const result = handler.fn(message, link);
      if (result instanceof Promise) result.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  /** Ends all handles that wait for this context. */
  disconnect(context: Context, reason: string): void {
    for (const [handle, { respondent }] of [...this.#table]) {
      if (respondent?.id === context.id) this.#kill(handle, reason);
    }
  }

  /** Ends all handles. */
  close(): void {
    this.#down = true;
    for (const handle of [...this.#table.keys()]) {
      this.#kill(handle, Dead.ROUTER);
    }
  }

  #kill(handle: number, reason: string): void {
    const handler = this.#table.get(handle);
    if (!handler) return;
    this.#table.delete(handle);
    if (handler.service) return;
    const message = Message.dead(reason);
    message.handle = handle;
    this.#call(handler, message, undefined);
  }
}
