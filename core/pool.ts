/** What came of one target. */
export type PoolResult<T, R> =
  | { target: T; status: "fulfilled"; value: R }
  | { target: T; status: "rejected"; reason: unknown };

/** Options of {@linkcode pool}. */
export interface PoolOptions {
  /** How many run at once. sshd lets ten log in at a time. @default {10} */
  concurrency?: number;
  /** Ends it: no more are started, what runs is aborted. */
  signal?: AbortSignal;
  /** Whether the first that fails ends it as well. @default {false} */
  failFast?: boolean;
}

/** What the function is told beside its target. */
export interface PoolScope {
  /** Fires when the pool ends before its time. Pass it on. */
  signal: AbortSignal;
  /** The place of the target among all, from 0. */
  index: number;
}

/**
 * Runs a function for each of many targets, so many at once, and gives the
 * results as they come.
 *
 * Each target that was started gives one result, and none runs any more when
 * the loop is over: leaving it early aborts what runs and waits for that. So
 * do `signal`, whose reason is thrown after the last result, and `failFast`.
 * A consumer that is slow makes no target start: at most as many results wait
 * as may run.
 *
 * @throws {RangeError} when `concurrency` is not a whole number from 1
 * @example
 * ```ts
 * import { pool, Router } from "@mitogen/mitogen";
 * import { assertEquals } from "@std/assert";
 *
 * await using router = new Router();
 * const specs = ["local:?name=a", "local:?name=b"];
 * const names = [];
 * const connected = pool(specs, async (spec, { signal }) => {
 *   await using context = await router.connect(spec, { signal });
 *   return await context.with({ signal }).call((n: number) => n + 1, 1);
 * }, { concurrency: 2 });
 * for await (const result of connected) {
 *   if (result.status === "fulfilled") names.push(`${result.target} ${result.value}`);
 * }
 * assertEquals(names.sort(), ["local:?name=a 2", "local:?name=b 2"]);
 * ```
 */
export function pool<T, R>(
  targets: Iterable<T> | AsyncIterable<T>,
  fn: (target: T, scope: PoolScope) => R,
  options: PoolOptions = {},
): AsyncGenerator<PoolResult<T, Awaited<R>>, void, undefined> {
  const { concurrency = 10 } = options;
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    throw new RangeError(
      `Cannot make a pool: the concurrency is a whole number from 1, not ${concurrency}`,
    );
  }
  return run(targets, fn, concurrency, options);
}

async function* run<T, R>(
  targets: Iterable<T> | AsyncIterable<T>,
  fn: (target: T, scope: PoolScope) => R,
  concurrency: number,
  { signal: given, failFast = false }: PoolOptions,
): AsyncGenerator<PoolResult<T, Awaited<R>>, void, undefined> {
  const controller = new AbortController();
  const { signal } = controller;
  const abort = () => controller.abort(given!.reason);
  const source = Symbol.asyncIterator in targets
    ? targets[Symbol.asyncIterator]()
    : targets[Symbol.iterator]();
  const running = new Set<Promise<void>>();
  const done: PoolResult<T, Awaited<R>>[] = [];
  let index = 0;
  let wake = Promise.withResolvers<void>();

  async function start(target: T): Promise<void> {
    try {
      const value = await fn(target, { signal, index: index++ });
      done.push({ target, status: "fulfilled", value });
    } catch (reason) {
      done.push({ target, status: "rejected", reason });
      if (failFast) controller.abort(reason);
    }
  }

  // The next target may take its time; results do not wait for it.
  let asking = false;
  let exhausted = false;
  let failure: { error: unknown } | undefined;
  async function ask(): Promise<void> {
    asking = true;
    try {
      const { value, done } = await source.next();
      if (done) exhausted = true;
      else if (!signal.aborted) {
        const task = start(value).finally(() => {
          running.delete(task);
          wake.resolve();
        });
        running.add(task);
      }
    } catch (error) {
      exhausted = true;
      failure = { error };
    }
    asking = false;
    wake.resolve();
  }

  signal.addEventListener("abort", () => wake.resolve());
  if (given?.aborted) abort();
  given?.addEventListener("abort", abort);
  try {
    for (;;) {
      const more = !exhausted && !signal.aborted;
      if (more && !asking && running.size + done.length < concurrency) {
        void ask();
      }
      const result = done.shift();
      if (result) yield result;
      else if (running.size === 0 && !(more && asking)) break;
      else {
        await wake.promise;
        wake = Promise.withResolvers();
      }
    }
    if (failure) throw failure.error;
    if (given?.aborted) throw given.reason;
  } finally {
    given?.removeEventListener("abort", abort);
    controller.abort(
      new DOMException("the pool was left before its end", "AbortError"),
    );
    await Promise.all(running);
    if (!exhausted) {
      const returned = Promise.resolve(source.return?.());
      // A source that is being waited for may never answer.
      if (asking) returned.catch(() => {});
      else await returned;
    }
  }
}
