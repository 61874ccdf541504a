import type { Context } from "./context.ts";
import { after, checkTime } from "./deadline.ts";
import type { End } from "./ends.ts";
import { CallError, ChannelError, DisconnectedError } from "./errors.ts";
import { Handle, MAX_PIECE } from "./frame.ts";
import type { AnyFunction, FunctionRef } from "./functions.ts";
import { Message } from "./message.ts";
import { underDeadline } from "./under_deadline.ts";

/** How a call is made. */
export interface CallOptions {
  /** Cancels the call here and the work there. */
  signal?: AbortSignal;
  /**
   * Milliseconds until the call is cancelled with a `TimeoutError`; `Infinity`
   * is never. Default: never.
   */
  timeout?: number;
  /** Puts the call in order with others; see {@linkcode CallChain}. */
  chain?: CallChain;
}

/**
 * What CALL_FUNCTION carries. The caller numbers the functions that it calls
 * in a context; what a number stands for is said in its first call.
 */
export type CallPayload =
  | [chain: number, id: number, args: unknown[]]
  | [
    chain: number,
    id: number,
    args: unknown[],
    url: string,
    name: string,
  ];

let chains = 0;

/**
 * Calls that run one after another in one context. When one fails, those after
 * it fail with the same error and do not run, until {@linkcode reset}.
 *
 * @example
 * ```ts
 * import { CallChain, Router } from "@mitogen/mitogen";
 * import { assertEquals } from "@std/assert";
 *
 * await using router = new Router();
 * const context = await router.local();
 * using chain = new CallChain(context);
 * chain.callNoReply(Object.assign, {}, {});
 * assertEquals(await chain.call(Math.max, 1, 2), 2);
 * ```
 */
export class CallChain implements Disposable {
  /** The context in which the calls run. */
  readonly context: Context;
  /** Number of the chain; unique in this process. */
  readonly id: number = ++chains;
  /** All calls of a chain arrive in order, whatever their size. */
  readonly lane: string = `chain ${this.id}`;
  /** Functions are looked up in order, so that calls leave in order. */
  tail: Promise<unknown> | undefined;

  /** Makes a chain of calls in one context. */
  constructor(context: Context) {
    this.context = context;
  }

  /** Like `context.call`, in order. */
  call<A extends unknown[], R>(
    fn: (...args: A) => R,
    ...args: NoInfer<A>
  ): Promise<Awaited<R>> {
    return invoke(this.context, fn, { args, chain: this }) as Promise<
      Awaited<R>
    >;
  }

  /** Like `context.callNoReply`, in order. */
  callNoReply<A extends unknown[]>(
    fn: (...args: A) => unknown,
    ...args: NoInfer<A>
  ): void {
    invokeNoReply(this.context, fn, { args, chain: this });
  }

  /** Forgets an earlier failure: what is called from now on runs. */
  reset(): void {
    const { context, id, lane } = this;
    const { router } = context;
    const forget = () => {
      const message = Message.value(id, {
        dstId: context.id,
        handle: Handle.FORGET_CHAIN,
      });
      message.lane = lane;
      router.route(message);
    };
    if (this.tail) this.tail = this.tail.then(forget);
    else forget();
  }

  /** The same as {@linkcode CallChain.reset}. */
  [Symbol.dispose](): void {
    this.reset();
  }
}

/** The numbers of the functions that were called in one context. */
export class CallNumbers {
  readonly #known = new Map<string, number>();
  /** By the object, which is the same for the same function: the fast way. */
  readonly #fast = new WeakMap<FunctionRef, { id: number; known: true }>();
  #next = 0;

  /** The number of a function, and whether the other side knows it. */
  number(ref: FunctionRef): { id: number; known: boolean } {
    const fast = this.#fast.get(ref);
    if (fast) return fast;
    const id = this.#known.get(`${ref[0]}\0${ref[1]}`);
    if (id === undefined) return { id: this.#next++, known: false };
    const entry = { id, known: true } as const;
    this.#fast.set(ref, entry);
    return entry;
  }

  /** The number that was given is on its way. */
  told(ref: FunctionRef, id: number): void {
    this.#known.set(`${ref[0]}\0${ref[1]}`, id);
  }
}

/** A call and its options. */
export interface Invocation extends CallOptions {
  args: unknown[];
}

/** An object whose stack is where the call was made; formatted only if read. */
function here(below: AnyFunction): { stack?: string } {
  const caller = {};
  Error.captureStackTrace(caller, below);
  return caller;
}

/** Calls a function in a context. */
export function invoke(
  context: Context,
  fn: AnyFunction,
  call: Invocation,
): Promise<unknown> {
  const caller = here(invoke);
  const { chain } = call;
  let ref: FunctionRef | Promise<FunctionRef>;
  try {
    ref = context.router.functions.refer(fn, caller);
  } catch (error) {
    return Promise.reject(error);
  }
  if (!(ref instanceof Promise) && !chain?.tail) {
    return sendCall(context, ref, call, caller);
  }
  const ready = Promise.all([ref, chain?.tail?.catch(() => {})]);
  return underDeadline(
    context.path,
    call,
    ready,
    (call) =>
      inOrder(chain, ref, (ref) => sendCall(context, ref, call, caller)),
  );
}

/** Calls a function by reference in a context. */
export function invokeRef(
  context: Context,
  ref: FunctionRef,
  call: Invocation,
): Promise<unknown> {
  return sendCall(context, ref, call, here(invokeRef));
}

/** Calls a method of a service; `maker` is a reference of what makes it. */
export async function invokeService(
  context: Context,
  name: string,
  method: string,
  call: Invocation,
  maker?: AnyFunction,
): Promise<unknown> {
  const caller = here(invokeService);
  if (call.chain) {
    throw new TypeError("Cannot put a call of a service in a chain");
  }
  const { router, id: dstId } = context;
  const handle = Handle.CALL_SERVICE;
  const sendWith = (call: Invocation, ref: FunctionRef | []) => {
    const payload = [name, method, call.args, ...ref];
    const make = () => Message.value(payload, { router, dstId, handle });
    return send(context, make, call, caller);
  };
  if (!maker) return await sendWith(call, []);
  const ref = Promise.resolve(router.functions.refer(maker, caller));
  return await underDeadline(
    context.path,
    call,
    ref,
    async (call) => sendWith(call, await ref),
  );
}

/** Calls a function in a context and wants no answer. */
export function invokeNoReply(
  context: Context,
  fn: AnyFunction,
  call: Invocation,
): void {
  const caller = here(invokeNoReply);
  const ref = context.router.functions.refer(fn, caller);
  const send = (ref: FunctionRef) =>
    context.router.route(request(context, ref, call));
  if (!(ref instanceof Promise) && !call.chain?.tail) return send(ref);
  inOrder(call.chain, ref, send).catch((error) =>
    context.router.log("error", `callNoReply failed: ${error}`)
  );
}

async function inOrder<T>(
  chain: CallChain | undefined,
  ref: FunctionRef | Promise<FunctionRef>,
  send: (ref: FunctionRef) => T,
): Promise<Awaited<T>> {
  const before = chain?.tail;
  const looked = Promise.all([ref, before?.catch(() => {})]);
  if (chain) {
    const tail: Promise<unknown> = looked.catch(() => {}).finally(() => {
      if (chain.tail === tail) chain.tail = undefined;
    });
    chain.tail = tail;
  }
  return await send((await looked)[0]);
}

function request(
  context: Context,
  ref: FunctionRef,
  { args, chain, signal }: Invocation,
): Message {
  const { router, id: dstId, calls } = context;
  const { id, known } = calls.number(ref);
  const payload: CallPayload = known
    ? [chain?.id ?? 0, id, args]
    : [chain?.id ?? 0, id, args, ref[0], ref[1]];
  const handle = Handle.CALL_FUNCTION;
  const message = Message.value(payload, { router, dstId, handle });
  // A large one may be overtaken by the next, or never leave, and one that is
  // cancelled does not: the next says again what the number stands for.
  if (!known && message.size <= MAX_PIECE && !signal?.aborted) {
    calls.told(ref, id);
  }
  if (chain) message.lane = chain.lane;
  return message;
}

function sendCall(
  context: Context,
  ref: FunctionRef,
  call: Invocation,
  caller: { stack?: string },
): Promise<unknown> {
  return send(context, () => request(context, ref, call), call, caller);
}

function send(
  context: Context,
  make: () => Message,
  call: CallOptions,
  caller: { stack?: string },
): Promise<unknown> {
  const { router } = context;
  const { signal, timeout } = call;
  return new Promise((resolve, reject) => {
    if (context.closeReason) throw gone(context, caller);
    signal?.throwIfAborted();
    if (timeout !== undefined) {
      checkTime(`Cannot call ${context.path}: timeout`, timeout);
    }
    const message = make();
    // To make it is to run the getters in it, one of which may have cancelled it.
    if (signal?.aborted) {
      for (const end of message.live ?? []) end.lost(signal.reason);
      throw signal.reason;
    }
    let cleanup: (() => void) | undefined;
    const handle = router.addHandler((reply) => {
      try {
        const value = reply.take();
        cleanup?.();
        settle(
          message.live,
          reply.live,
          signal,
          signal && (() => stop(context, handle)),
        );
        resolve(value);
      } catch (error) {
        cleanup?.();
        dismissAll(message.live, error);
        reject(arrive(error, context, caller));
      }
    }, { persist: false, respondent: context });
    message.replyTo = handle;
    if (message.size > MAX_PIECE) message.lane ??= `call ${handle}`;
    if (signal || timeout !== undefined) {
      const cancel = (reason: unknown) => {
        cleanup!();
        router.deleteHandler(handle);
        // Not ahead of what it is to stop.
        stop(context, handle, message.lane);
        dismissAll(message.live, reason);
        reject(reason);
      };
      const abort = () => cancel(signal!.reason);
      signal?.addEventListener("abort", abort);
      const disarm = after(timeout ?? Infinity, () =>
        cancel(
          new DOMException(
            `Cannot wait longer for ${context.path}: the call took more than ${timeout} ms`,
            "TimeoutError",
          ),
        ));
      cleanup = () => {
        signal?.removeEventListener("abort", abort);
        disarm();
      };
    }
    router.route(message);
  });
}

/** Cancels a call at its other end: the one whose answer goes to that handle. */
function stop(context: Context, call: number, lane?: string): void {
  const order = Message.value(call, {
    dstId: context.id,
    handle: Handle.CANCEL_CALL,
  });
  if (lane !== undefined) order.lane = lane;
  context.router.route(order);
}

/** A call is over: what was live in its arguments is as well. */
export function dismissAll(live: End[] | undefined, reason: unknown): void {
  if (live) { for (const end of live) end.dismiss(reason); }
}

/**
 * A call has returned. Callbacks and signals go with it, unless its result is
 * live itself: then they go with that. Streams go on by themselves.
 *
 * @param signal ends the call as long as its result lives
 * @param stop tells the one who was called
 */
export function settle(
  given: End[] | undefined,
  result: End[] | undefined,
  signal?: AbortSignal,
  stop?: () => void,
): void {
  const end = () => {
    for (const end of given ?? []) if (end.ofCall) end.release(undefined);
  };
  if (!result) return end();
  let left = result.length;
  const abort = () => {
    // Ahead of its parts: what it runs is to end before they break.
    stop?.();
    dismissAll(result, signal!.reason);
  };
  signal?.addEventListener("abort", abort);
  for (const live of result) {
    live.whenOver(() => {
      if (--left > 0) return;
      signal?.removeEventListener("abort", abort);
      end();
    });
  }
}

/** Where this library's own frames come from: nobody looks for those. */
const OWN = import.meta.url.replace(/\/[^/]*$/, "/");

function frames(stack: string | undefined): string {
  return (stack ?? "").split("\n").filter((line) =>
    /^\s+at /.test(line) && !line.includes(OWN)
  ).join("\n");
}

/** Gives an error that arrived the stack of the call that it answers. */
function arrive(
  error: unknown,
  context: Context,
  caller: { stack?: string },
): unknown {
  if (error instanceof CallError) {
    error.stack = `${error.name}: ${error.message}\n    at ${error.path}:\n${
      frames(error.remoteStack)
    }\n    at the call:\n${frames(caller.stack)}`;
    return error;
  }
  if (error instanceof ChannelError) {
    // The reason that was kept says more than the dead message.
    if (context.closeReason) return gone(context, caller);
    const named = error instanceof DisconnectedError
      ? new DisconnectedError(error.reason, context.path)
      : new ChannelError(`Cannot call ${context.path}: ${error.message}`);
    return at(named, caller);
  }
  return error;
}

function gone(context: Context, caller: { stack?: string }): Error {
  return at(
    new DisconnectedError(context.closeReason!, context.path),
    caller,
  );
}

function at<E extends Error>(error: E, caller: { stack?: string }): E {
  error.stack = `${error.name}: ${error.message}\n${frames(caller.stack)}`;
  return error;
}
