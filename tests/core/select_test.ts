import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ChannelError, Receiver, Router, Select } from "../../mod.ts";

const quiet = { onLog() {} };

Deno.test("a select gives values in the order of arrival, with their source", async () => {
  await using router = new Router(quiet);
  using a = new Receiver<string>(router);
  using b = new Receiver<string>(router);
  using select = new Select<string>([a, b], { oneshot: false });
  b.toSender().send("b1");
  a.toSender().send("a1");
  b.toSender().send("b2");
  assertEquals(await select.getEvent(), { source: b, data: "b1" });
  assertEquals(await select.get(), "a1");
  assertEquals(await select.get(), "b2");
  const get = select.get();
  a.toSender().send("a2");
  assertEquals(await get, "a2");
});

Deno.test("a select takes each source once, unless told otherwise, and may hold others", async () => {
  await using router = new Router(quiet);
  using a = new Receiver<string>(router);
  using b = new Receiver<string>(router);
  const inner = new Select<string>([a]);
  using outer = new Select<string>([inner, b]);
  a.toSender().send("inner");
  b.toSender().send("outer");
  const values = await Array.fromAsync(outer);
  assertEquals(values.sort(), ["inner", "outer"]);
  assertEquals(outer.length, 0);
  await assertRejects(() => outer.get(), RangeError, "no sources");
});

Deno.test("a select refuses what would not work", async () => {
  await using router = new Router(quiet);
  using a = new Receiver(router);
  const first = new Select([a]);
  assertThrows(() => new Select([a]), TypeError, "already belongs");
  const outer = new Select([first]);
  assertThrows(() => first.add(outer), TypeError, "wait for itself");
  assertThrows(() => first.remove(outer), TypeError, "was not added");
  outer.close();
  first.close();
  using again = new Select([a]);
  assertEquals(again.length, 1);
});

Deno.test("Select.all gives one value of each source, in the order of arrival", async () => {
  await using router = new Router(quiet);
  using a = new Receiver<string>(router);
  using b = new Receiver<string>(router);
  const all = Array.fromAsync(Select.all([a, b]));
  b.toSender().send("b1");
  b.toSender().send("b2");
  a.toSender().send("a1");
  assertEquals(await all, ["b1", "a1"]);
  assertEquals([a.notify, b.notify], [undefined, undefined]);
  assertEquals(await b.get(), "b2");
});

Deno.test("the end of a source is what a select throws, and the others go on", async () => {
  await using router = new Router(quiet);
  using a = new Receiver<string>(router);
  using b = new Receiver<string>(router);
  using select = new Select<string>([a, b], { oneshot: false });
  const get = assertRejects(() => select.get(), ChannelError);
  a.toSender().close();
  await get;
  b.toSender().send("alive");
  assertEquals(await select.get(), "alive");
  assertEquals(select.length, 1);
});

Deno.test("closing a select wakes everyone who waits in it", async () => {
  await using router = new Router(quiet);
  using a = new Receiver<string>(router);
  const select = new Select<string>([a]);
  const gets = [1, 2].map(() =>
    assertRejects(() => select.get(), TypeError, "is closed")
  );
  select.close();
  await Promise.all(gets);
  a.toSender().send("still its own");
  assertEquals(await a.get(), "still its own");
});

Deno.test("what another took meanwhile is not given twice", async () => {
  await using router = new Router(quiet);
  using a = new Receiver<string>(router);
  using select = new Select<string>([a], { oneshot: false });
  a.toSender().send("one");
  assertEquals(await a.get(), "one");
  const get = select.get();
  a.toSender().send("two");
  assertEquals(await get, "two");
});
