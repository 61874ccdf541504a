/** What is live, between contexts of one process. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { CodecError, Router as CoreRouter } from "../../core/mod.ts";
import {
  AllowAny,
  CallChain,
  type Context,
  current,
  type LogRecord,
  Receiver,
  Router,
  Sender,
} from "../../mod.ts";
import { openPair, type Pair } from "../fixtures/pair.ts";

/** Two contexts, neither of them above the other, and a way from one to the other. */
async function siblings<T>(
  router: Router,
): Promise<{ from: Pair; to: Pair; receiver: Receiver<T>; sender: Sender<T> }> {
  const [from, to] = [await openPair(router), await openPair(router)];
  const receiver = new Receiver<T>(to.child);
  const there = from.child.contextById(to.context.id);
  return { from, to, receiver, sender: new Sender(there, receiver.handle) };
}

Deno.test("a signal fires in a sibling", async () => {
  await using router = new Router({ onLog() {} });
  const { from, to, receiver, sender } = await siblings<AbortSignal>(router);
  const controller = new AbortController();
  sender.send(controller.signal);
  const signal = await receiver.get();
  const fired = new Promise((resolve) =>
    signal.addEventListener("abort", resolve)
  );
  // By now its owner has heard that it arrived.
  await from.child.contextById(to.context.id).ping();
  await to.child.contextById(from.context.id).ping();
  controller.abort(new RangeError("enough"));
  await fired;
  assertEquals(signal.reason.message, "enough");
});

Deno.test("a sibling writes to a stream", async () => {
  await using router = new Router({ onLog() {} });
  const { from, to, receiver, sender } = await siblings<
    WritableStream<string>
  >(router);
  const written: string[] = [];
  sender.send(
    new WritableStream({
      write(chunk) {
        written.push(chunk);
      },
    }),
  );
  const writer = (await receiver.get()).getWriter();
  await to.child.contextById(from.context.id).ping();
  await writer.write("a");
  await writer.close();
  assertEquals(written, ["a"]);
  assertEquals([from.child.ends.size, to.child.ends.size], [0, 0]);
});

/** A stream with its other end in hand: what is put in crosses to `stream`. */
async function crossed(context: Context) {
  let controller!: ReadableStreamDefaultController<number>;
  let left: unknown;
  const stream = await context.call(
    (stream: ReadableStream<number>) => stream,
    new ReadableStream<number>({
      start: (c) => void (controller = c),
      cancel: (reason) => void (left = reason),
    }),
  );
  return { controller, stream, left: () => left };
}

Deno.test("reads that wait for a stream that crossed are answered in order", async () => {
  await using router = new Router({ onLog() {} });
  const { context, child } = await openPair(router);
  const { controller, stream } = await crossed(context);
  const reader = stream.getReader();
  const reads = Array.from({ length: 5 }, () => reader.read());
  await context.ping();
  for (let i = 0; i < 4; i++) controller.enqueue(i);
  controller.close();
  assertEquals(
    (await Promise.all(reads)).map(({ done, value }) => done ? "end" : value),
    [0, 1, 2, 3, "end"],
  );
  await context.ping();
  assertEquals([router.ends.size, child.ends.size], [0, 0]);
});

Deno.test("what a reader waited for that has let go of a stream is for the next", async () => {
  await using router = new Router({ onLog() {} });
  const { context } = await openPair(router);
  const { controller, stream } = await crossed(context);
  const first = stream.getReader();
  const read = first.read();
  await context.ping();
  first.releaseLock();
  await assertRejects(() => read, TypeError);
  for (let i = 0; i < 3; i++) controller.enqueue(i);
  controller.close();
  const seen: number[] = [];
  for await (const value of stream) seen.push(value);
  assertEquals(seen, [0, 1, 2]);
});

Deno.test("a read that waits ends when its stream is left, and when that fails", async () => {
  await using router = new Router({ onLog() {} });
  const { context, child } = await openPair(router);
  {
    const { stream, left } = await crossed(context);
    const reader = stream.getReader();
    const read = reader.read();
    await context.ping();
    await reader.cancel("enough");
    assertEquals((await read).done, true);
    await context.ping();
    assertEquals(left(), "enough");
  }
  {
    const { controller, stream } = await crossed(context);
    const reader = stream.getReader();
    const reads = [reader.read(), reader.read()];
    await context.ping();
    controller.enqueue(1);
    controller.error(new RangeError("no more"));
    assertEquals(await reads[0], { done: false, value: 1 });
    await assertRejects(() => reads[1]!, RangeError, "no more");
    await assertRejects(() => reader.read(), RangeError, "no more");
  }
  await context.ping();
  assertEquals([router.ends.size, child.ends.size], [0, 0]);
});

Deno.test("each step of an iteration arrives as it was, bytes as well", async () => {
  await using router = new Router({ onLog() {} });
  const { context } = await openPair(router);
  function* hashes() {
    for (let size = 0; size < 20; size++) yield new Uint8Array(size * 5000);
  }
  const sizes: number[] = [];
  for await (const { length } of await context.call(hashes)) sizes.push(length);
  assertEquals(sizes, Array.from({ length: 20 }, (_, size) => size * 5000));
});

Deno.test("what is live in a large step of an iteration waits for that step", async () => {
  await using router = new Router({ onLog() {} });
  const { context, child } = await openPair(router);
  async function* steps() {
    const pad = "x".repeat(300_000);
    for (let step = 0; step < 3; step++) {
      const controller = new AbortController();
      const stream = ReadableStream.from([step]);
      yield { pad, stream, signal: controller.signal };
      controller.abort(new RangeError("over"));
    }
    // Fires before it is there.
    const controller = new AbortController();
    queueMicrotask(() => controller.abort(new RangeError("over")));
    yield { pad, stream: ReadableStream.from([3]), signal: controller.signal };
  }
  const seen: number[] = [];
  for await (const { stream, signal } of await context.call(steps)) {
    for await (const step of stream) seen.push(step);
    if (signal.aborted) continue;
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  }
  assertEquals(seen, [0, 1, 2, 3]);
  await context.ping();
  assertEquals([router.ends.size, child.ends.size], [0, 0]);
});

Deno.test("what is live in a large call that is cancelled ends there as well", async () => {
  await using router = new Router({ onLog() {} });
  const { context, child } = await openPair(router);
  async function count(stream: ReadableStream, _large: Uint8Array) {
    let count = 0;
    for await (const _ of stream) count++;
    return count;
  }
  // From here on the function is known on both sides.
  await context.call(count, ReadableStream.from([]), new Uint8Array(0));
  const controller = new AbortController();
  const { signal } = controller;
  const large = new Uint8Array(5_000_000);
  const call = context.with({ signal })
    .call(count, new ReadableStream(), large);
  while (router.lanes.size === 0) await context.ping();
  controller.abort(new RangeError("enough"));
  await assertRejects(() => call, RangeError, "enough");
  await router.lanes.drained();
  await context.ping();
  assertEquals([router.ends.size, child.ends.size], [0, 0]);
});

Deno.test("what is live and nobody takes ends where it comes from", async () => {
  await using router = new Router({ onLog() {} });
  const { context, child } = await openPair(router);
  function* numbers() {
    yield 1;
  }
  // To a receiver that is not there.
  const { signal } = new AbortController();
  new Sender(context, 99_999).send([numbers(), new WritableStream(), signal]);
  await context.ping();
  await context.ping();
  assertEquals([router.ends.size, child.ends.size], [0, 0]);
  // The result of a call that was cancelled.
  async function late() {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return (function* () {
      yield 1;
    })();
  }
  using chain = new CallChain(context);
  const call = context.with({ timeout: 10, chain }).call(late);
  await assertRejects(() => call, DOMException, "took more than");
  // The next of the chain comes behind it.
  assertEquals(await chain.call(Math.max, 1, 2), 2);
  await context.ping();
  assertEquals([router.ends.size, child.ends.size], [0, 0]);
});

Deno.test("what is left unread makes room at once, though all of it had arrived", async () => {
  await using router = new Router({ onLog() {} });
  const { context } = await openPair(router);
  function* three() {
    yield* ["a", "b", "c"];
  }
  const budget = router.ends.budgetOf(context.id);
  const all = 40 * 1024 * 1024;
  const iterator = await context.call(three);
  await iterator.next();
  const stream = await context.call(() => ReadableStream.from(["a", "b"]));
  while (router.ends.size > 0) await context.ping();
  assertThrows(() => budget.take(all), CodecError);
  iterator.return();
  await stream.cancel();
  await context.ping();
  budget.take(all);
  budget.take(-all);
});

/** Waits until nothing live is left in any of them. */
async function untilEmpty(...routers: CoreRouter[]): Promise<void> {
  while (routers.some(({ ends }) => ends.size > 0)) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

Deno.test("many streams that are left at once, with much under way, cut nobody off", async () => {
  const log: LogRecord[] = [];
  await using router = new Router({ onLog: (record) => log.push(record) });
  const { context, child } = await openPair(router);
  const streams = await Promise.all(
    Array.from(
      { length: 400 },
      () =>
        context.call(() =>
          new ReadableStream<number>({
            pull(controller) {
              controller.enqueue(1);
            },
          })
        ),
    ),
  );
  // What they may send unasked is here, or under way.
  await context.ping();
  await Promise.all(streams.map((stream) => stream.cancel("enough")));
  assertEquals(await context.call(() => 1), 1);
  await untilEmpty(router, child);
  assertEquals(log, []);
});

Deno.test("what is live within one context works as between two", async () => {
  await using router = new Router({ onLog() {} });
  const log: string[] = [];
  const object = {
    async *numbers() {
      try {
        for (let i = 0;; i++) yield i;
      } finally {
        log.push("finally");
      }
    },
    echo: (value: unknown) => value,
    ask: (ask: (n: number) => number) => ask(3),
    fired: (signal: AbortSignal) =>
      new Promise((resolve) =>
        signal.addEventListener("abort", () => resolve(signal.reason))
      ),
    async write(stream: WritableStream<string>) {
      const writer = stream.getWriter();
      await writer.write("a");
      await writer.close();
    },
  };
  await router.serve("me", object);
  const me = router.myself().service<typeof object>("me");
  for await (const n of await me.numbers()) if (n === 2) break;
  assertEquals(log.splice(0), ["finally"]);
  const back = await me.echo(ReadableStream.from([1, Uint8Array.of(2)]));
  assertEquals(await Array.fromAsync(back as ReadableStream), [
    1,
    Uint8Array.of(2),
  ]);
  await (await me.echo(new ReadableStream()) as ReadableStream).cancel();
  assertEquals(await me.ask((n) => n + 1), 4);
  const controller = new AbortController();
  const fired = me.fired(controller.signal);
  controller.abort("enough");
  assertEquals(await fired, "enough");
  await me.write(
    new WritableStream({
      write(chunk) {
        log.push(chunk);
      },
    }),
  );
  assertEquals(log, ["a"]);
  await untilEmpty(router);
});

Deno.test("who leaves a generator ends that, and neither its call nor what else that gave", async () => {
  await using router = new Router({ onLog() {} });
  const { context, child } = await openPair(router);
  // One of two.
  const { out, err } = await context.call(() => {
    async function* count() {
      for (let i = 0;; i++) yield i;
    }
    return { out: count(), err: count() };
  });
  for await (const _ of out) break;
  assertEquals((await err.next()).value, 0);
  assertEquals((await err.next()).value, 1);
  await err.return(undefined);
  // One that is passed on: it has a signal of its own.
  const log: unknown[] = [];
  const taker = {
    async first(values: AsyncIterable<number>) {
      for await (const value of values) return value;
      return undefined;
    },
  };
  const giver = {
    async run() {
      const { signal, router } = current();
      async function* count() {
        const inner = current().signal;
        inner.addEventListener("abort", () => log.push("left"));
        for (let i = 0;; i++) yield i;
      }
      const master = router.contextById(0);
      const first = await master.service<typeof taker>("taker").first(count());
      log.push(first, signal.aborted);
    },
  };
  await router.serve("taker", taker, { policy: AllowAny });
  await child.serve("giver", giver);
  await context.service<typeof giver>("giver").run();
  assertEquals(log, ["left", 0, false]);
  await untilEmpty(router, child);
});

Deno.test("what is live in values that nobody takes ends on both sides", async () => {
  await using router = new Router({ onLog() {} });
  const { context, child } = await openPair(router);
  const kinds = {
    readable: () => new ReadableStream(),
    writable: () => new WritableStream(),
    iterable: () => (async function* () {})(),
    signal: () => new AbortController().signal,
  };
  for (const [kind, make] of Object.entries(kinds)) {
    const source = new Function(
      `return async function* () { const make = ${make}; for (let i = 0; i < 20; i++) yield { i, live: make() }; }`,
    )() as () => AsyncGenerator<{ live: unknown }>;
    // Read ahead, and left.
    // A signal that was taken has no end of its own.
    for (const ahead of kind === "signal" ? [0] : [0, 5]) {
      const values = await context.call(source);
      for (let i = 0; i < ahead; i++) {
        const { live } = (await values.next()).value!;
        await end(live);
      }
      await values.return(undefined);
      await untilEmpty(router, child);
    }
    // Given as it comes, and left.
    const stream = ReadableStream.from(source());
    const first = context.call(async (stream: ReadableStream) => {
      const reader = stream.getReader();
      await reader.cancel();
    }, stream);
    await first;
    await untilEmpty(router, child);
    // In a receiver that is closed.
    const receiver = new Receiver(router);
    const sender = new Sender(child.contextById(0), receiver.handle);
    for (let i = 0; i < 20; i++) sender.send({ live: make() });
    await context.ping();
    assertEquals(receiver.size, 20);
    receiver.close();
    sender.send({ live: make() });
    await untilEmpty(router, child);
  }
});

/** Ends something live that was taken. */
async function end(live: unknown): Promise<void> {
  if (live instanceof ReadableStream) await live.cancel();
  else if (live instanceof WritableStream) await live.close();
  else await (live as AsyncGenerator).return(undefined);
}

Deno.test("signals go with the call that nobody waits for, and with that of a callback", async () => {
  await using router = new Router({ onLog() {} });
  const { context, child } = await openPair(router);
  const controller = new AbortController();
  for (let i = 0; i < 100; i++) {
    context.callNoReply(
      (signal: AbortSignal) => signal.aborted,
      controller.signal,
    );
    context.callNoReply(async (signal: AbortSignal) => {
      await signal;
      throw new Error("to be logged");
    }, controller.signal);
  }
  await context.ping();
  await untilEmpty(router, child);
  await context.call(async (ask: (signal: AbortSignal) => Promise<boolean>) => {
    for (let i = 0; i < 100; i++) await ask(new AbortController().signal);
  }, (signal: AbortSignal) => Promise.resolve(signal.aborted));
  await untilEmpty(router, child);
});
