/** Large messages whose other end goes, or says what it likes. */
import { assertEquals, assertRejects } from "@std/assert";
import { Magic, Message } from "../../core/mod.ts";
import { DisconnectedError, Router } from "../../mod.ts";
import { openWire, type Wire } from "../fixtures/wire.ts";

const MIB = 1024 * 1024;

function sizeOf(bytes: Uint8Array): number {
  return bytes.length;
}

/** Gives a lane credit by hand. */
function credit(wire: Wire, lane: number, bytes: number): void {
  const data = new Uint8Array(5);
  new DataView(data.buffer).setUint32(0, bytes);
  const { id } = wire;
  const to = { srcId: id, authId: id, handle: lane };
  wire.send(new Message({ ...to, magic: Magic.BYTES, data }));
}

Deno.test("a connection that ends in the middle of a large message ends its call and nothing else", async () => {
  await using router = new Router({ onLog() {} });
  const wire = await openWire(router);
  const call = wire.context.call(sizeOf, new Uint8Array(100 * MIB));
  const rejected = assertRejects(() => call, DisconnectedError);
  const { replyTo } = await wire.next((m) => m.magic === Magic.FLOW);
  credit(wire, replyTo, 100 * MIB);
  wire.raw(new TextEncoder().encode("this is no frame ".repeat(10)));
  assertEquals((await wire.context.closed).kind, "protocol");
  await rejected;
  assertEquals(router.lanes.size, 0);
});

Deno.test("a thousand large messages that wait for their turn all end with their context", async () => {
  await using router = new Router({ onLog() {} });
  const wire = await openWire(router);
  const large = new Uint8Array(70_000);
  const calls = Array.from(
    { length: 1200 },
    () => wire.context.call(sizeOf, large),
  );
  const ended = Promise.allSettled(calls);
  await wire.next((m) => m.magic === Magic.FLOW);
  wire.close();
  const states = new Set((await ended).map(({ status }) => status));
  assertEquals([...states], ["rejected"]);
  assertEquals([router.lanes.size, router.ends.size], [0, 0]);
});
