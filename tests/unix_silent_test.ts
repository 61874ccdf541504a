/** Programs that have joined and say nothing any more, and listeners that do not. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { createServer } from "node:net";
import { connectUnix, DisconnectedError, Router } from "../mod.ts";
import { newKey } from "../parent/mod.ts";
import { goneWithin, noLeaks } from "./fixtures/leaks.ts";
import { place, quiet, refused, start } from "./fixtures/joiners.ts";
import {
  counting,
  made,
  untilAborted,
  whyAborted,
} from "./fixtures/working.ts";

const SOON = { keepaliveInterval: 0.1, keepaliveCount: 3 };

Deno.test("a listener that stands still is found, and what was called there ends", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  const program = start("listening.ts", folder.socket);
  const pid = Number(await program.line());
  const joined = await connectUnix(folder.socket, { ...quiet, ...SOON });
  const [context] = joined.contexts();
  // What is idle is not silent.
  await new Promise((resolve) => setTimeout(resolve, 700));
  assertEquals(await context!.call(() => 1), 1);
  program.process.kill("SIGSTOP");
  await assertRejects(() => context!.call(() => 1), DisconnectedError);
  const { kind, message } = await joined.left;
  assertEquals([kind, message], ["timeout", "it was silent for 0.4 seconds"]);
  await joined.shutdown();
  await program.kill();
  await goneWithin(pid, 2000);
});

Deno.test("a program that has joined and stands still is let go, with what it had", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  await using router = new Router(quiet);
  const context = await router.local();
  const before = router.childLinks().length;
  await router.listen(folder.socket);
  const program = start("joining.ts", folder.socket, JSON.stringify(SOON));
  assertEquals(await program.line(), "in");
  assertEquals(router.childLinks().length, before + 1);
  program.process.kill("SIGSTOP");
  while (await context.call(whyAborted) === "running") await context.ping();
  assertEquals(await context.call(whyAborted), "DisconnectedError");
  assertEquals(router.childLinks().length, before);
  program.process.kill("SIGCONT");
  assertEquals(await program.line(), "out: the connection ended");
  await program.process.status;
});

Deno.test("one that computes is not taken for lost, on either side", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  await using router = new Router(quiet);
  await router.local();
  await router.listen(folder.socket);
  const program = start("joining.ts", folder.socket, JSON.stringify(SOON));
  assertEquals(await program.line(), "in");
  const before = router.childLinks().length;
  // This program, which listens.
  for (const end = Date.now() + 1500; Date.now() < end;);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assertEquals(router.childLinks().length, before);
  const busy = start("computing.ts", folder.socket, JSON.stringify(SOON));
  assertEquals(await busy.line(), "in");
  assertEquals(await busy.line(), "still in");
  await Promise.all([busy.kill(), program.kill()]);
});

Deno.test("a keepalive that is none is refused", async () => {
  await using folder = await place();
  await using router = new Router(quiet);
  await router.listen(folder.socket);
  for (
    const options of [{ keepaliveInterval: -1 }, { keepaliveCount: 0 }]
  ) {
    await assertRejects(
      () => connectUnix(folder.socket, options),
      RangeError,
      "Cannot join: keepalive",
    );
  }
  await using joined = await connectUnix(folder.socket, {
    ...quiet,
    keepaliveInterval: 0,
  });
  assertEquals(joined.contexts(), []);
});

Deno.test("a listener that says welcome and no more keeps nobody waiting", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  await Deno.writeTextFile(`${folder.socket}.key`, newKey(), { mode: 0o600 });
  const config = { id: 5, path: "master/unix.4", parentIds: [0], ids: [6, 9] };
  const server = createServer((socket) => {
    socket.on("data", () => {}).on("error", () => {});
    socket.on("end", () => socket.end());
    socket.write(JSON.stringify({ config }) + "\n");
  });
  await new Promise<void>((resolve) => server.listen(folder.socket, resolve));
  await Deno.chmod(folder.socket, 0o600);
  await refused(
    connectUnix(folder.socket, { connectTimeout: 300 }),
    "timeout",
    /not in after 300 ms/,
  );
  const controller = new AbortController();
  const joining = connectUnix(folder.socket, { signal: controller.signal });
  setTimeout(() => controller.abort(new Error("enough")), 300);
  await refused(joining, "cancelled", /enough/);
  await refused(
    connectUnix(folder.socket, SOON),
    "eof",
    /silent for 0.4 seconds/,
  );
  await new Promise((resolve) => server.close(resolve));
});

Deno.test("what a stopped program had does not outlive the listener", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  await using router = new Router(quiet);
  const context = await router.local();
  const listener = await router.listen(folder.socket);
  const program = start("opening.ts", folder.socket);
  const own = Number(await program.line());
  assertEquals(router.contexts().map(({ path }) => path), [
    context.path,
    "master/unix.1/mine",
  ]);
  const [, mine] = router.contexts();
  program.process.kill("SIGSTOP");
  await listener.close();
  assertEquals(router.contexts(), [context]);
  assertEquals((await mine!.closed).kind, "route");
  while (await context.call(whyAborted) === "running") await context.ping();
  assertEquals(await context.call(whyAborted), "DisconnectedError");
  await program.kill();
  await goneWithin(own, 2000);
});

Deno.test("deadlines are kept while a listener stands still, and what was late never runs", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  const program = start("listening.ts", folder.socket);
  const pid = Number(await program.line());
  const joined = await connectUnix(folder.socket, quiet);
  const [context] = joined.contexts();
  program.process.kill("SIGSTOP");
  const late = async (promise: Promise<unknown>) => {
    const begin = performance.now();
    const error = await assertRejects(() => promise, DOMException);
    assertEquals(error.name, "TimeoutError");
    const took = performance.now() - begin;
    assert(took > 290 && took < 2000, `${took} ms`);
    return error.message;
  };
  const limited = context!.with({ timeout: 300 });
  const signal = () => ({ signal: AbortSignal.timeout(300) });
  const why = `Cannot wait longer for ${
    context!.path
  }: the call took more than 300 ms`;
  assertEquals(
    await Promise.all([
      late(limited.call(untilAborted)),
      late(limited.call(() => 1)),
      late(
        limited.service<{ run(): void }>("made", { activate: made }).run(),
      ),
      late(limited.import(import.meta.resolve("./fixtures/working.ts"))),
    ]),
    [why, why, why, why],
  );
  await Promise.all([
    late(context!.with(signal()).call(untilAborted)),
    late(context!.with(signal()).import(import.meta.resolve("../mod.ts"))),
    refused(
      joined.local({ connectTimeout: 300 }),
      "timeout",
      /Cannot connect: master has not answered for 300 ms/,
    ),
    refused(
      joined.local({ via: context!, connectTimeout: 300 }),
      "timeout",
      /has not answered for 300 ms/,
    ),
    refused(joined.local(signal()), "cancelled", /Cannot connect: cancelled/),
  ]);
  program.process.kill("SIGCONT");
  await context!.ping();
  assertEquals(await context!.call(whyAborted), "no");
  // What is in time is not held up, and its result goes on by itself.
  const stream = await context!.with({ timeout: 2000 }).call(counting, 3);
  assertEquals(await Array.fromAsync(stream), [0, 1, 2]);
  const opened = await joined.local({ connectTimeout: 10_000 });
  await opened.shutdown();
  await joined.shutdown();
  await program.kill();
  await goneWithin(pid, 2000);
});
