/** A peer that says nothing any more is found, and one that only computes is not. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ConnectError, DisconnectedError, Router } from "../mod.ts";
import { goneWithin, noLeaks } from "./fixtures/leaks.ts";
import { lines } from "./fixtures/programs.ts";
import { openWire } from "./fixtures/wire.ts";

const SOON = { keepaliveInterval: 0.05, keepaliveCount: 3 };

Deno.test("a stopped process is found, and its calls and streams end", async () => {
  await using _ = await noLeaks();
  await using router = new Router({ onLog() {} });
  const context = await router.local(SOON);
  const pid = await context.call(() => Deno.pid);
  const call = assertRejects(
    () => context.call(() => new Promise(() => {})),
    DisconnectedError,
    "silent for 0.2 seconds",
  );
  const stream = await context.call(() =>
    new ReadableStream<number>({
      pull: (controller) => controller.enqueue(1),
    }, { highWaterMark: 0 })
  );
  const reader = stream.getReader();
  await reader.read();
  // What is idle is not silent.
  await new Promise((resolve) => setTimeout(resolve, 500));
  assertEquals(context.closeReason, undefined);
  Deno.kill(pid, "SIGSTOP");
  await call;
  assertEquals((await context.closed).kind, "timeout");
  await assertRejects(async () => {
    for (;;) await reader.read();
  }, DisconnectedError);
  await goneWithin(pid, 1000);
});

Deno.test("a stopped hop in the middle of a transfer ends it on both sides", async () => {
  await using _ = await noLeaks();
  await using router = new Router({ onLog() {} });
  const hop = await router.local(SOON);
  const last = await router.local({ via: hop, ...SOON });
  const [first, second] = [
    await hop.call(() => Deno.pid),
    await last.call(() => Deno.pid),
  ];
  const cancelled = Promise.withResolvers<unknown>();
  const started = Promise.withResolvers<void>();
  let chunks = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(new Uint8Array(100_000));
      if (++chunks === 100) started.resolve();
    },
    cancel: (reason) => cancelled.resolve(reason),
  });
  const call = last.call(async (stream: ReadableStream<Uint8Array>) => {
    for await (const _ of stream);
  }, endless);
  const failed = assertRejects(() => call, DisconnectedError);
  await started.promise;
  Deno.kill(first, "SIGSTOP");
  assertEquals((await hop.closed).kind, "timeout");
  const { reason } = await failed;
  assertEquals(reason.kind, "route");
  assert(await cancelled.promise instanceof DisconnectedError);
  await Promise.all([goneWithin(first, 1000), goneWithin(second, 3000)]);
});

Deno.test("a process of this machine that computes is not taken for dead", async () => {
  await using _ = await noLeaks();
  await using router = new Router({ onLog() {} });
  const context = await router.local(SOON);
  const sum = await context.call(() => {
    let sum = 0;
    for (const end = Date.now() + 1000; Date.now() < end;) sum++;
    return sum;
  });
  assert(sum > 0);
});

Deno.test("one that speaks and never reads is found", async () => {
  await using router = new Router({ onLog() {} });
  const wire = await openWire(router, (transport) => ({
    start: (events) => transport.start(events),
    write: () => new Promise(() => {}),
    close: () => transport.close(),
  }));
  wire.link.keepAlive({ interval: 50, count: 2 });
  const talking = setInterval(
    () => wire.value("still here", { handle: 99 }),
    10,
  );
  const { kind, message } = await wire.context.closed;
  clearInterval(talking);
  assertEquals(kind, "timeout");
  assert(message.includes("has not read"), message);
});

Deno.test("leaving an iteration that looks at no signal ends all the same", async () => {
  await using _ = await noLeaks();
  await using router = new Router({ onLog() {} });
  const context = await router.local();
  const events = await context.call(async function* () {
    yield 1;
    await new Promise(() => {});
  });
  for await (const event of events) {
    assertEquals(event, 1);
    break;
  }
});

Deno.test("a context of this machine does not take one that computes for dead", async () => {
  await using _ = await noLeaks();
  await using router = new Router({ onLog() {} });
  const options = { keepaliveInterval: 0.02, keepaliveCount: 1 };
  const hop = await router.local();
  const context = await router.local({ via: hop, ...options });
  await hop.call(() => {
    for (const end = Date.now() + 1000; Date.now() < end;);
  });
  assertEquals(await context.call(() => 1), 1);
});

Deno.test({
  name: "a context whose master is silent for long enough ends by itself",
  // It becomes root again, which takes no password.
  ignore: Deno.uid() !== 0,
  fn: silentMaster,
});

async function silentMaster(): Promise<void> {
  const master = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      new URL("fixtures/silent.ts", import.meta.url).pathname,
    ],
    stdout: "piped",
  }).spawn();
  const output = lines(master.stdout);
  const pid = Number((await output.next()).value);
  master.kill("SIGSTOP");
  await goneWithin(pid, 5000);
  master.kill("SIGKILL");
  await master.status;
  await output.return(undefined);
}

Deno.test("a stopped hop does not hold up who opens a context behind it", async () => {
  await using _ = await noLeaks();
  await using router = new Router({ onLog() {} });
  const hop = await router.local();
  const pid = await hop.call(() => Deno.pid);
  Deno.kill(pid, "SIGSTOP");
  const error = await assertRejects(
    () => router.local({ via: hop, connectTimeout: 300 }),
    ConnectError,
    `Cannot connect: ${hop.path} has not answered for 300 ms`,
  );
  assertEquals(error.kind, "timeout");
  Deno.kill(pid, "SIGCONT");
  await hop.ping();
  await using last = await router.local({ via: hop });
  assertEquals(await last.call(Math.max, 1, 2), 2);
});

Deno.test("what is no keepalive is refused", async () => {
  await using router = new Router({ onLog() {} });
  for (
    const options of [
      { keepaliveInterval: -1 },
      { keepaliveInterval: NaN },
      { keepaliveCount: 0 },
      { keepaliveCount: 1.5 },
    ]
  ) {
    await assertRejects(() => router.local(options), RangeError, "keepalive");
  }
  await using context = await router.local({ keepaliveInterval: 0 });
  assertEquals(await context.call(Math.max, 1, 2), 2);
});
