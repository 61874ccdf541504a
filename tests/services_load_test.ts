/** Services: how often they run, and what is lost while they do. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import {
  AllowAny,
  CallError,
  type CallOptions,
  connectUnix,
  current,
  DisconnectedError,
  type LogRecord,
  Router,
} from "../mod.ts";
import { Handle } from "../core/mod.ts";
import { gate } from "./fixtures/gate.ts";
import { noLeaks } from "./fixtures/leaks.ts";
import { openPair } from "./fixtures/pair.ts";
import * as there from "./fixtures/services.ts";
import { openWire } from "./fixtures/wire.ts";

const quiet = { onLog() {} };

/** A method by any name, also one that nobody serves. */
// deno-lint-ignore no-explicit-any
type Anything = Record<string, (...args: any[]) => any>;

Deno.test("so many calls run at a time, the others in order; one cancelled before never runs", async () => {
  await using router = new Router(quiet);
  const { pass, open, holds, ...door } = gate();
  const begun: number[] = [];
  let most = 0;
  let running = 0;
  await router.serve("slow", {
    async run(n: number) {
      begun.push(n);
      most = Math.max(most, ++running);
      await pass();
      running--;
      if (n === 2) throw new RangeError("two");
      return n;
    },
  }, { concurrency: 2, policy: AllowAny });
  const { child } = await openPair(router);
  const context = child.contextById(0);
  const service = context.service<{ run(n: number): Promise<number> }>("slow");
  const controller = new AbortController();
  const cancelled = context.with({ signal: controller.signal })
    .service<{ run(n: number): Promise<number> }>("slow");
  const calls = [1, 2, 3].map((n) => service.run(n));
  const four = cancelled.run(4);
  const five = service.run(5);
  const results = Promise.allSettled([...calls, four, five]);
  await holds(2);
  controller.abort(new Error("changed my mind"));
  await assertRejects(() => four, Error, "changed my mind");
  await context.ping();
  for (let i = 0; i < 4; i++) {
    await holds(1);
    open();
  }
  assertEquals((await results).map((r) => r.status), [
    "fulfilled",
    "rejected",
    "fulfilled",
    "rejected",
    "fulfilled",
  ]);
  assertEquals([begun, most, door.size], [[1, 2, 3, 5], 2, 0]);
  assertEquals(router.runner.running, 0);
});

Deno.test("what a call returns that is live takes no place; what it is given is used in its own", async () => {
  await using router = new Router(quiet);
  let running = 0;
  await router.serve("lines", {
    async *read() {
      yield 1;
      yield 2;
    },
    async write(to: WritableStream<number>) {
      assertEquals(running++, 0);
      const writer = to.getWriter();
      for (const n of [1, 2]) await writer.write(n);
      await writer.close();
      running--;
    },
  }, { concurrency: 1, policy: AllowAny });
  const { child } = await openPair(router);
  const service = child.contextById(0).service<{
    read(): AsyncGenerator<number>;
    write(to: WritableStream<number>): Promise<void>;
  }>("lines");
  // One that nobody reads yet holds up nobody.
  const [first, second] = [await service.read(), await service.read()];
  assertEquals(await Array.fromAsync(second), [1, 2]);
  assertEquals(await Array.fromAsync(first), [1, 2]);
  const got: number[] = [];
  const stream = () =>
    new WritableStream<number>({ write: (n) => void got.push(n) });
  await Promise.all([service.write(stream()), service.write(stream())]);
  assertEquals(got, [1, 2, 1, 2]);
});

Deno.test("calls with the same key run once and all get what it returns", async () => {
  await using router = new Router(quiet);
  const { pass, open, holds } = gate();
  let runs = 0;
  const aborted: unknown[] = [];
  await router.serve("cache", {
    async read(path: string) {
      const run = ++runs;
      const { signal } = current();
      signal.addEventListener("abort", () => aborted.push(run));
      await pass();
      if (path === "missing") throw new RangeError(`no ${path}`);
      return [path, run];
    },
    now: () => ++runs,
  }, {
    policy: AllowAny,
    dedupe: (method, args) => method === "read" ? args[0] : undefined,
  });
  type Cache = { read(path: string): Promise<unknown>; now(): number };
  const pairs = await Promise.all([openPair(router), openPair(router)]);
  const [one, two] = pairs.map(({ child }) =>
    child.contextById(0).service<Cache>("cache")
  );
  let calls = [one!.read("a"), two!.read("a"), two!.read("b")];
  await holds(2);
  await pairs[1]!.child.contextById(0).ping();
  open();
  open();
  assertEquals(await Promise.all(calls), [["a", 1], ["a", 1], ["b", 2]]);
  assertEquals(await one!.now(), 3);

  calls = [one!.read("missing"), two!.read("missing")];
  await holds(1);
  await pairs[1]!.child.contextById(0).ping();
  open();
  for (const call of calls) {
    await assertRejects(() => call, CallError, "no missing");
  }

  // One who gives up takes nothing from the other; when all have, it ends.
  const given = [new AbortController(), new AbortController()];
  const waits = pairs.map(({ child }, i) =>
    child.contextById(0).with({ signal: given[i]!.signal })
      .service<Cache>("cache").read("c")
  );
  const failed = Promise.allSettled(waits);
  await holds(1);
  for (const { child } of pairs) await child.contextById(0).ping();
  given[0]!.abort();
  await pairs[0]!.child.contextById(0).ping();
  assertEquals(aborted, []);
  given[1]!.abort();
  await pairs[1]!.child.contextById(0).ping();
  assertEquals(aborted, [5]);
  // Who comes now does not get what was given up.
  const anew = one!.read("c");
  await holds(2);
  open();
  open();
  assertEquals(await anew, ["c", 6]);
  assertEquals((await failed).map((r) => r.status), ["rejected", "rejected"]);
  assertEquals(router.runner.running, 0);
});

Deno.test("the end of who serves fails the call; the end of who calls cancels it", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const begun = Promise.withResolvers<AbortSignal>();
  await router.serve("waiting", {
    wait() {
      const { signal } = current();
      begun.resolve(signal);
      return new Promise((resolve) =>
        signal.addEventListener("abort", resolve)
      );
    },
  }, { policy: AllowAny, concurrency: 1 });
  const [caller, server] = await Promise.all([router.local(), router.local()]);
  await caller!.call(there.callAndWait, router.myself());
  const signal = await begun.promise;
  Deno.kill(await caller!.call(() => Deno.pid), "SIGKILL");
  if (!signal.aborted) {
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  }
  assert(signal.reason instanceof DisconnectedError);
  // What has returned is forgotten in the same turn.
  await new Promise((resolve) => setTimeout(resolve));
  assertEquals(router.runner.running, 0);

  const sleep = server!.service("sleep", {
    activate: () => ({ run: () => new Promise<never>(() => {}) }),
  });
  const lost = assertRejects(() => sleep.run(), DisconnectedError);
  Deno.kill(await server!.call(() => Deno.pid), "SIGKILL");
  assertEquals((await lost).reason.kind, "signal");
});

Deno.test("a child that calls and calls is held back; one that sends nonsense harms nobody", async () => {
  const log: LogRecord[] = [];
  await using router = new Router({ onLog: (record) => log.push(record) });
  let running = 0;
  await router.serve("slow", {
    run: () => {
      running++;
      return new Promise(() => {});
    },
    quick: () => "quick",
  }, { policy: AllowAny });
  const wire = await openWire(router);
  const to = { dstId: 0, handle: Handle.CALL_SERVICE };
  const wait = (replyTo: number) => wire.next((m) => m.handle === replyTo);
  // 40 calls of a megabyte each: no more than 32 MiB of them are kept.
  const megabyte = new Uint8Array(1 << 20);
  for (let i = 0; i < 40; i++) {
    wire.value(["slow", "run", [megabyte]], { ...to, replyTo: 2000 + i });
  }
  const last = await wait(2039);
  assertEquals(last.text, "too many calls of services at once");
  assertEquals(running, 31);
  // Others have room of their own.
  const { child } = await openPair(router);
  const service = child.contextById(0).service<Anything>("slow");
  assertEquals(await service.quick!(), "quick");
  const nonsense: unknown[] = [
    null,
    "slow",
    [],
    ["slow"],
    ["slow", "run"],
    ["slow", 5, []],
    [{}, "run", []],
    ["slow", "run", {}],
    ["slow", "run", [], 5, 6],
    ["slow", "run", [], "file:///etc/passwd"],
  ];
  const other = await openWire(router);
  for (const [i, payload] of nonsense.entries()) {
    other.value(payload, { ...to, replyTo: 3000 + i });
    const answer = await other.next((m) => m.handle === 3000 + i);
    assertEquals([answer.isDead, answer.text], [true, "the handler failed"]);
  }
  other.value(["evil", "run", [], "file:///etc/passwd", "x"], {
    ...to,
    replyTo: 4000,
  });
  const answer = await other.next((m) => m.handle === 4000);
  assertMatch(answer.text, /only a parent may make it/);
  // Authority that is not its own never arrives.
  other.value(["slow", "quick", []], { ...to, replyTo: 4001, authId: 0 });
  other.value(["slow", "quick", []], { ...to, replyTo: 4002 });
  await other.next((m) => m.handle === 4002 && !m.isDead);
  assert(!other.received.some((m) => m.handle === 4001));
  assertEquals(
    log.map((r) => r.message.match(/\((.*?)[,:]/)?.[1]),
    [
      "too many calls of services at once",
      "handler 110 failed",
      "bad auth 0",
    ],
  );
});

Deno.test("a call of a service cannot be in a chain, and needs a context that is there", async () => {
  await using _ = await noLeaks();
  const router = new Router(quiet);
  const context = await router.local();
  const { CallChain } = await import("../mod.ts");
  using chain = new CallChain(context);
  await assertRejects(
    () => context.with({ chain }).service<Anything>("x").run!(),
    TypeError,
    "in a chain",
  );
  const controller = new AbortController();
  controller.abort(new Error("too late"));
  await assertRejects(
    () =>
      context.with({ signal: controller.signal }).service<Anything>("x").run!(),
    Error,
    "too late",
  );
  await router.shutdown();
  await assertRejects(
    () => context.service<Anything>("x").run!(),
    DisconnectedError,
  );
  assertThrows(() => context.service<Anything>("x").then!(), TypeError);
});

Deno.test("a call that is given up while its service is being made does not run", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const context = await router.local();
  const service = (options: CallOptions) =>
    context.with(options).service("slow", { activate: there.slow });
  const controller = new AbortController();
  // The first comes while what a context needs to serve is on its way to it.
  const early = new AbortController();
  const first = service({ signal: early.signal }).run("early");
  await Promise.race([context.call(Math.max, 1), first]);
  early.abort(new Error("too slow"));
  await assertRejects(() => first, Error, "too slow");
  const wanted = service({}).run("wanted");
  await context.call(there.slowBegins);
  const calls = [
    service({ signal: controller.signal }).run("cancelled"),
    service({ timeout: 10 }).run("late"),
  ].map((call) => assertRejects(() => call));
  // And one whose caller is lost meanwhile.
  const folder = await Deno.makeTempDir();
  const listener = await router.listen(`${folder}/tree`);
  const joined = await connectUnix(listener.path, quiet);
  const [seen] = joined.contexts();
  const lost = assertRejects(
    () => seen!.service("slow", { activate: there.slow }).run("lost"),
    DisconnectedError,
  );
  await seen!.ping();
  await joined.shutdown();
  // It knows then that they are gone.
  await listener.close();
  controller.abort();
  await Promise.all([...calls, lost]);
  await context.ping();
  await context.call(there.makeSlow);
  await wanted;
  assertEquals(await service({}).ran(), ["wanted"]);
  await Deno.remove(folder, { recursive: true });
});
