/**
 * What is called in the contexts that the conformance list tries: live values.
 *
 * @module
 */
import { current } from "../../mod.ts";

let produced = 0;
let ended = 0;
let last: unknown;

/** What happened here so far. */
export function tally(): { produced: number; ended: number; last: unknown } {
  return { produced, ended, last };
}

function note(reason: unknown): void {
  ended++;
  last = reason instanceof Error ? reason.message : reason;
}

/** Bytes whose values can be checked, in chunks of odd sizes. */
export function bytes(total: number): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      const size = Math.min(total - at, 1 + (at * 7919) % 200_000);
      const chunk = new Uint8Array(size);
      for (let i = 0; i < size; i++) chunk[i] = at + i;
      at += size;
      produced += size;
      if (size > 0) controller.enqueue(chunk);
      else controller.close();
    },
    cancel: note,
  }, { highWaterMark: 0 });
}

/** Reads a stream to its end; fails where it is not as {@linkcode bytes} made it. */
export async function sum(stream: ReadableStream<Uint8Array>): Promise<number> {
  let at = 0;
  for await (const chunk of stream) {
    for (let i = 0; i < chunk.length; i++) {
      if (chunk[i] !== ((at + i) & 255)) throw new Error(`wrong at ${at + i}`);
    }
    at += chunk.length;
  }
  return at;
}

/** Reads so many chunks and then leaves. */
export async function taste(
  stream: ReadableStream<unknown>,
  chunks: number,
): Promise<number> {
  let left = chunks;
  for await (const _ of stream) if (--left === 0) break;
  return chunks;
}

/** Holds what it gets, and does nothing with it. */
export function hold(value: unknown): void {
  last = value;
}

export function failing(): ReadableStream<number> {
  let n = 0;
  return new ReadableStream<number>({
    pull(controller) {
      if (n < 3) controller.enqueue(n++);
      else controller.error(new RangeError("no more of these"));
    },
  });
}

export async function readAll(stream: ReadableStream<unknown>) {
  return await Array.fromAsync(stream);
}

/** A transform in the middle: what goes in comes out, times ten. */
export function tenfold(input: ReadableStream<number>): ReadableStream<number> {
  return input.pipeThrough(
    new TransformStream({ transform: (n, out) => out.enqueue(n * 10) }),
  );
}

export async function writeTo(
  stream: WritableStream<unknown>,
  values: unknown[],
): Promise<void> {
  const writer = stream.getWriter();
  for (const value of values) await writer.write(value);
  await writer.close();
}

export async function abortAfter(
  stream: WritableStream<unknown>,
  value: unknown,
): Promise<void> {
  const writer = stream.getWriter();
  await writer.write(value);
  await writer.abort(new Error("changed my mind"));
}

export function collector(): { into: WritableStream<number>; got: number[] } {
  const got: number[] = [];
  last = got;
  return {
    into: new WritableStream({
      write: (n) => void got.push(n),
      close: () => note(got),
    }),
    got,
  };
}

export async function* count(to: number): AsyncGenerator<number> {
  try {
    for (let i = 0; i < to; i++) {
      produced++;
      yield i;
    }
  } finally {
    note("finally");
  }
}

export function* squares(to: number): Generator<number> {
  for (let i = 0; i < to; i++) yield i * i;
  throw new RangeError("no square is left");
}

/** Waits for its end in the middle of an iteration. */
export async function* waiting(): AsyncGenerator<string> {
  const { signal } = current();
  yield "waiting";
  await new Promise<void>((resolve) =>
    signal.addEventListener("abort", () => resolve())
  );
  note("told");
}

export async function total(values: AsyncIterable<number>): Promise<number> {
  let all = 0;
  for await (const value of values) all += value;
  return all;
}

export async function first(values: AsyncIterable<number>): Promise<number> {
  for await (const value of values) return value;
  return -1;
}

export async function apply(
  fn: (n: number) => number | Promise<number>,
  times: number,
): Promise<number> {
  let n = 1;
  for (let i = 0; i < times; i++) n = await fn(n);
  return n;
}

export function keep(fn: () => unknown): () => Promise<unknown> {
  return async () => await fn();
}

export function callLater(fn: () => Promise<unknown>): void {
  kept = fn;
}
let kept: (() => Promise<unknown>) | undefined;

export async function callKept(): Promise<unknown> {
  return await kept!();
}

export async function untilAborted(signal: AbortSignal): Promise<unknown> {
  if (!signal.aborted) {
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  }
  return signal.reason;
}

export async function untilCancelled(): Promise<void> {
  const { signal } = current();
  produced++;
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
  note("cancelled");
}

/** Everything at once, deep inside of an object. */
export function nested(parts: {
  a: { stream: ReadableStream<number> }[];
  on: (text: string) => Promise<void>;
}): { doubled: AsyncGenerator<number>; say: (text: string) => Promise<void> } {
  const { a: [{ stream }], on } = parts as {
    a: [{ stream: ReadableStream<number> }];
    on: (text: string) => Promise<void>;
  };
  return {
    doubled: (async function* () {
      for await (const n of stream) yield n * 2;
    })(),
    say: (text) => on(`it said ${text}`),
  };
}

export function echo<T>(value: T): T {
  return value;
}
