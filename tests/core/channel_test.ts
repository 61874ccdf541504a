import { assertEquals, assertRejects } from "@std/assert";
import {
  Channel,
  ChannelError,
  DisconnectedError,
  Receiver,
  Router,
  Sender,
} from "../../mod.ts";
import { openPair } from "../fixtures/pair.ts";

const quiet = { onLog() {} };

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

Deno.test("closing one end of a channel ends the loop at the other", async () => {
  await using router = new Router(quiet);
  const { context, child } = await openPair(router);
  using there = new Receiver<number>(child);
  const here = new Channel<number>(router, context, {
    dstHandle: there.handle,
  });
  here.send(1);
  here.send(2);
  here.close();
  assertEquals(await Array.fromAsync(there), [1, 2]);
  await assertRejects(() => here.get(), ChannelError);
});

Deno.test("a channel hears nobody but its other end, and ends with it", async () => {
  await using router = new Router(quiet);
  const { context } = await openPair(router);
  const { child: stranger } = await openPair(router);
  using here = new Channel<string>(router, context, { dstHandle: 1 });
  new Sender<string>(stranger.contextById(0), here.handle).send("me too");
  new Sender<string>(stranger.contextById(0), here.handle).close();
  await router.contextById(stranger.id).call(Math.abs, 1);
  assertEquals([here.receiver.size, here.receiver.ended], [0, false]);
  const get = assertRejects(() => here.get(), DisconnectedError);
  await context.shutdown();
  await get;
});
