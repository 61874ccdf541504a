import { assertEquals, assertStrictEquals } from "@std/assert";
import {
  HEADER_SIZE,
  Link,
  Magic,
  Message,
  type TransportEvents,
} from "../../core/mod.ts";
import { Router } from "../../mod.ts";
import { FramePool, frames, LARGE_FRAME } from "../../core/frame_pool.ts";

Deno.test("a large frame that is given back is taken again, any other is not", () => {
  const pool = new FramePool();
  assertEquals([pool.empty, pool.take()], [true, undefined]);
  const frame = new Uint8Array(LARGE_FRAME);
  pool.give(frame);
  // A part of something that others may hold.
  pool.give(new Uint8Array(2 * LARGE_FRAME).subarray(0, LARGE_FRAME));
  pool.give(frame.subarray(1));
  pool.give(new Uint8Array(100));
  assertStrictEquals(pool.take(), frame);
  assertEquals([pool.empty, pool.take()], [true, undefined]);
});

Deno.test("the memory of what is larger than a large frame is free at once, if all of it was given", () => {
  const pool = new FramePool();
  const whole = new Uint8Array(LARGE_FRAME + 1);
  pool.give(whole);
  assertEquals([whole.buffer.detached, pool.empty], [true, true]);
  const part = new Uint8Array(LARGE_FRAME + 2).subarray(1);
  pool.give(part);
  assertEquals(part.length, LARGE_FRAME + 1);
});

Deno.test("no more frames are kept than are of use", () => {
  const pool = new FramePool();
  for (let i = 0; i < 1000; i++) pool.give(new Uint8Array(LARGE_FRAME));
  let kept = 0;
  while (pool.take()) kept++;
  assertEquals(kept, 64);
});

for (const lost of [false, true]) {
  Deno.test(`a piece can be filled again once it is written${lost ? ", but not where its link is lost meanwhile" : ""}`, async () => {
    await using router = new Router({ onLog() {} });
    const write = Promise.withResolvers<void>();
    const link = new Link(router, {
      start: (_: TransportEvents) => {},
      write: () => write.promise,
      close: () => {},
    }, 1);
    router.addLink(link);
    while (frames.take());
    const frame = new Uint8Array(LARGE_FRAME);
    const fields = { magic: Magic.FLOW, dstId: 1, handle: 1000 };
    link.send(new Message(fields, frame.fill(1, HEADER_SIZE)));
    await Promise.resolve();
    assertEquals(frames.empty, true, "it is being written");
    if (lost) link.close({ kind: "eof", message: "lost" });
    const flushed = link.flushed();
    write.resolve();
    await flushed;
    // What is done behind the write is done by then.
    await new Promise((resolve) => setTimeout(resolve));
    assertEquals(frames.take(), lost ? undefined : frame);
  });
}
