/** Many targets, so many at once. */
import {
  assert,
  assertEquals,
  assertLessOrEqual,
  assertRejects,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import { pool, type PoolOptions, type PoolResult, Router } from "../mod.ts";
import { noLeaks } from "./fixtures/leaks.ts";

async function collect<T, R>(
  results: AsyncIterable<PoolResult<T, R>>,
): Promise<PoolResult<T, R>[]> {
  const all: PoolResult<T, R>[] = [];
  for await (const result of results) all.push(result);
  return all;
}

/** Lets everything run that can. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await null;
}

/** A function whose calls end when the test says so. */
function gates() {
  const open = new Map<number, PromiseWithResolvers<string>>();
  const aborted: number[] = [];
  const fn = (target: number, { signal }: { signal: AbortSignal }) => {
    const gate = Promise.withResolvers<string>();
    open.set(target, gate);
    signal.addEventListener("abort", () => {
      aborted.push(target);
      gate.reject(signal.reason);
    });
    return gate.promise.finally(() => open.delete(target));
  };
  return { open, aborted, fn };
}

Deno.test("pool() gives results in the order in which they are done, with values and reasons", async () => {
  const { open, fn } = gates();
  const results = pool([1, 2, 3], fn);
  const first = results.next();
  await settle();
  assertEquals([...open.keys()], [1, 2, 3]);
  open.get(2)!.resolve("two");
  assertEquals(await first, {
    done: false,
    value: { target: 2, status: "fulfilled", value: "two" },
  });
  const error = new Error("no");
  open.get(3)!.reject(error);
  open.get(1)!.resolve("one");
  assertEquals(await collect(results), [
    { target: 3, status: "rejected", reason: error },
    { target: 1, status: "fulfilled", value: "one" },
  ]);
});

Deno.test("pool() runs ten at once, or as many as it is told, and none for a reader that waits", async () => {
  for (const concurrency of [undefined, 1, 3]) {
    const { open, fn } = gates();
    const targets = Array.from({ length: 20 }, (_, i) => i);
    const limit = concurrency ?? 10;
    const results = pool(
      targets,
      fn,
      concurrency === undefined ? {} : { concurrency },
    );
    await settle();
    assertEquals(open.size, 0, "nothing runs before it is asked for");
    const first = results.next();
    await settle();
    assertEquals(open.size, limit);
    for (const gate of [...open.values()]) gate.resolve("");
    await first;
    await settle();
    assertEquals(open.size, 0, "a reader that waits starts no more");
    const second = results.next();
    await settle();
    assertEquals(open.size, 1, "each result that is taken makes room for one");
    for (const gate of open.values()) gate.resolve("");
    await second;
    await results.return();
    assertEquals(open.size, 0);
  }
  for (const concurrency of [0, -1, 1.5, NaN, "2" as never]) {
    assertThrows(() => pool([], () => 1, { concurrency }), RangeError);
  }
});

Deno.test("pool() aborts what runs when the loop is left, and waits for it", async () => {
  const { open, aborted, fn } = gates();
  let cleaned = 0;
  const results = pool([1, 2, 3, 4], async (target, scope) => {
    try {
      return await fn(target, scope);
    } finally {
      await settle();
      cleaned++;
    }
  }, { concurrency: 3 });
  queueMicrotask(async () => {
    await settle();
    open.get(2)!.resolve("two");
  });
  for await (const { target } of results) {
    assertEquals(target, 2);
    break;
  }
  assertEquals(aborted.filter((target) => target !== 2), [1, 3]);
  assertEquals([open.size, cleaned], [0, 3]);
});

Deno.test("pool() with failFast starts no more after the first failure", async () => {
  const { open, fn } = gates();
  const results = collect(
    pool([1, 2, 3], fn, { concurrency: 2, failFast: true }),
  );
  await settle();
  const error = new Error("no");
  open.get(1)!.reject(error);
  assertEquals(await results, [
    { target: 1, status: "rejected", reason: error },
    { target: 2, status: "rejected", reason: error },
  ]);
});

Deno.test("pool() with a signal gives what was started, then throws its reason", async () => {
  const { open, fn } = gates();
  const controller = new AbortController();
  const results: PoolResult<number, string>[] = [];
  const loop = (async () => {
    const { signal } = controller;
    for await (const r of pool([1, 2, 3], fn, { concurrency: 2, signal })) {
      results.push(r);
    }
  })();
  await settle();
  open.get(2)!.resolve("two");
  await settle();
  const reason = new Error("enough");
  controller.abort(reason);
  assertEquals(await assertRejects(() => loop), reason);
  assertEquals(results.map(({ target, status }) => [target, status]), [
    [2, "fulfilled"],
    [1, "rejected"],
    [3, "rejected"],
  ]);
  const gone = AbortSignal.abort(reason);
  let calls = 0;
  await assertRejects(
    () => collect(pool([1], () => calls++, { signal: gone })),
    Error,
    "enough",
  );
  assertEquals(calls, 0);
});

Deno.test("pool() takes targets as they come, and closes where they come from", async () => {
  let closed = 0;
  async function* source(fail: boolean) {
    try {
      yield 1;
      await null;
      yield 2;
      if (fail) throw new Error("no more");
      yield 3;
    } finally {
      closed++;
    }
  }
  const double = (n: number) => n * 2;
  assertEquals(
    (await collect(pool(source(false), double, { concurrency: 2 }))).length,
    3,
  );
  const results: unknown[] = [];
  await assertRejects(
    async () => {
      for await (const r of pool(source(true), double)) results.push(r);
    },
    Error,
    "no more",
  );
  assertEquals(results.length, 2);
  for await (const _ of pool(source(false), double, { concurrency: 1 })) break;
  assertEquals(closed, 3);
  // A source that never answers holds up neither results nor the end.
  async function* stuck() {
    yield 1;
    await new Promise(() => {});
  }
  for await (const { target } of pool(stuck(), double)) {
    assertEquals(target, 1);
    break;
  }
});

Deno.test("pool(): each that was started gives one result; never too many run; nothing runs afterwards", async () => {
  const plan = fc.record({
    // How many turns each takes, and whether it fails.
    targets: fc.array(fc.tuple(fc.nat(12), fc.boolean()), { maxLength: 40 }),
    concurrency: fc.integer({ min: 1, max: 12 }),
    failFast: fc.boolean(),
    stopAfter: fc.option(fc.nat(40)),
    abortAfter: fc.option(fc.nat(60)),
    slowReader: fc.nat(5),
  });
  await fc.assert(
    fc.asyncProperty(plan, async (plan) => {
      const { targets, concurrency, failFast, stopAfter, abortAfter } = plan;
      const started = new Set<number>();
      const controller = new AbortController();
      let [running, most, ticks] = [0, 0, 0];
      const work = async (
        index: number,
        scope: { signal: AbortSignal; index: number },
      ) => {
        assertEquals(scope.index, index);
        assert(!started.has(index));
        started.add(index);
        most = Math.max(most, ++running);
        try {
          const [turns, fails] = targets[index]!;
          for (let i = 0; i < turns; i++) {
            await null;
            if (ticks++ === abortAfter) controller.abort("stopped");
            scope.signal.throwIfAborted();
          }
          if (fails) throw index;
          return -index;
        } finally {
          running--;
        }
      };
      const options: PoolOptions = {
        concurrency,
        failFast,
        signal: controller.signal,
      };
      const seen: number[] = [];
      let left = false;
      let failed = false;
      try {
        for await (const r of pool(targets.keys(), work, options)) {
          assert(started.has(r.target));
          if (r.status === "fulfilled") assertEquals(r.value, -r.target);
          else failed = true;
          seen.push(r.target);
          assertLessOrEqual(started.size - seen.length, concurrency);
          if (seen.length === stopAfter) {
            left = true;
            break;
          }
          for (let i = 0; i < plan.slowReader; i++) await null;
        }
        assert(left || !controller.signal.aborted);
      } catch (error) {
        assertEquals(error, "stopped");
      }
      assertEquals(running, 0);
      assertLessOrEqual(most, concurrency);
      assertEquals(new Set(seen).size, seen.length);
      if (!left) assertEquals(new Set(seen), started);
      if (!left && !(failFast && failed) && !controller.signal.aborted) {
        assertEquals(seen.length, targets.length);
      }
    }),
    { numRuns: 1000 },
  );
});

Deno.test("pool() of contexts: leaving it ends those that are open", async () => {
  await using _ = await noLeaks();
  await using router = new Router({ onLog() {} });
  const specs = ["local:?name=a", "nonsense", "local:?name=b", "local:?name=c"];
  const results = pool(specs, async (spec, { signal }) => {
    await using context = await router.connect(spec, { signal });
    // Only the first one answers.
    return await context.with({ signal }).call(
      (name: string) => name === "a" ? name : new Promise<string>(() => {}),
      context.name,
    );
  });
  const seen: string[] = [];
  for await (const { target, status } of results) {
    seen.push(`${target} ${status}`);
    if (seen.length === 2) break;
  }
  assertEquals(seen, ["nonsense rejected", "local:?name=a fulfilled"]);
  assertEquals(router.contexts(), []);
});

Deno.test("pool() is there for modules that run in a context", async () => {
  await using _ = await noLeaks();
  await using router = new Router({ onLog() {} });
  const context = await router.local();
  const { squares } = await import("./fixtures/modules/squares.ts");
  assertEquals(await context.call(squares, 4), [0, 1, 4, 9]);
});
