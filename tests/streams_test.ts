/** Streams through real processes: memory, fairness, and what breaks them. */
import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import {
  type Context,
  DisconnectedError,
  Router,
  type Sender,
} from "../mod.ts";
import { bulk, drain } from "./fixtures/bulk.ts";
import { ENDINGS, hops, SOON } from "./fixtures/hops.ts";
import { goneWithin, noLeaks } from "./fixtures/leaks.ts";
import { howItEnded, takeStream } from "./fixtures/taker.ts";

const MIB = 1024 * 1024;

function rss(): number {
  return Deno.memoryUsage().rss;
}

Deno.test("a slow reader behind three hops costs nobody memory, and small calls pass", async () => {
  await using _ = await noLeaks();
  await using router = new Router({ onLog() {} });
  const all = await hops(router);
  const last = all[2];
  // Warm: code is loaded, and the heap has its size.
  await last.call(drain, bulk(64 * MIB), 1e12);
  const before = [rss(), ...await Promise.all(all.map((c) => c.call(rss)))];
  const size = 300 * MIB;
  let done = false;
  const call = last.call(drain, bulk(size), 100e6)
    .finally(() => done = true);
  let slowest = 0;
  let grown = before.map(() => 0);
  while (!done) {
    const begin = performance.now();
    const now = [rss(), ...await Promise.all(all.map((c) => c.call(rss)))];
    slowest = Math.max(slowest, performance.now() - begin);
    grown = grown.map((g, i) => Math.max(g, now[i]! - before[i]!));
  }
  assertEquals(await call, size);
  for (const bytes of grown) assertLess(bytes, 64 * MIB, String(grown));
  // Far less than what waits at any time takes; machines are noisy.
  assertLess(slowest, 1000);
});

Deno.test("of a hundred streams one is not read; the others all arrive", async () => {
  await using _ = await noLeaks();
  await using router = new Router({ onLog() {} });
  const context = await router.local();
  const size = 4 * MIB;
  const stuck = context.call(
    (stream: ReadableStream<Uint8Array>) =>
      // Held, and not read.
      new Promise(() => Object.assign(globalThis, { stream })),
    bulk(),
  );
  const failed = assertRejects(() => stuck, DisconnectedError);
  const sizes = await Promise.all(
    Array.from({ length: 99 }, () => context.call(drain, bulk(size))),
  );
  assertEquals(sizes, new Array(99).fill(size));
  // And in the other direction.
  const idle = await context.call(bulk);
  const back = await Promise.all(
    Array.from(
      { length: 99 },
      async () => await drain(await context.call(bulk, size)),
    ),
  );
  assertEquals(back, new Array(99).fill(size));
  await idle.cancel();
  await context.shutdown();
  await failed;
});

Deno.test("a small call does not wait for a large one, at any hop", async () => {
  await using _ = await noLeaks();
  await using router = new Router({ onLog() {} });
  const last = (await hops(router))[2];
  let done = false;
  const large = last.call(
    (bytes: Uint8Array) => bytes,
    new Uint8Array(64 * MIB),
  )
    .then(({ length }) => {
      done = true;
      return length;
    });
  let calls = 0;
  for (; !done; calls++) {
    assertEquals(await last.call(Math.max, 1, calls), Math.max(1, calls));
  }
  assertEquals(await large, 64 * MIB);
  assert(calls > 10, `${calls} calls meanwhile`);
});

for (const [ending, { itself, behind, end }] of Object.entries(ENDINGS)) {
  for (const ended of [0, 1, 2]) {
    Deno.test(`${ending} of hop ${ended + 1} of three ends a transfer on both sides`, async () => {
      await using _ = await noLeaks();
      const dropped: string[] = [];
      await using router = new Router({
        onLog({ message }) {
          if (message.startsWith("dropped")) dropped.push(message);
        },
      });
      const all = await hops(router, SOON);
      const pids = await Promise.all(all.map((c) => c.call(() => Deno.pid)));
      const last = all[2];
      const started = Promise.withResolvers<void>();
      const cancelled = Promise.withResolvers<unknown>();
      let chunks = 0;
      const source = new ReadableStream<Uint8Array>({
        pull(controller) {
          controller.enqueue(new Uint8Array(64 * 1024));
          if (++chunks === 50) started.resolve();
        },
        cancel: (reason) => cancelled.resolve(reason),
      });
      const sent = assertRejects(
        () => last.call(drain, source),
        DisconnectedError,
      );
      const taken = assertRejects(
        async () => await drain(await last.call(bulk)),
        DisconnectedError,
      );
      await started.promise;
      end(all[ended]!, pids[ended]!);
      const begin = performance.now();
      for (const { reason, path } of [await sent, await taken]) {
        assertEquals(
          [reason.kind, path],
          [ended === 2 ? itself : behind, last.path],
          reason.message,
        );
      }
      const reason = await cancelled.promise;
      assert(reason instanceof DisconnectedError, String(reason));
      await Promise.all(
        pids.slice(ended).map((pid) => goneWithin(pid, 4000)),
      );
      assertLess(performance.now() - begin, 6000);
      // What hops say of all that was under way is no news.
      assertEquals(dropped, []);
    });
  }
}

Deno.test("siblings stream to each other, and learn of each other's end", async () => {
  await using _ = await noLeaks();
  await using router = new Router({ onLog() {} });
  const [one, other] = await Promise.all([router.local(), router.local()]);
  const stream = await one!.call(
    async (other: Context) =>
      await other.call((total: number) => {
        let left = total;
        return new ReadableStream<Uint8Array>({
          pull(controller) {
            if (left <= 0) return controller.close();
            left -= 50_000;
            controller.enqueue(new Uint8Array(50_000));
          },
        });
      }, 5_000_000),
    other!,
  ).catch((error) => error);
  // Contexts take calls of their parents only: a sibling is refused.
  assert(stream instanceof Error);
  // A stream that the master hands on goes on through it.
  const from = await one!.call(bulk, 20 * MIB);
  assertEquals(await other!.call(drain, from), 20 * MIB);
  const endless = await one!.call(bulk);
  const call = assertRejects(() => other!.call(drain, endless));
  await one!.ping();
  await one!.shutdown();
  await call;
});

Deno.test("who hears late of a sibling that is gone hears of its end all the same", async () => {
  await using _ = await noLeaks();
  await using router = new Router({ onLog() {} });
  const hop = await router.local();
  for (const via of [undefined, hop]) {
    const one = await router.local({ name: "one" });
    const other = await router.local(via ? { via } : {});
    // It takes what it is sent when its sender is gone: what it says then is the
    // first that it ever said to it.
    const sender = await other.call(takeStream);
    const pid = await other.call(() => Deno.pid);
    Deno.kill(pid, "SIGSTOP");
    await one.call((sender: Sender<ReadableStream>) => {
      sender.send(new ReadableStream());
    }, sender);
    await one.shutdown();
    Deno.kill(pid, "SIGCONT");
    const name = other.with({ timeout: 5000 }).call(howItEnded);
    assertEquals(await name, "DisconnectedError");
    await other.shutdown();
  }
});
