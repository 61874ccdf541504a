import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { Message } from "../../core/mod.ts";

const large = new Uint8Array(200_000).map((_, i) => i);

Deno.test("a value that is taken stays whole when the memory of its message is used again", () => {
  const message = Message.fromFrame(Message.value({ large, name: "x" }).pack());
  const { data: { buffer }, size } = message;
  const value = message.take();
  assertEquals((buffer as ArrayBuffer).detached, true);
  assertEquals(value, { large, name: "x" });
  // What is held of it is as large as it was.
  assertEquals(message.size, size);
  assertThrows(() => message.data, TypeError, "was sent or taken");
  assertThrows(() => message.pack(), TypeError, "was sent or taken");
});

Deno.test("bytes that are taken are those of the message itself", () => {
  const frame = new Message({ data: large }).pack();
  const message = Message.fromFrame(frame);
  const bytes = message.take() as Uint8Array;
  assertStrictEquals(bytes.buffer, frame.buffer);
  assertEquals(bytes, large);
});

Deno.test("a message can be read again until it is taken", () => {
  const message = Message.value([1, 2]);
  assertEquals(message.decode(), [1, 2]);
  assertEquals(message.take(), [1, 2]);
  assertThrows(() => message.decode(), TypeError, "was sent or taken");
});

Deno.test("bytes that a message was made of are its maker's when it is done with", () => {
  const message = new Message({ data: large.slice() });
  const { data } = message;
  message.spend();
  assertEquals(data, large);
});
