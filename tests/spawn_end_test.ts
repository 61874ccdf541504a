/** How programs in contexts end, and who is told what of it. */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
} from "@std/assert";
import {
  type Context,
  DisconnectedError,
  type LogRecord,
  type RemoteProcess,
  Router,
} from "../mod.ts";
import { alive, goneWithin, noLeaks } from "./fixtures/leaks.ts";

const utf8 = new TextEncoder();

/** What `kill` and `Deno.Command` call it. */
const TERMINATED = { success: false, code: 143, signal: "SIGTERM" } as const;
const KILLED = { success: false, code: 137, signal: "SIGKILL" } as const;

async function sh(context: Context, script: string, ...args: string[]) {
  return await context.spawn("sh", { args: ["-c", script, "sh", ...args] });
}

/** The first that a process prints. */
async function firstOf({ stdout }: RemoteProcess): Promise<string> {
  const reader = stdout.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  return new TextDecoder().decode(value);
}

/** A context in which programs are run, and how it is opened. */
const WAYS: [name: string, open: (router: Router) => Promise<Context>][] = [
  ["local", (router) => router.local()],
  [
    "local via local",
    async (router) => await router.local({ via: await router.local() }),
  ],
  ["worker", (router) => router.worker()],
  [
    "worker via local",
    async (router) => await router.worker({ via: await router.local() }),
  ],
];

for (const [way, open] of WAYS) {
  Deno.test(`the end of a process in ${way}`, async (t) => {
    await using _leaks = await noLeaks();
    const records: LogRecord[] = [];
    await using router = new Router({
      onLog: (record) => records.push(record),
    });
    const context = await open(router);

    await t.step("leaving the lines is told by the status", async () => {
      const yes = await context.spawn("yes");
      for await (const _ of yes.lines()) break;
      assertEquals(await yes.status, TERMINATED);
      // Both outputs, of which one was not asked for.
      const both = await sh(context, "yes >&2 & exec yes");
      for await (const _ of both.lines()) break;
      assertEquals(await both.status, TERMINATED);
      // Left by what happens in the loop.
      const other = await context.spawn("yes");
      await assertRejects(
        async () => {
          for await (const _ of other.lines()) throw new RangeError("enough");
        },
        RangeError,
        "enough",
      );
      assertEquals(await other.status, TERMINATED);
    });

    await t.step("disposal is told by the status", async () => {
      const sleep = await context.spawn("sleep", { args: ["1000"] });
      const { status } = sleep;
      await Promise.all([
        sleep[Symbol.asyncDispose](),
        sleep[Symbol.asyncDispose](),
      ]);
      assertEquals(await status, TERMINATED);
      assert(!alive(sleep.pid));
      await sleep[Symbol.asyncDispose]();
      await sleep.kill();
      assertEquals(await sleep.status, TERMINATED);
      let left: Promise<Deno.CommandStatus>;
      {
        await using stubborn = await sh(
          context,
          "trap '' TERM; echo; while :; do sleep 1000; done",
        );
        await firstOf(stubborn);
        left = stubborn.status;
      }
      assertEquals(await left, KILLED);
      // The end of its input is not what ends it.
      const cat = await context.spawn("cat", { stdin: "piped" });
      await cat[Symbol.asyncDispose]();
      assertEquals(await cat.status, TERMINATED);
      // Who reads and writes it meanwhile, hears of it.
      const busy = await context.spawn("cat", { stdin: "piped" });
      const reader = busy.stdout.getReader();
      const writer = busy.stdin.getWriter();
      const closed = assertRejects(() => writer.closed);
      const read = reader.read();
      await busy[Symbol.asyncDispose]();
      assertEquals(await busy.status, TERMINATED);
      await closed;
      assertEquals((await read).done, true);
    });

    await t.step("a process that has ended keeps its status", async () => {
      const process = await sh(context, "exit 7");
      assertEquals((await process.status).code, 7);
      await process[Symbol.asyncDispose]();
      assertEquals((await process.status).code, 7);
      // What it says at the end is its own.
      const polite = await sh(
        context,
        "trap 'echo at the end >&2; exit 9' TERM; echo; while :; do sleep 0.01; done",
      );
      await firstOf(polite);
      await polite[Symbol.asyncDispose]();
      assertEquals((await polite.status).code, 9);
    });

    await t.step(
      "a write that nobody reads ends with the process",
      async () => {
        // Another program holds its input.
        const script =
          "exec 3<&0; sleep 1000 <&3 >&- 2>&- & echo $!; read -r line";
        const input = utf8.encode("\n".repeat(3_000_000));
        const process = await context.spawn("sh", {
          args: ["-c", script],
          stdin: "piped",
        });
        const sleep = Number(await firstOf(process));
        const writer = process.stdin.getWriter();
        const written = assertRejects(() => writer.write(input));
        const closed = assertRejects(() => writer.closed);
        assert((await process.status).success);
        await Promise.all([written, closed]);
        assert(alive(sleep));
        Deno.kill(sleep, "SIGKILL");
        // The same for a stream that it was given.
        const cancelled = Promise.withResolvers<void>();
        const other = await context.spawn("sh", {
          args: ["-c", script],
          stdin: new ReadableStream<Uint8Array>({
            pull: (controller) => controller.enqueue(input),
            cancel: () => cancelled.resolve(),
          }),
        });
        Deno.kill(Number(await other.text()), "SIGKILL");
        await cancelled.promise;
      },
    );

    await t.step("each output is logged as what it is", async () => {
      records.length = 0;
      const process = await context.spawn("sh", {
        args: ["-c", "echo one; echo two >&2; printf three; printf four >&2"],
        stdout: "log",
        stderr: "log",
      });
      assert((await process.status).success);
      // All of it is there before the status.
      const seen = records.map(({ logger, level, message, path }) =>
        `${path} ${level} ${logger}: ${message}`
      );
      assertEquals(seen.sort(), [
        `${context.path} info stderr: four`,
        `${context.path} info stderr: two`,
        `${context.path} info stdout: one`,
        `${context.path} info stdout: three`,
      ]);
      // What it has started goes on to print, and nobody waits for that.
      records.length = 0;
      const parent = await context.spawn("sh", {
        args: [
          "-c",
          'seq 20000; (yes "$1" >&2 & echo $!) | cat',
          "sh",
          "y".repeat(10_000),
        ],
        stdout: "log",
        stderr: "log",
      });
      assert((await parent.status).success);
      const out = records.filter(({ logger }) => logger === "stdout");
      // A line that is late in coming is given out in two.
      const printed = out.map(({ message }) => message).join("");
      const numbers = Array.from({ length: 20_000 }, (_, i) => i + 1).join("");
      assert(printed.startsWith(numbers));
      Deno.kill(Number(printed.slice(numbers.length)), "SIGKILL");
      // Of one that prints without an end, no more is taken than is logged.
      const yes = await context.spawn("yes", {
        args: ["y".repeat(10_000)],
        stdout: "log",
      });
      await context.ping();
      await yes[Symbol.asyncDispose]();
      assertEquals(await yes.status, TERMINATED);
    });

    await t.step("the end of the context", async () => {
      records.length = 0;
      const sleep = await context.spawn("sleep", { args: ["1000"] });
      const process = await context.spawn("sh", {
        args: [
          "-c",
          // What it has piped is closed before it ends.
          "trap 'echo last words; exit' TERM; echo >&2; exec 2>&-; while :; do sleep 0.01; done",
        ],
        stdout: "log",
      });
      const reader = process.stderr.getReader();
      await reader.read();
      const unread = await sh(context, "echo; echo >&2; exec sleep 1000");
      const pending = [sleep.status, process.status, unread.status];
      const disposed = context.shutdown().then(() =>
        sleep[Symbol.asyncDispose]()
      );
      for (const status of pending) {
        assertInstanceOf(await assertRejects(() => status), DisconnectedError);
      }
      await disposed;
      await assertRejects(() => sleep.status, DisconnectedError);
      await assertRejects(() => sleep.kill(), DisconnectedError);
      await assertRejects(() => sleep.output(), TypeError, "was let go of");
      await assertRejects(() => unread.output(), DisconnectedError);
      assert(records.some(({ message }) => message === "last words"));
      await goneWithin(sleep.pid, 1000);
    });
  });
}

Deno.test("who waits for a process of a killed context is told", async () => {
  await using _leaks = await noLeaks();
  await using router = new Router({ onLog() {} });
  const context = await router.local();
  const sleep = await context.spawn("sleep", { args: ["1000"] });
  const yes = await context.spawn("yes");
  const pid = await context.call(() => Deno.pid);
  const pending = assertRejects(() => sleep.status, DisconnectedError);
  const lines = assertRejects(
    async () => {
      let killed = false;
      for await (const _ of yes.lines()) {
        if (!killed) Deno.kill(pid, "SIGKILL");
        killed = true;
      }
    },
    DisconnectedError,
  );
  await Promise.all([pending, lines, sleep[Symbol.asyncDispose]()]);
  await Promise.all([goneWithin(sleep.pid, 1000), goneWithin(yes.pid, 1000)]);
});

Deno.test("a context that may run one program can end it", async () => {
  await using _leaks = await noLeaks();
  await using router = new Router({ onLog() {} });
  const program = await Deno.realPath("/bin/sleep");
  const context = await router.local({ permissions: { run: [program] } });
  const killed = await context.spawn(program, { args: ["1000"] });
  await killed.kill("SIGINT");
  assertEquals((await killed.status).signal, "SIGINT");
  const disposed = await context.spawn(program, { args: ["1000"] });
  await disposed[Symbol.asyncDispose]();
  assertEquals(await disposed.status, TERMINATED);
  const left = await context.spawn(program, { args: ["1000"] });
  await context.shutdown();
  await goneWithin(left.pid, 1000);
});

/** Resolves when a process has nothing to do but wait. */
async function waits(pid: number): Promise<void> {
  for (let still = 0; still < 10;) {
    const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
    still = /\) S /.test(stat) ? still + 1 : 0;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

Deno.test("a terminal that nobody reads ends with what is in it", async () => {
  await using _leaks = await noLeaks();
  await using router = new Router({ onLog() {} });
  const context = await router.local();
  const controller = new AbortController();
  const { signal } = controller;
  const yes = await context.spawn("yes", { pty: true, signal });
  await waits(yes.pid);
  controller.abort();
  assert(!(await yes.status).success);
  await yes[Symbol.asyncDispose]();
  // Input without the end of a line is not ended by the end of the input.
  const cat = await context.spawn("cat", {
    pty: true,
    stdin: utf8.encode("no end"),
  });
  assertEquals(await firstOf(cat), "no end");
  await cat[Symbol.asyncDispose]();
  assertEquals((await cat.status).code, 143);
});
