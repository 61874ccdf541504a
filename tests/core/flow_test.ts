import {
  assert,
  assertEquals,
  assertLess,
  assertRejects,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import {
  AMPLE_WINDOW,
  Budget,
  CodecError,
  costOf,
  decode,
  encode,
  Inflow,
  Magic,
  MAX_PIECE,
  MAX_UNWRITTEN,
  MAX_VALUE,
  MAX_WINDOW,
  Message,
  type MessageFields,
  Outflow,
  Piece,
  WINDOW,
} from "../../core/mod.ts";

/** Both ends of a flow, with what is between them in hand. */
function flow(
  {
    window = WINDOW,
    room = Infinity,
    maxSize = 1 << 27,
    budget = new Budget(1 << 30),
  } = {},
) {
  const pieces: Message[] = [];
  const post = (fields: MessageFields, frame?: Uint8Array) =>
    void pieces.push(new Message(fields, frame));
  const out = new Outflow(
    post,
    (value, headroom) => encode(value, { headroom }),
    window,
  );
  let held = 0;
  const inflow = new Inflow({
    grant: (credit) => out.grant(credit),
    decode: (data) => [decode(data), undefined],
    grow: (bytes) => {
      if (held + bytes > room) return false;
      held += bytes;
      return true;
    },
    budget,
    maxSize,
  }, window);
  const deliver = (count = Infinity) => {
    for (const piece of pieces.splice(0, count)) {
      piece.written?.();
      inflow.push(piece);
    }
  };
  return { out, inflow, pieces, deliver, held: () => held };
}

/** Bytes that have left and were not taken. */
function under(pieces: Message[]): number {
  return pieces.reduce((sum, { size }) => sum + costOf(size - 1), 0);
}

Deno.test("a writer with credit stops while its link is busy, and goes on after", async () => {
  const { out, inflow, pieces, deliver } = flow({ window: MAX_WINDOW });
  let written = 0;
  const writing = (async () => {
    for (; written < 100; written++) await out.write(new Uint8Array(10_000));
    out.end();
  })();
  await new Promise((resolve) => setTimeout(resolve));
  assert(under(pieces) >= MAX_UNWRITTEN);
  assertLess(under(pieces), MAX_UNWRITTEN + 2 * MAX_PIECE);
  assertLess(written, 100);
  let read = 0;
  while (true) {
    deliver();
    const step = await inflow.next();
    if (step.done) break;
    read += (step.value as Uint8Array).length;
  }
  await writing;
  assertEquals(read, 100 * 10_000);
});

Deno.test("a writer stops when its credit is used, and goes on when it comes back", async () => {
  const { out, inflow, pieces, deliver } = flow();
  let written = 0;
  const chunk = new Uint8Array(10_000);
  const writing = (async () => {
    for (; written < 200; written++) await out.write(chunk);
    out.end();
  })();
  await new Promise((resolve) => setTimeout(resolve));
  assert(under(pieces) >= WINDOW && under(pieces) < WINDOW + MAX_PIECE);
  let read = 0;
  while (true) {
    deliver();
    const step = await inflow.next();
    if (step.done) break;
    read += (step.value as Uint8Array).length;
    await new Promise((resolve) => setTimeout(resolve));
  }
  await writing;
  assertEquals(read, 200 * 10_000);
});

Deno.test("what is left of a chunk waits for the next one while the link is busy", async () => {
  const { out, inflow, pieces, deliver } = flow();
  const sizes = () => pieces.map(({ size }) => size - 1);
  await out.write(new Uint8Array(10));
  // The link has not taken it: what follows is joined.
  await out.write(new Uint8Array(20));
  await out.write(new Uint8Array(30));
  assertEquals(sizes(), [10]);
  deliver();
  assertEquals(sizes(), [50]);
  await out.write(new Uint8Array(MAX_PIECE + 5));
  assertEquals(sizes(), [50, MAX_PIECE]);
  await out.write("a value");
  out.end();
  assertEquals(sizes().slice(0, 3), [50, MAX_PIECE, 5]);
  deliver();
  const got: unknown[] = [];
  for (let step = await inflow.next(); !step.done; step = await inflow.next()) {
    const { value } = step;
    got.push(value instanceof Uint8Array ? value.length : value);
  }
  assertEquals(got, [10, 50, MAX_PIECE, 5, "a value"]);
});

Deno.test("a value behind bytes that were held back waits for its own credit", async () => {
  const { out, inflow, pieces, deliver } = flow({ window: 2048 });
  await out.write(new Uint8Array(1));
  // Held back, and all that the credit allows.
  await out.write(new Uint8Array(1500));
  const writing = out.write("a value");
  assertEquals(pieces.map(({ size }) => size - 1), [1, 1500]);
  deliver();
  assertEquals((await inflow.next()).done, false);
  assertEquals((await inflow.next()).done, false);
  await writing;
  deliver();
  assertEquals(await inflow.next(), { done: false, value: "a value" });
});

Deno.test("the window grows for a reader that keeps up, as far as there is room", async () => {
  for (
    const [room, least, most] of [
      // How far beyond depends on how fast that is: see pace_test.ts.
      [Infinity, AMPLE_WINDOW, MAX_WINDOW],
      [WINDOW, 2 * WINDOW, 2 * WINDOW],
    ] as const
  ) {
    const { out, inflow, deliver, held } = flow({ room });
    for (let i = 0; i < 2000; i++) {
      await out.write(new Uint8Array(MAX_PIECE));
      deliver();
      await inflow.next();
    }
    assert(inflow.window >= least && inflow.window <= most);
    inflow.close();
    assertEquals(held(), 0);
  }
});

Deno.test("whatever is written arrives as it was, however large, however late", async () => {
  // Numbers stand for what is large, so that a failure can be read.
  const value = fc.oneof(
    fc.string({ maxLength: 20 }),
    fc.record({ text: fc.nat(200_000) }),
    fc.record({ bytes: fc.nat(200_000) }),
  );
  const made = (value: string | { text: number } | { bytes: number }) =>
    typeof value === "string"
      ? value
      : "text" in value
      ? "x".repeat(value.text)
      : new Uint8Array(value.bytes).fill(value.bytes);
  await fc.assert(
    fc.asyncProperty(
      fc.array(value, { maxLength: 12 }),
      fc.infiniteStream(fc.nat(4)),
      async (recipes, late) => {
        const values = recipes.map(made);
        const { out, inflow, pieces, deliver } = flow();
        const writing = (async () => {
          for (const value of values) await out.write(value);
          out.end();
        })();
        const got: unknown[] = [];
        const reading = (async () => {
          for (;;) {
            const step = await inflow.next();
            if (step.done) return;
            got.push(step.value);
          }
        })();
        let over = false;
        void reading.then(() => over = true);
        while (!over) {
          assert(under(pieces) < inflow.window + 2 * MAX_PIECE);
          deliver(late.next().value!);
          await new Promise((resolve) => setTimeout(resolve));
        }
        await writing;
        // Streams of bytes are cut anywhere.
        const flat = (list: unknown[]) =>
          list.reduce<unknown[]>((flat, item) => {
            if (!(item instanceof Uint8Array)) flat.push(item);
            else if (item.length > 0) {
              const last = flat.at(-1);
              const parts = last instanceof Uint8Array
                ? [flat.pop(), item]
                : [item];
              const all = parts.flatMap((p) => [...p as Uint8Array]);
              flat.push(new Uint8Array(all));
            }
            return flat;
          }, []);
        assertEquals(flat(got), flat(values));
      },
    ),
    { numRuns: 12 },
  );
});

Deno.test("a failure comes behind what was sent", async () => {
  const { out, inflow, deliver } = flow();
  await out.write(1);
  out.fail(new RangeError("no more"));
  deliver();
  assertEquals(await inflow.next(), { done: false, value: 1 });
  assertThrows(() => inflow.next(), RangeError, "no more");
  assertThrows(() => out.write(new Uint8Array(2)), RangeError, "no more");
  await assertRejects(async () => await out.write(2), RangeError, "no more");
});

Deno.test("a reason that cannot cross is said in words", () => {
  const { out, inflow, deliver } = flow();
  const reason = Object.assign(new TypeError("with a function"), { fn() {} });
  out.fail(reason);
  deliver();
  const error = assertThrows(() => inflow.next(), Error, "with a function");
  assertEquals(error.name, "TypeError");
});

Deno.test("what no sender sends is refused", () => {
  const piece = (...bytes: number[]) =>
    new Message({ magic: Magic.FLOW, data: new Uint8Array(bytes) });
  assertThrows(() => flow().inflow.push(piece(9)), CodecError, "kind 9");
  assertThrows(() => flow().inflow.push(piece()), CodecError, "kind");
  assertThrows(() => flow().inflow.push(piece(Piece.VALUE, 0x3f)), CodecError);
  const greedy = flow({ window: 2048 }).inflow;
  greedy.push(piece(Piece.BYTES, 1));
  greedy.push(piece(Piece.BYTES, 1));
  assertThrows(() => greedy.push(piece(Piece.BYTES, 1)), CodecError, "credit");
  const long = flow({ maxSize: 2 }).inflow;
  long.push(piece(Piece.MORE, 1, 2));
  assertThrows(() => long.push(piece(Piece.MORE, 1)), CodecError, "too large");
  // Each part of nothing takes memory all the same.
  const { inflow } = flow({ budget: new Budget(10_240) });
  for (let i = 0; i < 10; i++) inflow.push(piece(Piece.MORE));
  assertThrows(
    () => inflow.push(piece(Piece.MORE)),
    CodecError,
    "nobody reads",
  );
});

Deno.test("what nobody reads is bounded, over all flows of a neighbour", async () => {
  const budget = new Budget(3 * WINDOW);
  const flows = Array.from({ length: 4 }, () => flow({ budget }));
  for (const { out } of flows) {
    for (let i = 0; i < 2; i++) await out.write(new Uint8Array(MAX_PIECE));
  }
  for (const { deliver } of flows.slice(0, 3)) deliver();
  assertThrows(() => flows[3]!.deliver(), CodecError, "nobody reads");
  // What is read or thrown away makes room.
  await flows[0]!.inflow.next();
  flows[1]!.inflow.discard();
  const other = flow({ budget });
  for (let i = 0; i < 2; i++) await other.out.write(new Uint8Array(MAX_PIECE));
  other.deliver();
});

Deno.test("what waits does not hold on to the buffer that it was read to", async () => {
  const { inflow } = flow();
  const chunk = new Message({ magic: Magic.FLOW, data: new Uint8Array(65_000) })
    .pack();
  const frame = chunk.subarray(0, 30);
  frame.set([Piece.BYTES, 1, 2, 3], 26);
  inflow.push(Message.fromFrame(frame));
  const { value } = await inflow.next();
  assertEquals(value, Uint8Array.of(1, 2, 3));
  assertLess((value as Uint8Array).buffer.byteLength, 100);
});

Deno.test("no reader gets more than the largest window at once", async () => {
  const { out, pieces } = flow();
  out.grant(0xffffffff);
  void (async () => {
    for (;;) await out.write(new Uint8Array(MAX_PIECE));
  })();
  await new Promise((resolve) => setTimeout(resolve));
  assert(under(pieces) <= MAX_WINDOW + MAX_PIECE);
});

Deno.test("a value that no reader could hold is refused where it is sent", async () => {
  const { out, pieces } = flow();
  await assertRejects(
    async () => await out.write("x".repeat(MAX_VALUE + 1)),
    CodecError,
    "the limit is 33554432",
  );
  assertEquals(pieces, []);
});
