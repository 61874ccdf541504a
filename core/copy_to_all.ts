import type { Context } from "./context.ts";
import type { CopyOptions } from "./options.ts";

/** The part of the parent room that copies files. */
export interface Copier {
  /** Copies files to a context. */
  copyTo(
    context: Context,
    source: string | URL | ReadableStream<Uint8Array>,
    path: string,
    options?: CopyOptions,
  ): Promise<void>;
  /** Copies files from a context. */
  copyFrom(
    context: Context,
    path: string,
    target: string | URL | WritableStream<Uint8Array>,
    options?: CopyOptions,
  ): Promise<void>;
  /** Copies files to many contexts. */
  copyToAll(
    contexts: Context[],
    source: string | URL | ReadableStream<Uint8Array>,
    path: string,
    options?: Omit<CopyOptions, "resume">,
  ): Promise<void>;
}

/**
 * Copies one source to the same path in many contexts. It is read once, and
 * goes over each connection once: contexts on the way pass it on to those
 * behind them. All of them go at the pace of the slowest.
 *
 * @throws {AggregateError} when some contexts did not get it, with an error for
 * each of them; the others have it
 * @example
 * ```ts
 * import { copyToAll, Router } from "@mitogen/mitogen";
 *
 * await using router = new Router();
 * const gateway = await router.local({ name: "gateway" });
 * const web = await Promise.all(
 *   ["a", "b", "c"].map((name) => router.local({ via: gateway, name })),
 * );
 * await copyToAll(web, "/etc/hostname", "/dev/shm/hostname");
 * ```
 */
export async function copyToAll(
  contexts: Context[],
  source: string | URL | ReadableStream<Uint8Array>,
  path: string,
  options?: Omit<CopyOptions, "resume">,
): Promise<void> {
  const room = await contexts[0]?.router.parentRoom();
  await room?.copyToAll(contexts, source, path, options);
}
