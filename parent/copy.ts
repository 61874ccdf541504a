import { fileURLToPath } from "node:url";
import {
  type Context,
  type CopyOptions,
  type CopyProgress,
  type Router,
} from "../core/mod.ts";
import { copyError } from "./files/copy_error.ts";
import { DiskTarget } from "./files/disk_target.ts";
import { checkOptions, diskOptions, packOptions } from "./files/options.ts";
import { Packer } from "./files/packer.ts";
import {
  partialIn,
  partialOf,
  type Plan,
  receiveFiles,
  relay,
  sendFiles,
  understood,
  unpack,
} from "./files/remote.ts";
import { split } from "./files/split.ts";
import { StreamTarget } from "./files/stream_target.ts";

/** Milliseconds that the other side gets to clear away what was cancelled. */
const PATIENCE = 2000;

type Source = string | URL | ReadableStream<Uint8Array>;
type OnProgress = (progress: CopyProgress) => void;
type Destination = string | URL | WritableStream<Uint8Array>;

function local<S>(where: string | URL | S): string | S {
  return where instanceof URL ? fileURLToPath(where) : where;
}

/**
 * Cancels what runs elsewhere in two steps: it is told, so that nothing is left
 * there when the caller learns that it has ended; later, it is no longer waited
 * for. What the caller's own function throws comes out as it is.
 */
async function cancellable(
  options: CopyOptions,
  work: (cancel: AbortSignal, onProgress?: OnProgress) => Promise<void>,
): Promise<void> {
  checkOptions(options);
  const { signal, onProgress } = options;
  signal?.throwIfAborted();
  let thrown: { error: unknown } | undefined;
  const watched = onProgress && ((progress: CopyProgress) => {
    try {
      onProgress(progress);
    } catch (error) {
      thrown = { error };
      throw error;
    }
  });
  const controller = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const abort = () => {
    timer = setTimeout(() => controller.abort(signal!.reason), PATIENCE);
  };
  signal?.addEventListener("abort", abort);
  try {
    await work(controller.signal, watched);
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw thrown ? thrown.error : understood(error);
  } finally {
    signal?.removeEventListener("abort", abort);
    clearTimeout(timer);
  }
}

/** Copies a file, a directory or a stream to a path in a context. */
export async function copyTo(
  context: Context,
  source: Source,
  path: string,
  options: CopyOptions = {},
): Promise<void> {
  const { signal, resume } = options;
  await cancellable(options, async (cancel, onProgress) => {
    const caller = context.with({ signal: cancel });
    const prefix = resume ? await caller.call(partialOf, path) : undefined;
    const packer = new Packer(local(source), context.router.path, {
      ...packOptions(options, onProgress),
      ...(prefix ? { prefix } : {}),
    });
    const stream = packer.stream();
    const disk = { ...diskOptions(options), trusted: true };
    try {
      await caller.call(receiveFiles, stream, path, disk, signal);
    } catch (error) {
      if (!stream.locked) await stream.cancel(error);
      throw packer.failure ?? error;
    }
  });
}

/** Copies a file or directory of a context to a path here, or a file to a stream. */
export async function copyFrom(
  context: Context,
  path: string,
  target: Destination,
  options: CopyOptions = {},
): Promise<void> {
  const { signal, resume } = options;
  const { router } = context;
  const to = local(target);
  await cancellable(options, async (_, onProgress) => {
    const prefix = resume && typeof to === "string"
      ? await partialIn(router.path, to)
      : undefined;
    const stream = await context.with(signal ? { signal } : {}).call(
      sendFiles,
      path,
      { ...packOptions(options), ...(prefix ? { prefix } : {}) },
    );
    const disk = typeof to === "string"
      ? new DiskTarget(to, router.path, diskOptions(options))
      : new StreamTarget(to, path, context.path);
    try {
      const watch = onProgress ? { path, onProgress } : undefined;
      await unpack(stream, disk, signal ? [signal] : [], watch);
    } catch (error) {
      throw error instanceof TypeError && typeof to === "string"
        ? copyError("read", path, context.path, error)
        : error;
    }
  });
}

/**
 * Which contexts pass a copy on to which: along the way that leads to them, so
 * that no link carries it twice.
 */
function plansFor(router: Router, contexts: Iterable<Context>): Plan[] {
  const open = new Map(router.contexts().map((c) => [c.path, c]));
  const nodes = new Map<string, Plan>();
  const top: Plan[] = [];
  const nodeOf = (context: Context): Plan => {
    const { path } = context;
    const known = nodes.get(path);
    if (known) return known;
    const node: Plan = { context, here: false, below: [] };
    nodes.set(path, node);
    const above = open.get(path.slice(0, path.lastIndexOf("/")));
    (above ? nodeOf(above).below : top).push(node);
    return node;
  };
  for (const context of contexts) nodeOf(context).here = true;
  return top.map(straight);
}

/** The same without contexts that would pass it on to one other only. */
function straight(plan: Plan): Plan {
  const below = plan.below.map(straight);
  return !plan.here && below.length === 1 ? below[0]! : { ...plan, below };
}

/** Copies one source to a path in many contexts. */
export async function copyToAll(
  contexts: Context[],
  source: Source,
  path: string,
  options: Omit<CopyOptions, "resume"> = {},
): Promise<void> {
  const { signal } = options;
  await cancellable(options, async (cancel, onProgress) => {
    const [first] = contexts;
    if (!first) return;
    const { router } = first;
    const plans = plansFor(router, contexts);
    const packer = new Packer(
      local(source),
      router.path,
      packOptions(options, onProgress),
    );
    const failed = await relay(
      split(packer.stream(), plans.length, true),
      path,
      { ...diskOptions(options), trusted: true },
      plans,
      cancel,
      signal,
    );
    signal?.throwIfAborted();
    if (packer.failure) throw packer.failure;
    if (failed.length === 0) return;
    const names = failed.map(([id]) => router.contextById(id).path);
    throw new AggregateError(
      failed.map(([, error]) => understood(error)),
      `Cannot copy to ${failed.length} of ${contexts.length} contexts: ${
        names.slice(0, 10).join(", ")
      }${names.length > 10 ? ", ..." : ""}`,
    );
  });
}
