/** What is live, between contexts of one process. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { CodecError } from "../../core/mod.ts";
import { CallChain, Receiver, Router, Sender } from "../../mod.ts";
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
