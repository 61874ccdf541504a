import { assertEquals, assertLess, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  CorruptionError,
  FrameReader,
  HEADER_SIZE,
  Magic,
  Message,
} from "../../core/mod.ts";
import { frames as pool } from "../../core/frame_pool.ts";

function frame(size: number, fill: number): Uint8Array {
  return new Message({
    magic: Magic.BYTES,
    dstId: fill,
    handle: 1000 + fill,
    data: new Uint8Array(size).fill(fill),
  }).pack();
}

function read(chunks: Uint8Array[], limit = 1 << 20): Uint8Array[] {
  const frames: Uint8Array[] = [];
  const reader = new FrameReader((frame) => frames.push(frame.slice()), limit);
  for (const chunk of chunks) reader.push(chunk);
  return frames;
}

/** The same from one buffer that is filled again and again. */
function readLent(chunks: Uint8Array[]): Uint8Array[] {
  const frames: Uint8Array[] = [];
  const reader = new FrameReader((frame) => frames.push(frame), 1 << 20);
  const buffer = new Uint8Array(Math.max(...chunks.map((c) => c.length)));
  for (const chunk of chunks) {
    buffer.set(chunk);
    reader.push(buffer.subarray(0, chunk.length), true);
    buffer.fill(255);
  }
  return frames;
}

Deno.test("a frame is the header that Mitogen has, and its data", () => {
  const message = new Message({
    magic: Magic.TEXT,
    dstId: 1,
    srcId: 2,
    authId: 3,
    handle: 101,
    replyTo: 1000,
    data: new TextEncoder().encode("hi"),
  });
  assertEquals(
    message.pack().toHex(),
    "4d4900000001000000020000000300000065000003e8000000026869",
  );
  const back = Message.fromFrame(message.pack());
  assertEquals(
    [back.dstId, back.srcId, back.authId, back.handle, back.replyTo, back.text],
    [1, 2, 3, 101, 1000, "hi"],
  );
});

Deno.test("frames come out as they went in, however their bytes are cut", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(300), { minLength: 1, maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1 }),
      (sizes, cuts) => {
        const frames = sizes.map((size, i) => frame(size, i));
        const all = new Uint8Array(frames.flatMap((f) => [...f]));
        const chunks: Uint8Array[] = [];
        for (let at = 0, i = 0; at < all.length; i++) {
          const size = cuts[i % cuts.length]!;
          chunks.push(all.slice(at, at + size));
          at += size;
        }
        assertEquals(read(chunks), frames);
        assertEquals(readLent(chunks), frames);
      },
    ),
    { numRuns: 200 },
  );
});

Deno.test("frames that are given back are filled again, and those that are held are not", () => {
  const large = 64 * 1024 - HEADER_SIZE;
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          size: fc.oneof(
            { weight: 3, arbitrary: fc.constant(large) },
            fc.nat(300),
            fc.integer({ min: large - 50, max: large + 50 }),
          ),
          held: fc.boolean(),
        }),
        { minLength: 1, maxLength: 12 },
      ),
      fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1 }),
      fc.boolean(),
      (pieces, cuts, lent) => {
        const frames = pieces.map(({ size }, i) => frame(size, i));
        const all = new Uint8Array(frames.reduce((n, f) => n + f.length, 0));
        frames.reduce((at, f) => (all.set(f, at), at + f.length), 0);
        const held: [number, Uint8Array][] = [];
        let next = 0;
        const reader = new FrameReader((bytes) => {
          const i = next++;
          assertEquals(bytes.length, frames[i]!.length);
          assertEquals(
            bytes.every((byte, at) => byte === frames[i]![at]),
            true,
          );
          if (pieces[i]!.held) held.push([i, bytes]);
          else pool.give(bytes);
        }, 1 << 20);
        const buffer = new Uint8Array(100_000);
        for (let at = 0, i = 0; at < all.length; i++) {
          const part = all.subarray(at, at + cuts[i % cuts.length]!);
          at += part.length;
          if (!lent) reader.push(part.slice());
          else {
            buffer.set(part);
            reader.push(buffer.subarray(0, part.length), true);
          }
        }
        assertEquals(next, frames.length);
        for (const [i, bytes] of held) {
          assertEquals(
            bytes.every((byte, at) => byte === frames[i]![at]),
            true,
          );
        }
      },
    ),
    { numRuns: 50 },
  );
});

Deno.test("a frame in single bytes comes out whole", () => {
  const one = frame(1000, 7);
  assertEquals(read([...one].map((byte) => Uint8Array.of(byte))), [one]);
});

Deno.test("a wrong signature is refused, and shown", () => {
  const error = assertThrows(
    () => read([new TextEncoder().encode("Segmentation fault, core dumped\n")]),
    CorruptionError,
  );
  assertEquals(error.message.includes("Segmentation fault"), true);
});

Deno.test("a length over the limit is refused before anything is kept for it", () => {
  const bytes = frame(10, 1);
  new DataView(bytes.buffer).setUint32(22, 0xffffffff);
  assertThrows(
    () => read([bytes.subarray(0, HEADER_SIZE)]),
    CorruptionError,
    "4294967295",
  );
  // Just at the limit it is still a frame.
  assertEquals(read([frame(100, 1)], 100).length, 1);
  assertThrows(() => read([frame(101, 1)], 100), CorruptionError);
});

Deno.test("no chunk is kept while a frame is incomplete", () => {
  // A chunk of one byte may be a view of a large read buffer.
  const one = frame(1000, 7);
  const frames: Uint8Array[] = [];
  const reader = new FrameReader((f) => frames.push(f.slice()), 1 << 20);
  for (let at = 0; at < one.length; at += 100) {
    const chunk = one.slice(at, at + 100);
    reader.push(chunk);
    if (at + 100 < one.length) chunk.fill(0);
  }
  assertEquals(frames, [one]);
  assertEquals(reader.pending, 0);
});

Deno.test("a frame of many chunks is no slower than its size", () => {
  const one = frame(1 << 22, 1);
  const begin = performance.now();
  const chunks = Array.from(
    { length: Math.ceil(one.length / 16) },
    (_, i) => one.subarray(i * 16, i * 16 + 16),
  );
  assertEquals(read(chunks, 1 << 23).length, 1);
  // Joined anew at each chunk it would take minutes.
  assertLess(performance.now() - begin, 5000);
});
