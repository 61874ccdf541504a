import { assertEquals, assertRejects } from "@std/assert";
import { Message } from "../../core/mod.ts";
import {
  ChannelError,
  DisconnectedError,
  Receiver,
  Router,
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

Deno.test("values without bytes fill a receiver as well", async () => {
  await using router = new Router(quiet);
  using receiver = new Receiver<null>(router, { maxQueued: 10_000 });
  const sender = receiver.toSender();
  for (let i = 0; i < 45; i++) sender.send(null);
  await assertRejects(() => Array.fromAsync(receiver), ChannelError);
  assertEquals(receiver.size, 0);
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

Deno.test("waiters are served in the order in which they came", async () => {
  await using router = new Router(quiet);
  using receiver = new Receiver<number>(router);
  const gets = [receiver.get(), receiver.get(), receiver.get()];
  const sender = receiver.toSender();
  for (let i = 0; i < 3; i++) sender.send(i);
  assertEquals(await Promise.all(gets), [0, 1, 2]);
});

Deno.test("what came before the end is still given", async () => {
  await using router = new Router(quiet);
  const receiver = new Receiver<string>(router);
  receiver.toSender().send("kept");
  receiver.close();
  assertEquals([receiver.ended, receiver.size], [true, 1]);
  assertEquals(await receiver.get(), "kept");
  await assertRejects(() => receiver.get(), ChannelError);
});

Deno.test("a receiver that does not persist takes one value", async () => {
  await using router = new Router(quiet);
  const size = router.handlers.size;
  const receiver = new Receiver<string>(router, { persist: false });
  const sender = receiver.toSender();
  sender.send("first");
  sender.send("second");
  assertEquals(await receiver.get(), "first");
  assertEquals([receiver.size, router.handlers.size], [0, size]);
});

Deno.test("a sender that crosses sends from where it is to where it was made", async () => {
  await using router = new Router(quiet);
  const { context } = await openPair(router);
  using receiver = new Receiver<string>(router);
  await context.call(
    (sender: { send(value: string): void }) => sender.send("from there"),
    receiver.toSender(),
  );
  const message = await receiver.getMessage();
  assertEquals([message.srcId, message.decode()], [context.id, "from there"]);
});

Deno.test("a value that cannot be read throws and takes none with it", async () => {
  await using router = new Router(quiet);
  using receiver = new Receiver(router);
  const odd = Message.value("x", { handle: receiver.handle });
  odd.data[0] = 0x3f;
  router.route(odd);
  receiver.toSender().send("next");
  await assertRejects(() => receiver.get(), TypeError, "no tag 63");
  assertEquals(await receiver.get(), "next");
});

Deno.test("a receiver waits as long as it is told, and refuses what is no time", async () => {
  await using router = new Router(quiet);
  using receiver = new Receiver<string>(router);
  const waits = [Infinity, 2 ** 31, 2 ** 40].map((timeout) =>
    receiver.get({ timeout })
  );
  await new Promise((resolve) => setTimeout(resolve, 20));
  for (const word of ["a", "b", "c"]) receiver.toSender().send(word);
  assertEquals(await Promise.all(waits), ["a", "b", "c"]);
  receiver.toSender().send("d");
  for (const timeout of [NaN, -1]) {
    await assertRejects(
      () => receiver.get({ timeout }),
      RangeError,
      `Cannot receive: timeout is ${timeout}`,
    );
  }
  await assertRejects(
    () => receiver.get({ timeout: "5" as never }),
    TypeError,
    "Cannot receive: timeout is a number of milliseconds, not of type string",
  );
  assertEquals(await receiver.get({ timeout: 0 }), "d");
});
