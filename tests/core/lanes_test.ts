/** Large messages whose other end goes, or says what it likes. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { concat, Handle, Magic, Message, Piece } from "../../core/mod.ts";
import {
  ChannelError,
  type Context,
  DisconnectedError,
  Router,
} from "../../mod.ts";
import { openPair } from "../fixtures/pair.ts";
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

/** A call of a service that is nowhere, with something live in it. */
function largeCall(context: Context): Promise<unknown> {
  const service = context.service<{ run(...args: unknown[]): void }>("any");
  return service.run(new Uint8Array(100_000), new ReadableStream(), () => 1);
}

Deno.test("a large call of a context that is gone already ends like a small one", async () => {
  await using router = new Router({ onLog() {} });
  const [one, other] = [await openPair(router), await openPair(router)];
  const { id } = other.context;
  // It has never spoken to it, and so is not told of its end.
  const far = one.child.contextById(id, "x");
  const sizes = () =>
    [one.child, router].map((r) => [r.lanes.size, r.ends.size]);
  const before = sizes();
  other.child.parentLink!.close({ kind: "eof", message: "gone" });
  await other.context.closed;
  for (const context of [far, router.contextById(id)]) {
    await assertRejects(
      () => largeCall(context),
      DisconnectedError,
      `no route to ${id}`,
    );
  }
  assertEquals(sizes(), before);
});

Deno.test("a large call that may not go its way fails with the reason", async () => {
  await using router = new Router({ unidirectional: true, onLog() {} });
  const [one, other] = [await openPair(router), await openPair(router)];
  const far = one.child.contextById(other.context.id, "x");
  await assertRejects(
    () => largeCall(far),
    ChannelError,
    "Cannot call x: routing mode prevents",
  );
  assertEquals([one.child.lanes.size, one.child.ends.size], [0, 0]);
});

/** The beginning of a large message of somebody behind a wire. */
function beginning(
  { srcId, lane, length, body }: {
    srcId: number;
    lane: number;
    length: number;
    body: number;
  },
): Message {
  const data = new Uint8Array(15 + body);
  const view = new DataView(data.buffer);
  view.setUint8(0, Piece.MESSAGE);
  view.setUint32(1, 99);
  view.setUint16(9, Magic.BYTES);
  view.setUint32(11, length);
  const from = { srcId, authId: srcId };
  const to = { handle: Handle.FLOW, replyTo: lane };
  return new Message({ ...from, ...to, magic: Magic.FLOW, data });
}

/** A wire, two contexts behind it, and somewhere to send large messages to. */
async function behind(router: Router): Promise<[Wire, number, number]> {
  router.addHandler(() => {}, { handle: 99 });
  const wire = await openWire(router);
  const [a] = wire.ids;
  for (const id of [a, a + 1]) {
    wire.value([id, `${wire.context.path}/${id}`], {
      handle: Handle.ADD_ROUTE,
    });
  }
  return [wire, a, a + 1];
}

/** Resolves when all that was sent is dealt with. */
async function settled({ value, next }: Wire): Promise<void> {
  value(null, { handle: Handle.PING, replyTo: 1234 });
  await next((m) => m.handle === 1234);
}

Deno.test("what may wait unasked is bounded, whatever was refused before", async () => {
  const log: string[] = [];
  await using router = new Router({ onLog: (r) => log.push(r.message) });
  const [wire, a, b] = await behind(router);
  // Takes all the room that there is.
  wire.send(beginning({ srcId: a, lane: 1000, length: 128 * MIB, body: 0 }));
  const body = 60_000;
  for (let lane = 2000; lane < 2300; lane++) {
    wire.send(beginning({ srcId: b, lane, length: 1, body }));
  }
  await settled(wire);
  assert(log.at(-1)!.includes("more than its length"), log.at(-1)!);
  for (let lane = 3000; lane < 3000 + 66 * MIB / body; lane++) {
    wire.send(beginning({ srcId: b, lane, length: 100_000, body }));
  }
  wire.value(null, { handle: Handle.PING, replyTo: 1235 });
  await wire.next((m) => m.handle === 1235);
  assert(log.at(-1)!.includes("unasked"), log.at(-1)!);
  assertEquals([log.length, wire.link.closed], [2, undefined]);
});

Deno.test("a large message in pieces of nothing is refused", async () => {
  await using router = new Router({ onLog() {} });
  const [wire] = await behind(router);
  const { id } = wire;
  const first = beginning({ srcId: id, lane: 1000, length: 100, body: 0 });
  wire.send(first);
  const data = Uint8Array.of(Piece.MORE);
  const { magic, handle, replyTo } = first;
  const own = { srcId: id, authId: id, magic, handle, replyTo };
  wire.send(new Message({ ...own, data }));
  const { kind, message } = await wire.context.closed;
  assertEquals(kind, "protocol");
  assert(message.includes("too many pieces"), message);
});

Deno.test("a large message that waits for room goes with a sender that is no neighbour", async () => {
  await using router = new Router({ onLog() {} });
  const wire = await openWire(router);
  const other = await openWire(router);
  const { child } = await openPair(router);
  child.addHandler(() => {}, { handle: 99 });
  const large = { lane: 1000, length: 100 * MIB, body: 10_000 };
  for (const { id: srcId, send } of [wire, other]) {
    const message = beginning({ ...large, srcId });
    message.dstId = child.id;
    send(message);
  }
  // The first is let in; the second waits, and its sender is told so.
  await other.next((m) => m.handle === 1000);
  assertEquals(child.ends.size, 2);
  other.close();
  await other.context.closed;
  await child.contextById(0).ping();
  assertEquals(child.ends.size, 1);
});

Deno.test("what waits on its way does not hold on to the buffer that it was read to", async () => {
  await using router = new Router({ onLog() {} });
  const from = await openWire(router);
  const written: Uint8Array[] = [];
  const room = Promise.withResolvers<void>();
  const more = Promise.withResolvers<void>();
  const to = await openWire(router, (transport) => ({
    start: (events) => transport.start(events),
    write(chunk) {
      written.push(chunk);
      if (written.length === 2) more.resolve();
      return room.promise;
    },
    close: () => transport.close(),
  }));
  const own = { srcId: from.id, authId: from.id };
  const small = new Message({ ...own, dstId: to.id, handle: 1000 }).pack();
  const other = new Message({
    ...own,
    handle: 99,
    data: new Uint8Array(60_000),
  });
  const parts = [small, other.pack()];
  const chunk = concat(parts, parts[0]!.length + parts[1]!.length);
  from.raw(chunk.slice());
  from.raw(chunk.slice());
  await settled(from);
  room.resolve();
  await more.promise;
  assertEquals(written.map(({ length }) => length), [26, 26]);
  assertEquals(written[1]!.buffer.byteLength, 26);
});
