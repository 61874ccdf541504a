/**
 * What runs in the contexts to, from or through which files are copied.
 *
 * @module
 */
import {
  CallError,
  type Context,
  CopyError,
  current,
  DisconnectedError,
  registerLibrary,
} from "../../core/mod.ts";
import { BatchReader } from "./batch.ts";
import { checkPath, copyError } from "./copy_error.ts";
import { type DiskOptions, DiskTarget } from "./disk_target.ts";
import { Packer, type PackOptions } from "./packer.ts";
import { hashOf, type Prefix } from "./prefix.ts";
import { RecordReader, type Target, type Watch } from "./records.ts";
import { split } from "./split.ts";
import { partialName } from "./temporary.ts";

/** Where a copy goes when many contexts get it, from one context down. */
export interface Plan {
  context: Context;
  /** Whether it gets the copy itself. */
  here: boolean;
  below: Plan[];
}

/** A context that did not get its copy, by its id, and why. */
export type Failure = [id: number, error: unknown];

/**
 * Gives what arrives to a target, which is aborted when that fails or a signal
 * fires: at once, for a context that ends waits for nobody.
 */
export async function unpack(
  stream: ReadableStream<Uint8Array>,
  target: Target,
  signals: AbortSignal[],
  watch?: Watch,
): Promise<void> {
  const input = new BatchReader(stream);
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  const stop = (reason: unknown) => {
    target.abort(reason);
    input.cancel(reason);
    reject(reason);
  };
  const listeners = signals.map((signal) => {
    const listener = () => stop(signal.reason);
    if (signal.aborted) listener();
    else signal.addEventListener("abort", listener);
    return () => signal.removeEventListener("abort", listener);
  });
  try {
    const reading = new RecordReader(input, target, watch).run();
    await Promise.race([stopped, reading]);
  } catch (error) {
    stop(error);
    throw error;
  } finally {
    for (const off of listeners) off();
  }
}

/** Writes what comes to a path of this context. */
export async function receiveFiles(
  stream: ReadableStream<Uint8Array>,
  path: string,
  options: DiskOptions,
  signal?: AbortSignal,
): Promise<void> {
  const { router, signal: ending } = current();
  const signals = signal ? [signal, ending] : [ending];
  try {
    const target = new DiskTarget(path, router.path, options);
    await unpack(stream, target, signals);
  } catch (error) {
    if (signals.some(({ aborted }) => aborted)) throw error;
    throw copyError("write", path, router.path, error);
  }
}

/** Reads a file or directory of this context. */
export function sendFiles(
  path: string,
  options: PackOptions,
): ReadableStream<Uint8Array> {
  return new Packer(path, current().router.path, options).stream();
}

/** What is in this context of a file that was not copied to its end. */
export function partialOf(path: string): Promise<Prefix | undefined> {
  return partialIn(current().router.path, path);
}

/** The same, for who knows the path of the context that this is. */
export async function partialIn(
  context: string,
  path: string,
): Promise<Prefix | undefined> {
  try {
    checkPath(path);
  } catch (error) {
    throw copyError("write", path, context, error);
  }
  try {
    const partial = partialName(path);
    if (!(await Deno.lstat(partial)).isFile) return undefined;
    using file = await Deno.open(partial);
    return await hashOf(file, Infinity);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw copyError("read", path, context, error);
  }
}

/** Passes a copy on to contexts below this one, and takes it if it is for this one too. */
export async function relayFiles(
  stream: ReadableStream<Uint8Array>,
  path: string,
  options: DiskOptions,
  { context, here, below }: Plan,
  signal?: AbortSignal,
): Promise<Failure[]> {
  const streams = split(stream, below.length + (here ? 1 : 0), false);
  const own = here
    ? failures(
      [context.id],
      receiveFiles(streams.pop()!, path, options, signal),
    )
    : [];
  const { signal: ending } = current();
  const rest = await relay(streams, path, options, below, ending, signal);
  return [...await own, ...rest];
}

/** Sends one stream along each plan; answers which contexts it did not reach. */
export async function relay(
  streams: ReadableStream<Uint8Array>[],
  path: string,
  options: DiskOptions,
  plans: Plan[],
  cancel: AbortSignal,
  signal?: AbortSignal,
): Promise<Failure[]> {
  const results = plans.map(async (plan, i) => {
    const stream = streams[i]!;
    const caller = plan.context.with({ signal: cancel });
    const failed = await failures(
      idsOf(plan),
      plan.below.length === 0
        ? caller.call(receiveFiles, stream, path, options, signal)
        : caller.call(relayFiles, stream, path, options, plan, signal),
    );
    // It was not even sent, perhaps.
    if (!stream.locked) void stream.cancel().catch(() => {});
    return failed;
  });
  return (await Promise.all(results)).flat();
}

function idsOf({ context, here, below }: Plan): number[] {
  return [...here ? [context.id] : [], ...below.flatMap(idsOf)];
}

/** What a copy to some contexts has come to. */
async function failures(
  ids: number[],
  copying: Promise<Failure[] | void>,
): Promise<Failure[]> {
  try {
    return await copying ?? [];
  } catch (error) {
    const reason = understood(error);
    return ids.map((id) => [id, reason]);
  }
}

/**
 * What a call that copies failed with, without the call around it: the copy's
 * own reason, or the loss of a context, which either side may be first to see.
 */
export function understood(error: unknown): unknown {
  const cause = error instanceof CallError ? error.cause : undefined;
  return cause instanceof CopyError || cause instanceof DisconnectedError
    ? cause
    : error;
}

registerLibrary("mitogen:parent", {
  receiveFiles,
  sendFiles,
  partialOf,
  relayFiles,
});
