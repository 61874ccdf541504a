/**
 * What every context does with what is live: streams, iterables, callbacks,
 * signals, and calls that are cancelled.
 *
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { CallError, type Context, release } from "../../mod.ts";
import type { Case } from "./list.ts";
import * as remote from "./live_remote.ts";

/** Asks until it is so: what ends over there takes its time to be known. */
async function eventually(
  context: Context,
  holds: (tally: ReturnType<typeof remote.tally>) => boolean,
): Promise<void> {
  const begin = performance.now();
  for (;;) {
    const tally = await context.call(remote.tally);
    if (holds(tally)) return;
    assert(performance.now() - begin < 5000, JSON.stringify(tally));
  }
}

/** Values one after another. */
function from<T>(...values: T[]): ReadableStream<T> {
  return ReadableStream.from(values);
}

/** A writable stream that keeps what is written, and how it ends. */
function sink(): {
  stream: WritableStream<unknown>;
  got: unknown[];
  end: Promise<unknown>;
} {
  const got: unknown[] = [];
  const end = Promise.withResolvers<unknown>();
  const stream = new WritableStream({
    write: (value) => void got.push(value),
    close: () => end.resolve("closed"),
    abort: (reason) => end.resolve(reason),
  });
  return { stream, got, end: end.promise };
}

export const LIVE_CASES: Case[] = [
  {
    name: "large values cross both ways, and in order",
    async run({ context }) {
      for (const size of [65_509, 65_510, 65_536, 3_000_001]) {
        const text = "ä".repeat(size / 2);
        assertEquals((await context.call(remote.echo, text)) === text, true);
      }
      const all = await Promise.all(
        Array.from({ length: 20 }, (_, i) => {
          const bytes = new Uint8Array(i % 2 ? 400_000 : 10).fill(i);
          return context.call(remote.echo<Uint8Array>, bytes);
        }),
      );
      all.forEach((bytes, i) => assert(bytes.every((b) => b === i)));
    },
  },
  {
    name: "a stream of bytes crosses both ways, whole and in order",
    async run({ context }) {
      const size = 5_000_000;
      assertEquals(await context.call(remote.sum, remote.bytes(size)), size);
      assertEquals(
        await remote.sum(await context.call(remote.bytes, size)),
        size,
      );
      assertEquals(await context.call(remote.sum, remote.bytes(0)), 0);
    },
  },
  {
    name: "a stream of values crosses both ways, and its failure",
    async run({ context }) {
      const values = [
        1,
        "two",
        { three: [3n] },
        undefined,
        null,
        "x".repeat(200_000),
      ];
      assertEquals(
        await context.call(remote.readAll, from<unknown>(...values)),
        values,
      );
      const tens = await context.call(remote.tenfold, from(1, 2, 3));
      assertEquals(await Array.fromAsync(tens), [10, 20, 30]);
      const got: number[] = [];
      await assertRejects(
        async () => {
          for await (const n of await context.call(remote.failing)) got.push(n);
        },
        RangeError,
        "no more of these",
      );
      assertEquals(got, [0, 1, 2]);
      const failed = await assertRejects(
        () => context.call(remote.readAll, remote.failing()),
        CallError,
        "no more of these",
      );
      assert(failed.cause instanceof RangeError);
    },
  },
  {
    name: "a reader that leaves stops who produces",
    async run({ context }) {
      const before = await context.call(remote.tally);
      const stream = await context.call(remote.bytes, 1e12);
      const reader = stream.getReader();
      await reader.read();
      await reader.cancel(new Error("seen enough"));
      await eventually(
        context,
        ({ ended, last }) => ended > before.ended && last === "seen enough",
      );
      let cancelled: unknown;
      const endless = new ReadableStream<Uint8Array>({
        pull: (controller) => controller.enqueue(new Uint8Array(1000)),
        cancel: (reason) => void (cancelled = reason),
      });
      await context.call(remote.taste, endless, 3);
      const begin = performance.now();
      while (cancelled === undefined) {
        await context.ping();
        assert(performance.now() - begin < 5000);
      }
    },
  },
  {
    name: "who produces waits for who reads",
    async run({ context }) {
      const before = await context.call(remote.tally);
      const stream = await context.call(remote.bytes, 1e12);
      const reader = stream.getReader();
      await reader.read();
      for (let i = 0; i < 20; i++) await context.ping();
      const { produced } = await context.call(remote.tally);
      assert(produced - before.produced < 2 * 1024 * 1024, `${produced}`);
      await reader.cancel();
    },
  },
  {
    name: "a writable stream crosses both ways",
    async run({ context }) {
      const { stream, got, end } = sink();
      await context.call(remote.writeTo, stream, [1, new Uint8Array(2), "3"]);
      assertEquals(got, [1, new Uint8Array(2), "3"]);
      assertEquals(await end, "closed");
      const broken = sink();
      await context.call(remote.abortAfter, broken.stream, 1);
      assertEquals((await broken.end as Error).message, "changed my mind");
      const before = await context.call(remote.tally);
      const { into } = await context.call(remote.collector);
      await remote.writeTo(into, [1, 2, 3]);
      // Closed means that all of it has been written over there.
      const { ended } = await context.call(remote.tally);
      assertEquals(ended, before.ended + 1);
    },
  },
  {
    name: "what a writable stream throws reaches who writes",
    async run({ context }) {
      const full = new WritableStream({
        write() {
          throw new RangeError("no room for it");
        },
      });
      const failed = await assertRejects(
        () => context.call(remote.writeTo, full, [1, 2, 3]),
        CallError,
        "no room for it",
      );
      assert(failed.cause instanceof RangeError);
    },
  },
  {
    name: "iterables cross both ways; break runs their finally",
    async run({ context }) {
      const numbers = await context.call(remote.count, 1000);
      assertEquals((await Array.fromAsync(numbers)).length, 1000);
      assertEquals(await context.call(remote.total, remote.count(100)), 4950);
      const before = await context.call(remote.tally);
      for await (const n of await context.call(remote.count, 1e9)) {
        if (n === 5) break;
      }
      // The end of `break` is when it has run over there.
      const after = await context.call(remote.tally);
      assertEquals(after.ended, before.ended + 1);
      const here = remote.tally();
      assertEquals(await context.call(remote.first, remote.count(1e9)), 0);
      assertEquals(remote.tally().ended >= here.ended + 1, true);
      const got: number[] = [];
      await assertRejects(
        async () => {
          for await (const n of await context.call(remote.squares, 4)) {
            got.push(n);
          }
        },
        RangeError,
        "no square is left",
      );
      assertEquals(got, [0, 1, 4, 9]);
    },
  },
  {
    name: "an iteration is told when its reader leaves",
    async run({ context }) {
      for await (const text of await context.call(remote.waiting)) {
        assertEquals(text, "waiting");
        break;
      }
      assertEquals((await context.call(remote.tally)).last, "told");
    },
  },
  {
    name: "callbacks are called from there, while the call runs",
    async run({ context }) {
      assertEquals(await context.call(remote.apply, (n) => n * 2, 10), 1024);
      assertEquals(
        await context.call(remote.apply, (n) => Promise.resolve(n + 1), 5),
        6,
      );
      const failed = await assertRejects(
        () =>
          context.call(remote.apply, () => {
            throw new RangeError("not today");
          }, 1),
        CallError,
        "not today",
      );
      // Thrown here, through there, and back.
      assertEquals((failed.cause as CallError).remoteName, "RangeError");
      const back = await context.call(remote.keep, () => 7);
      // What came as an argument has gone with the call.
      await assertRejects(() => back());
      release(back);
      await context.call(remote.callLater, () => Promise.resolve(1));
      await assertRejects(() => context.call(remote.callKept), CallError);
    },
  },
  {
    name: "signals fire on the other side, with their reason",
    async run({ context }) {
      const early = AbortSignal.abort("too late already");
      assertEquals(
        await context.call(remote.untilAborted, early),
        "too late already",
      );
      const controller = new AbortController();
      const waiting = context.call(remote.untilAborted, controller.signal);
      await context.ping();
      controller.abort(new RangeError("enough"));
      const reason = await waiting;
      assert(reason instanceof RangeError);
      assertEquals(reason.message, "enough");
    },
  },
  {
    name: "a call that is cancelled stops over there, and says why here",
    async run({ context }) {
      const before = await context.call(remote.tally);
      const controller = new AbortController();
      const call = context.with({ signal: controller.signal }).call(
        remote.untilCancelled,
      );
      await eventually(context, (now) => now.produced > before.produced);
      const reason = new RangeError("never mind");
      controller.abort(reason);
      assertEquals(await assertRejects(() => call), reason);
      await eventually(
        context,
        ({ ended, last }) => ended > before.ended && last === "cancelled",
      );
      const late = await assertRejects(
        () => context.with({ timeout: 20 }).call(remote.untilCancelled),
        DOMException,
      );
      assertEquals(late.name, "TimeoutError");
      await eventually(context, ({ ended }) => ended >= before.ended + 2);
    },
  },
  {
    name: "what is live crosses inside of objects",
    async run({ context }) {
      const heard: string[] = [];
      const on = (text: string) => {
        heard.push(text);
        return Promise.resolve();
      };
      const { doubled, say } = await context.call(remote.nested, {
        a: [{ stream: from(1, 2, 3) }],
        on,
      });
      await say("hello");
      assertEquals(await Array.fromAsync(doubled), [2, 4, 6]);
      assertEquals(heard, ["it said hello"]);
    },
  },
  {
    name: "the end of a context ends what is live between",
    apart: true,
    ends: true,
    async run({ context }) {
      const stream = await context.call(remote.bytes, 1e12);
      const reader = stream.getReader();
      await reader.read();
      const { into } = await context.call(remote.collector);
      const writer = into.getWriter();
      const ended = assertRejects(() => writer.closed);
      const numbers = await context.call(remote.count, 1e9);
      await numbers.next();
      await context.shutdown();
      await assertRejects(async () => {
        for (;;) await reader.read();
      });
      await ended;
      await assertRejects(async () => {
        while (!(await numbers.next()).done);
      });
    },
  },
  {
    name: "nothing of it is left",
    async run({ context }) {
      const { router } = context;
      const before = [
        router.ends.size,
        router.lanes.size,
        router.handlers.size,
      ];
      await context.call(remote.sum, remote.bytes(1_000_000));
      await remote.sum(await context.call(remote.bytes, 1_000_000));
      await context.call(remote.first, remote.count(1e9));
      await context.call(remote.apply, (n) => n, 3);
      await context.call(
        remote.hold,
        new AbortController().signal,
      );
      await context.call(remote.echo, "x".repeat(1_000_000));
      const begin = performance.now();
      for (;;) {
        await context.ping();
        const now = [
          router.ends.size,
          router.lanes.size,
          router.handlers.size,
        ];
        if (now.join() === before.join()) break;
        assert(performance.now() - begin < 5000, `${before} -> ${now}`);
      }
    },
  },
];
