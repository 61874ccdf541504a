import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  ChannelError,
  type Context,
  DisconnectedError,
  Handle,
  IS_DEAD,
  type LogRecord,
  Magic,
  Message,
  Piece,
  Receiver,
} from "../../core/mod.ts";
import { Router } from "../../mod.ts";
import { openPair } from "../fixtures/pair.ts";
import { openWire, type Wire } from "../fixtures/wire.ts";

function rig(
  options: { unidirectional?: boolean; maxMessageSize?: number } = {},
) {
  const log: LogRecord[] = [];
  const router = new Router({ ...options, onLog: (r) => log.push(r) });
  return { router, log };
}

let probes = 0;

/** Waits until everything that a wire sent so far was handled. */
async function settled(wire: Wire): Promise<void> {
  const replyTo = 1_000_000 + probes++;
  wire.value(null, { dstId: 0, handle: 99, replyTo });
  await wire.next((m) => m.handle === replyTo && m.isDead);
}

function deadReply(wire: Wire, replyTo: number): Promise<Message> {
  return wire.next((m) => m.handle === replyTo && m.isDead);
}

Deno.test("a message whose authority could not come from there is dropped and logged once", async () => {
  const { router, log } = rig();
  const wire = await openWire(router);
  const other = await openWire(router);
  using receiver = new Receiver(router);
  for (const authId of [0, other.id, 77]) {
    for (let i = 0; i < 50; i++) {
      wire.value("forged", { dstId: 0, handle: receiver.handle, authId });
    }
  }
  for (const srcId of [0, other.id]) {
    wire.value("forged", { dstId: 0, handle: receiver.handle, srcId });
  }
  wire.value("honest", { dstId: 0, handle: receiver.handle });
  assertEquals(await receiver.get(), "honest");
  assertEquals(receiver.size, 0);
  const said = log.filter((r) => r.contextId === wire.id).map((r) =>
    r.message.match(/bad (auth|src)/)?.[0]
  );
  assertEquals(said, ["bad auth", "bad src"]);
  assertEquals(wire.link.closed, undefined);
  await router.shutdown();
});

Deno.test("unknown handles, policies and respondents answer with their reason", async () => {
  const { router } = rig();
  const wire = await openWire(router);
  const other = await openWire(router);
  wire.value(1, { dstId: 0, handle: 4242, replyTo: 1 });
  assertEquals((await deadReply(wire, 1)).text, "invalid handle");
  const closed = router.addHandler(() => {}, { policy: () => false });
  wire.value(1, { dstId: 0, handle: closed, replyTo: 2 });
  assertEquals((await deadReply(wire, 2)).text, "refused by policy");
  const theirs = router.addHandler(() => {}, { respondent: other.context });
  wire.value(1, { dstId: 0, handle: theirs, replyTo: 3 });
  assertEquals(
    (await deadReply(wire, 3)).text,
    "reply from unexpected context",
  );
  wire.value(1, { dstId: 31337, handle: 1, replyTo: 4 });
  assertEquals(
    (await deadReply(wire, 4)).text,
    "no route to 31337, my ID is 0",
  );
  wire.value(1, { dstId: 0, handle: Handle.CALL_FUNCTION, replyTo: 5 });
  assertEquals((await deadReply(wire, 5)).text, "invalid handle");
  await router.shutdown();
});

Deno.test("a dead message ends a handle only when it comes from the right side", async () => {
  const { router } = rig();
  const wire = await openWire(router);
  const other = await openWire(router);
  using receiver = new Receiver(router, { respondent: other.context });
  const kill = (from: Wire) =>
    from.send(
      new Message({
        magic: Magic.TEXT,
        dstId: 0,
        srcId: from.id,
        authId: from.id,
        handle: receiver.handle,
        replyTo: IS_DEAD,
      }),
    );
  kill(wire);
  await settled(wire);
  assertEquals(receiver.ended, false);
  kill(other);
  await assertRejects(() => receiver.get(), ChannelError);
  await router.shutdown();
});

Deno.test("a dead message does not take a standard handle away", async () => {
  const { router } = rig();
  const wire = await openWire(router);
  for (const handle of [100, 102, 103, 104, 105]) {
    wire.send(
      new Message({
        magic: Magic.TEXT,
        dstId: 0,
        srcId: wire.id,
        authId: wire.id,
        handle,
        replyTo: IS_DEAD,
      }),
    );
  }
  wire.value(undefined, { dstId: 0, handle: Handle.ALLOCATE_ID, replyTo: 9 });
  const block = (await wire.next((m) => m.handle === 9)).decode() as number[];
  assertEquals(block[1]! - block[0]!, 1000);
  await router.shutdown();
});

Deno.test("the loss of a context ends what waits for it, and nothing else", async () => {
  const { router } = rig();
  const wire = await openWire(router);
  const other = await openWire(router);
  using waiting = new Receiver(router, { respondent: wire.context });
  using patient = new Receiver(router, { respondent: other.context });
  const size = router.handlers.size;
  const get = assertRejects(() => waiting.get(), ChannelError);
  wire.close();
  await get;
  assertEquals((await wire.context.closed).kind, "eof");
  assertEquals(patient.ended, false);
  assertEquals(router.handlers.size, size - 1);
  await router.shutdown();
});

Deno.test("siblings talk to each other, unless routing is unidirectional", async () => {
  for (const unidirectional of [false, true]) {
    const { router } = rig({ unidirectional });
    const a = await openWire(router);
    const b = await openWire(router);
    a.value("hello", { dstId: b.id, handle: 1234, replyTo: 1 });
    if (unidirectional) {
      const { text } = await deadReply(a, 1);
      assert(text.startsWith("routing mode prevents forward of message"), text);
      assertEquals(b.received.filter((m) => m.handle === 1234), []);
    } else {
      const message = await b.next((m) => m.handle === 1234);
      assertEquals([message.srcId, message.decode()], [a.id, "hello"]);
    }
    await router.shutdown();
  }
});

Deno.test("who has talked to a context is told of its end", async () => {
  const { router } = rig();
  const a = await openWire(router);
  const b = await openWire(router);
  const c = await openWire(router);
  a.value("hello", { dstId: b.id, handle: 1234 });
  await b.next((m) => m.handle === 1234);
  b.close();
  await b.context.closed;
  const told = await a.next((m) => m.handle === Handle.DEL_ROUTE);
  const [id, reason] = told.decode() as [number, { kind: string }];
  assertEquals([id, reason.kind], [b.id, "eof"]);
  await settled(c);
  assertEquals(c.received.some((m) => m.handle === Handle.DEL_ROUTE), false);
  assertEquals(a.link.egressIds.has(b.id), false);
  await router.shutdown();
});

Deno.test("who talks to a context that is gone already is told of its end as well", async () => {
  const { router } = rig();
  const wire = await openWire(router);
  const { path } = wire.context;
  const [below] = wire.ids;
  wire.value([below, `${path}/x`], { handle: Handle.ADD_ROUTE });
  // Nothing is sent back to where it came from: a hop would not ask for the way
  // to what is below it, unless that has gone.
  for (const dstId of [31337, below]) {
    const told = wire.next((m) =>
      m.handle === Handle.DEL_ROUTE &&
      (m.decode() as [number])[0] === dstId
    );
    wire.value("hello", { dstId, handle: 1234 });
    const [, reason] = (await told).decode() as [number, unknown];
    const message = `no route to ${dstId}, my ID is 0`;
    assertEquals(reason, { kind: "route", message });
    wire.value("hello", { dstId, handle: 1234, replyTo: dstId });
    assertEquals((await deadReply(wire, dstId)).text, message);
  }
  assertEquals(wire.received.filter((m) => m.handle === 1234), []);
  await router.shutdown();
});

Deno.test("a message over the limit is answered, and a reply over it still wakes the caller", async () => {
  const { router } = rig({ maxMessageSize: 1000 });
  const wire = await openWire(router);
  using receiver = new Receiver(router);
  const message = Message.value(new Uint8Array(2000), {
    dstId: wire.id,
    handle: 1,
    replyTo: receiver.handle,
  });
  router.route(message);
  await assertRejects(() => receiver.get(), ChannelError, "max 1000 bytes");
  const handle = router.addHandler((m) => m.reply(new Uint8Array(2000)));
  wire.value(1, { dstId: 0, handle, replyTo: 6 });
  assertEquals(
    (await deadReply(wire, 6)).text,
    "message too large (max 1000 bytes)",
  );
  await router.shutdown();
});

Deno.test("a handler that throws is logged, and the router goes on", async () => {
  const { router, log } = rig();
  const wire = await openWire(router);
  const handle = router.addHandler(() => {
    throw new Error("clumsy");
  });
  wire.value(1, { dstId: 0, handle });
  await settled(wire);
  assert(log.some((r) => r.message.includes("clumsy")));
  await router.shutdown();
});

Deno.test("after shutdown every wait has ended, and new ones end at once", async () => {
  const { router } = rig();
  using receiver = new Receiver(router);
  const get = assertRejects(() => receiver.get(), ChannelError);
  await router.shutdown();
  await get;
  using late = new Receiver(router);
  await assertRejects(() => late.get(), ChannelError);
  assertEquals(router.handlers.size, 0);
});

Deno.test("a sibling cannot end what waits for another context", async () => {
  const { router } = rig();
  const { child } = await openPair(router);
  const wire = await openWire(router);
  using waiting = new Receiver(child, { respondent: child.contextById(0) });
  wire.send(
    new Message({
      magic: Magic.TEXT,
      dstId: child.id,
      srcId: wire.id,
      authId: wire.id,
      handle: waiting.handle,
      replyTo: IS_DEAD,
    }),
  );
  await settled(wire);
  // On the same way, after it.
  await router.contextById(child.id).ping();
  assertEquals(waiting.ended, false);
  await router.shutdown();
});

Deno.test("that there is no way to a context is for those above to say", async () => {
  const { router } = rig();
  const { child } = await openPair(router);
  using waiting = new Receiver(child, {
    respondent: child.contextById(31337),
  });
  child.route(
    new Message({ dstId: 31337, handle: 1, replyTo: waiting.handle }),
  );
  await assertRejects(
    () => waiting.get(),
    DisconnectedError,
    "no route to 31337, my ID is 0",
  );
  await router.shutdown();
});

Deno.test("who mentions a context does not get to name it", async () => {
  const { router } = rig();
  const wire = await openWire(router);
  using receiver = new Receiver<Context[]>(router);
  // The next id, and the one of the master.
  const mention = (id: number) => [0x19, 1, 0x0f, 2, 0x80 | id, 0x41, 0x78];
  wire.send(
    new Message({
      magic: Magic.VALUE,
      srcId: wire.id,
      authId: wire.id,
      handle: receiver.handle,
      data: Uint8Array.of(0x0f, 2, ...mention(wire.id + 1), ...mention(0)),
    }),
  );
  const [next, master] = await receiver.get();
  assertEquals([next!.id, next!.path], [wire.id + 1, "x"]);
  assertEquals([master!.id, master!.path], [0, "master"]);
  const { context } = await openPair(router);
  assertEquals([context.id, context.path], [
    next!.id,
    `master/pair.${next!.id}`,
  ]);
  assertEquals(router.contextById(context.id), context);
  assertEquals(router.myself().path, "master");
  await router.shutdown();
});

Deno.test("no sender may be aimed at the services of a context", async () => {
  const { router } = rig();
  const wire = await openWire(router);
  using receiver = new Receiver(router);
  for (const handle of [Handle.CALL_FUNCTION, Handle.SHUTDOWN]) {
    wire.send(
      new Message({
        magic: Magic.VALUE,
        srcId: wire.id,
        authId: wire.id,
        handle: receiver.handle,
        data: Uint8Array.of(0x19, 2, 0x0f, 3, 0x81, 0x41, 0x78, 0x80 | handle),
      }),
    );
    await assertRejects(
      () => receiver.get(),
      TypeError,
      "no receiver may have",
    );
  }
  await router.shutdown();
});

Deno.test("a handler that fails answers, and many failures are one record", async () => {
  const { router, log } = rig();
  const wire = await openWire(router);
  for (let i = 0; i < 500; i++) {
    wire.send(
      new Message({
        magic: Magic.VALUE,
        srcId: wire.id,
        authId: wire.id,
        handle: Handle.ADD_ROUTE,
        replyTo: 7,
        // A different fault each time.
        data: Uint8Array.of(0x0e, 0x42, 0x41 + i % 26, 0x41 + i % 7),
      }),
    );
  }
  assertEquals((await deadReply(wire, 7)).text, "the handler failed");
  await settled(wire);
  assertEquals(log.filter((r) => r.message.includes("failed")).length, 1);
  assertEquals(wire.link.complaints.size, 1);
  await router.shutdown();
});

Deno.test("a service does not even read what is too large for it", async () => {
  const { router } = rig();
  const wire = await openWire(router);
  const large = "x".repeat(1024 * 1024);
  for (const handle of [100, 102, 103, 104]) {
    wire.value(large, { handle, replyTo: handle });
    assertEquals((await deadReply(wire, handle)).text, "message too large");
  }
  await router.shutdown();
});

const ASKED = {
  "what is not there": { magic: Magic.BYTES, handle: 99 },
  "large messages of no size": {
    magic: Magic.FLOW,
    handle: Handle.FLOW,
    data: Uint8Array.of(Piece.MESSAGE, ...new Uint8Array(14)),
  },
};

for (const [what, fields] of Object.entries(ASKED)) {
  Deno.test(`who asks for ${what} and does not read the answers is cut off`, async () => {
    const { router, log } = rig();
    const wire = await openWire(router, (transport) => ({
      start: (events) => transport.start(events),
      write: () => new Promise(() => {}),
      close: () => transport.close(),
    }));
    const own = { srcId: wire.id, authId: wire.id };
    const ask = new Message({ ...own, ...fields, replyTo: 7000 }).pack();
    const asks = new Uint8Array(ask.length * 100_000);
    for (let i = 0; i < 100_000; i++) asks.set(ask, i * ask.length);
    wire.raw(asks);
    const { kind, message } = await wire.context.closed;
    assertEquals(kind, "protocol");
    assert(message.includes("does not read"), message);
    assertEquals(log.length, 1);
    await router.shutdown();
  });
}

Deno.test("answers that are read are not held against anyone", async () => {
  const { router } = rig();
  const wire = await openWire(router);
  for (let i = 0; i < 10; i++) {
    for (let k = 0; k < 10_000; k++) {
      wire.value(null, { handle: 99, replyTo: 10_000 + i });
    }
    await deadReply(wire, 10_000 + i);
  }
  await settled(wire);
  await wire.link.flushed();
  assertEquals([wire.link.owed, wire.link.closed], [0, undefined]);
  await router.shutdown();
});

Deno.test("ids and routes that one neighbour may have are bounded", async () => {
  const { router, log } = rig();
  const wire = await openWire(router);
  const { path } = wire.context;
  const dead = deadReply(wire, 6064);
  for (let i = 0; i < 100; i++) {
    wire.value(null, { handle: Handle.ALLOCATE_ID, replyTo: 6000 + i });
  }
  assertEquals((await dead).text, "no more ids for this context");
  const blocks = await Promise.all(
    Array.from(
      { length: 64 },
      (_, i) => wire.next((m) => m.handle === 6000 + i),
    ),
  );
  assert(log.some((r) => r.message.includes("no more ids")));
  const add = (id: number, name = "x") =>
    wire.value([id, `${path}/${name}`], { handle: Handle.ADD_ROUTE });
  const ids = blocks.flatMap((message) => {
    const [start, end] = message.decode() as [number, number];
    return Array.from({ length: end - start }, (_, i) => start + i);
  });
  assertEquals(new Set(ids).size, 64_000);
  add(ids[0]!, "x".repeat(2000));
  await settled(wire);
  assertEquals(router.routeTo(ids[0]!), undefined);
  for (const id of ids.slice(0, 12_000)) add(id);
  await settled(wire);
  assertEquals(router.contexts().length, 10_001);
  assert(log.some((r) => r.message.includes("too many behind this context")));
  // One that goes makes room for another.
  const reason = { kind: "exit", message: "done" };
  wire.value([ids[5], reason], { handle: Handle.DEL_ROUTE });
  add(ids[11_000]!);
  add(ids[11_001]!);
  await settled(wire);
  assertEquals(router.contexts().length, 10_001);
  assertEquals(router.routeTo(ids[11_000]!), wire.link);
  await router.shutdown();
});

Deno.test("who waits for the end of a context that is only known by name is told of it", async () => {
  await using router = new Router({ onLog() {} });
  const { child } = await openPair(router);
  // Nothing but the wait knows of it.
  const ended = child.contextById(0).closed.then(({ kind }) => kind);
  const { gc } = globalThis as { gc?: () => void };
  for (let i = 0; i < 20; i++) {
    gc?.();
    void new Array(1_000_000).fill(i);
    await new Promise((resolve) => setTimeout(resolve));
  }
  child.contextLost(0, { kind: "eof", message: "gone" });
  assertEquals(await ended, "eof");
});
