/**
 * What is live and crosses all the same: streams, iterables, signals and
 * callbacks. Each has an end on both sides; see `ends.ts`.
 *
 * @module
 */
import { CallbackOwner, callbackPeer } from "./callback.ts";
import type { Ends } from "./ends.ts";
import { SignalOwner, SignalPeer } from "./signal.ts";
import { IterableSink, ReadableSink, WritableSink } from "./sink.ts";
import { IterableSource, ReadableSource, WritableSource } from "./source.ts";

/** Tags of live values. */
export const LiveTag = {
  READABLE: 16,
  WRITABLE: 17,
  ITERABLE: 18,
  SIGNAL: 19,
  CALLBACK: 20,
} as const;

/** Takes up a live value that is to cross; `undefined` when it is none. */
export function packLive(
  ends: Ends,
  value: object,
): readonly [tag: number, payload: unknown] | undefined {
  if (!ends.between) return undefined;
  const { otherId } = ends;
  if (value instanceof ReadableStream) {
    if (value.locked) throw new TypeError("the stream has a reader already");
    const { handle } = new ReadableSource(ends, otherId, value);
    return [LiveTag.READABLE, handle];
  }
  if (value instanceof WritableStream) {
    if (value.locked) throw new TypeError("the stream has a writer already");
    const { handle } = new WritableSink(ends, otherId, value);
    return [LiveTag.WRITABLE, handle];
  }
  if (value instanceof AbortSignal) {
    if (value.aborted) return [LiveTag.SIGNAL, [0, value.reason]];
    const { handle } = new SignalOwner(ends, otherId, value);
    return [LiveTag.SIGNAL, [handle]];
  }
  if (typeof value === "function") {
    if (/^class\b/.test(Function.prototype.toString.call(value))) {
      throw new TypeError("a class cannot cross between contexts");
    }
    const { handle } = new CallbackOwner(ends, otherId, value);
    return [LiveTag.CALLBACK, handle];
  }
  if (isIterable(value)) {
    const { handle } = new IterableSource(ends, otherId, value);
    return [LiveTag.ITERABLE, handle];
  }
  return undefined;
}

function isIterable(
  value: object,
): value is AsyncIterable<unknown> | Iterator<unknown> {
  return value instanceof Iterator ||
    Symbol.asyncIterator in value &&
      typeof value[Symbol.asyncIterator] === "function";
}

/** Makes the other end of a live value; `undefined` for other tags. */
export function unpackLive(
  ends: Ends,
  tag: number,
  payload: unknown,
): unknown {
  if (!ends.between) throw new TypeError("nobody is at its other end");
  const { otherId } = ends;
  if (tag === LiveTag.SIGNAL) {
    const [handle, ...reason] = payload as unknown[];
    if (reason.length > 0) return AbortSignal.abort(reason[0]);
    return new SignalPeer(ends, otherId, handleOf(handle)).signal;
  }
  const handle = handleOf(payload);
  switch (tag) {
    case LiveTag.READABLE:
      return new ReadableSink(ends, otherId, handle).stream;
    case LiveTag.WRITABLE:
      return new WritableSource(ends, otherId, handle).stream;
    case LiveTag.ITERABLE:
      return new IterableSink(ends, otherId, handle).iterator;
    case LiveTag.CALLBACK:
      return callbackPeer(ends, otherId, handle);
  }
  throw new TypeError(`unknown extension ${tag}`);
}

function handleOf(value: unknown): number {
  if (typeof value !== "number" || value >>> 0 !== value || value < 1000) {
    throw new TypeError("expected a handle");
  }
  return value;
}
