/** What is live, between contexts of one process. */
import { assertEquals } from "@std/assert";
import { Receiver, Router, Sender } from "../../mod.ts";
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
