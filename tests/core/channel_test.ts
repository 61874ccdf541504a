import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  Channel,
  ChannelError,
  DisconnectedError,
  Receiver,
  Router,
  Secret,
  Select,
} from "../../mod.ts";
import { openPair } from "../fixtures/pair.ts";

const quiet = { onLog() {} };

Deno.test("a receiver gives values in order, then ends when its sender closes", async () => {
  await using router = new Router(quiet);
  using receiver = new Receiver<number>(router);
  const sender = receiver.toSender();
  for (let i = 0; i < 5; i++) sender.send(i);
  sender.close();
  assertEquals(await Array.fromAsync(receiver), [0, 1, 2, 3, 4]);
  await assertRejects(() => receiver.get(), ChannelError);
});

Deno.test("get() ends by its timeout and by its signal, and loses nothing", async () => {
  await using router = new Router(quiet);
  using receiver = new Receiver<string>(router);
  const late = await assertRejects(() => receiver.get({ timeout: 1 }));
  assertEquals((late as Error).name, "TimeoutError");
  const controller = new AbortController();
  const get = assertRejects(() => receiver.get({ signal: controller.signal }));
  controller.abort(new RangeError("stop"));
  assertEquals((await get as Error).message, "stop");
  receiver.toSender().send("still there");
  assertEquals(await receiver.get({ timeout: 1000 }), "still there");
});

Deno.test("close() wakes everyone who waits", async () => {
  await using router = new Router(quiet);
  const receiver = new Receiver(router);
  const waits = [1, 2, 3].map(() =>
    assertRejects(() => receiver.get(), ChannelError)
  );
  receiver.close();
  await Promise.all(waits);
  assertEquals(await Array.fromAsync(receiver), []);
});

Deno.test("a receiver that nobody reads is bounded", async () => {
  await using router = new Router(quiet);
  using receiver = new Receiver<Uint8Array>(router, { maxQueued: 10_000 });
  const sender = receiver.toSender();
  for (let i = 0; i < 20; i++) sender.send(new Uint8Array(1000));
  await assertRejects(
    async () => {
      for await (const _ of receiver);
    },
    ChannelError,
    "10000 bytes",
  );
});

Deno.test("a lost respondent ends the iteration with an error", async () => {
  await using router = new Router(quiet);
  const { context } = await openPair(router);
  using receiver = new Receiver(router, { respondent: context });
  const loop = assertRejects(async () => {
    for await (const _ of receiver);
  }, DisconnectedError);
  await context.shutdown();
  await loop;
});

Deno.test("a channel joins two ends", async () => {
  await using router = new Router(quiet);
  const { context, child } = await openPair(router);
  const there = new Receiver<string>(child);
  using here = new Channel<string>(router, context, {
    dstHandle: there.handle,
  });
  here.send("ping");
  assertEquals(await there.get(), "ping");
  // The other end answers to the handle of this one.
  using back = new Channel<string>(child, child.contextById(0), {
    dstHandle: here.handle,
  });
  back.send("pong");
  assertEquals(await here.get(), "pong");
  there.close();
});

Deno.test("a select gives values in the order of arrival, with their source", async () => {
  await using router = new Router(quiet);
  using a = new Receiver<string>(router);
  using b = new Receiver<string>(router);
  using select = new Select<string>([a, b], { oneshot: false });
  b.toSender().send("b1");
  a.toSender().send("a1");
  b.toSender().send("b2");
  assertEquals(await select.getEvent(), { source: b, data: "b1" });
  assertEquals(await select.get(), "a1");
  assertEquals(await select.get(), "b2");
  const get = select.get();
  a.toSender().send("a2");
  assertEquals(await get, "a2");
});

Deno.test("a select takes each source once, unless told otherwise, and may hold others", async () => {
  await using router = new Router(quiet);
  using a = new Receiver<string>(router);
  using b = new Receiver<string>(router);
  const inner = new Select<string>([a]);
  using outer = new Select<string>([inner, b]);
  a.toSender().send("inner");
  b.toSender().send("outer");
  const values = await Array.fromAsync(outer);
  assertEquals(values.sort(), ["inner", "outer"]);
  assertEquals(outer.length, 0);
  await assertRejects(() => outer.get(), RangeError, "no sources");
});

Deno.test("a select refuses what would not work", async () => {
  await using router = new Router(quiet);
  using a = new Receiver(router);
  const first = new Select([a]);
  assertThrows(() => new Select([a]), TypeError, "already belongs");
  const outer = new Select([first]);
  assertThrows(() => first.add(outer), TypeError, "wait for itself");
  assertThrows(() => first.remove(outer), TypeError, "was not added");
  outer.close();
  first.close();
  using again = new Select([a]);
  assertEquals(again.length, 1);
});

Deno.test("a secret shows itself to nobody who does not ask", () => {
  const secret = new Secret("hunter2");
  const shown = [
    String(secret),
    `${secret}`,
    JSON.stringify({ secret }),
    Deno.inspect({ secret }),
    Object.keys(secret).join(),
  ].join();
  assertEquals(shown.includes("hunter2"), false);
  assertEquals(secret.reveal(), "hunter2");
});
