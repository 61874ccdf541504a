import { assert, assertEquals, assertLess } from "@std/assert";
import fc from "fast-check";
import { endOf, Outbox } from "../../core/mod.ts";

/** A frame that says which it is. */
function frame(flow: number, serial: number, size: number): Uint8Array {
  const frame = new Uint8Array(8 + size);
  const view = new DataView(frame.buffer);
  view.setUint32(0, flow);
  view.setUint32(4, serial);
  return frame;
}

function read(frame: Uint8Array): [flow: number, serial: number] {
  const view = new DataView(frame.buffer, frame.byteOffset);
  return [view.getUint32(0), view.getUint32(4)];
}

Deno.test("what is added in one turn is written at once", () => {
  const outbox = new Outbox();
  for (let i = 0; i < 100; i++) {
    outbox.add(frame(0, i, 10), undefined, undefined);
  }
  const batch = outbox.take()!;
  assertEquals(batch.frames.length, 100);
  assertEquals(batch.bytes.length, outbox.size);
  outbox.done(batch);
  assertEquals([outbox.size, outbox.take()], [0, undefined]);
});

Deno.test("a small frame waits for one batch of a large transfer, not for its end", () => {
  const outbox = new Outbox();
  for (let i = 0; i < 100; i++) {
    outbox.add(frame(1, i, 60_000), "bulk", undefined);
  }
  outbox.done(outbox.take()!);
  outbox.add(frame(0, 0, 10), undefined, undefined);
  let batches = 0;
  for (let found = false; !found; batches++) {
    const batch = outbox.take()!;
    outbox.done(batch);
    found = batch.frames.some((frame) => read(frame)[0] === 0);
  }
  assert(batches <= 2, `${batches}`);
});

Deno.test("every frame leaves once; no flow overtakes itself or what was there before", () => {
  const step = fc.oneof(
    fc.constant({ take: true } as const),
    fc.record({
      flow: fc.integer({ min: 0, max: 3 }),
      size: fc.nat(70_000),
    }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const outbox = new Outbox();
      const added: [flow: number, serial: number][] = [];
      const taken: [flow: number, serial: number][] = [];
      const serials = new Map<number, number>();
      let written = 0;
      const take = () => {
        const batch = outbox.take();
        if (!batch) return false;
        assertEquals(
          batch.bytes.length,
          batch.frames.reduce((sum, f) => sum + f.length, 0),
        );
        taken.push(...batch.frames.map(read));
        outbox.done(batch);
        return true;
      };
      for (const step of steps) {
        if ("take" in step) {
          take();
          continue;
        }
        const { flow, size } = step;
        const serial = serials.get(flow) ?? 0;
        serials.set(flow, serial + 1);
        added.push([flow, serial]);
        outbox.add(
          frame(flow, serial, size),
          flow === 0 ? undefined : `${flow}`,
          () => written++,
        );
      }
      while (take());
      assertEquals(outbox.size, 0);
      assertEquals(written, added.length);
      for (const flow of [0, 1, 2, 3]) {
        const of = (list: typeof added) => list.filter(([f]) => f === flow);
        assertEquals(of(taken), of(added));
      }
      // A piece stays behind all that is no piece and was added before it.
      for (const [at, [flow, serial]] of added.entries()) {
        if (flow === 0) continue;
        const before = added.slice(0, at).filter(([f]) => f === 0).length;
        const position = taken.findIndex(([f, s]) =>
          f === flow && s === serial
        );
        const ahead = taken.slice(0, position).filter(([f]) => f === 0).length;
        assert(ahead >= before);
      }
    }),
  );
});

Deno.test("a long queue is taken from as fast as a short one", () => {
  const outbox = new Outbox();
  for (let i = 0; i < 400_000; i++) {
    outbox.add(frame(1, i, 19), "many", undefined);
  }
  const begin = performance.now();
  let count = 0;
  for (let batches = 0; batches < 20; batches++) {
    const batch = outbox.take()!;
    count += batch.frames.length;
    outbox.done(batch);
  }
  assert(count > 40_000, `${count}`);
  assertLess(performance.now() - begin, 5000);
});

Deno.test("what is cleared counts as written", () => {
  const outbox = new Outbox();
  let written = 0;
  outbox.add(frame(0, 0, 10), undefined, () => written++);
  outbox.add(frame(1, 0, 10), "flow", () => written++);
  outbox.clear();
  assertEquals([written, outbox.size, outbox.take()], [2, 0, undefined]);
  outbox.add(frame(1, 1, 10), "flow", undefined);
  assertEquals(outbox.take()!.frames.length, 1);
});

Deno.test("the end of a context leaves behind all that came from it, and holds up nobody else", () => {
  const outbox = new Outbox();
  for (let i = 0; i < 10; i++) {
    outbox.add(frame(1, i, 60_000), "7 0 9 1", undefined);
  }
  outbox.add(frame(2, 0, 10), endOf(7), undefined);
  outbox.add(frame(3, 0, 10), "77 0 9 1", undefined);
  outbox.add(frame(0, 0, 10), undefined, undefined);
  const order: number[] = [];
  for (let batch; (batch = outbox.take()); outbox.done(batch)) {
    order.push(...batch.frames.map((frame) => read(frame)[0]));
  }
  assertEquals(order.filter((flow) => flow === 1).length, 10);
  assertEquals(order.at(-1), 2);
  assert(order.indexOf(0) < 5 && order.indexOf(3) < 5, String(order));
});
