/** Programs that have joined a tree, and what ends them. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { connectUnix, DisconnectedError, Router } from "../mod.ts";
import { newKey } from "../parent/mod.ts";
import { goneWithin, noLeaks } from "./fixtures/leaks.ts";
import { untilAborted, whyAborted } from "./fixtures/working.ts";

import {
  HERE,
  names,
  place,
  quiet,
  refused,
  start,
} from "./fixtures/joiners.ts";

/** What a program says that is let go. */
const LET_GO = "out: the context that it joined let it go";

Deno.test("joining can be given up, and takes only so long", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  // Somebody of ours who never speaks.
  const listener = Deno.listen({ transport: "unix", path: folder.socket });
  await Deno.chmod(folder.socket, 0o600);
  await Deno.writeTextFile(`${folder.socket}.key`, newKey(), { mode: 0o600 });
  await refused(
    connectUnix(folder.socket, { connectTimeout: 50 }),
    "timeout",
    /not in after 50 ms/,
  );
  const controller = new AbortController();
  const joining = connectUnix(folder.socket, { signal: controller.signal });
  controller.abort(new Error("enough"));
  await refused(joining, "cancelled", /enough/);
  await refused(
    connectUnix(folder.socket, { signal: AbortSignal.abort("before") }),
    "cancelled",
    /before/,
  );
  listener.close();
});

Deno.test("kill -9 of a program that joined ends what it ran, and nothing else", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  await using router = new Router(quiet);
  const context = await router.local();
  await router.listen(folder.socket);
  await using stays = await connectUnix(folder.socket, quiet);
  const before = [router.handlers.size, router.childLinks().length];
  const program = start("joining.ts", folder.socket);
  assertEquals(await program.line(), "in");
  assertEquals(router.childLinks().length, before[1]! + 1);
  assertEquals(await context.call(whyAborted), "running");
  await program.kill();
  while (await context.call(whyAborted) === "running") await context.ping();
  assertEquals(await context.call(whyAborted), "DisconnectedError");
  assertEquals([router.handlers.size, router.childLinks().length], before);
  assertEquals(await stays.contexts()[0]!.call(() => 1), 1);
});

Deno.test("kill -9 of the program that listens: whoever joined is told, and goes on", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  const program = start("listening.ts", folder.socket);
  const pid = Number(await program.line());
  const joined = await connectUnix(folder.socket, quiet);
  const [context] = joined.contexts();
  const call = assertRejects(
    () => context!.call(untilAborted),
    DisconnectedError,
  );
  while (await context!.call(whyAborted) !== "running");
  await program.kill();
  assertEquals((await call).path, context!.path);
  assertEquals((await joined.left).kind, "eof");
  assertEquals((await context!.closed).kind, "route");
  assertEquals(joined.contexts(), []);
  await assertRejects(() => context!.call(() => 1), DisconnectedError);
  await joined.shutdown();
  await goneWithin(pid, 2000);
  // What it left behind is in nobody's way.
  assertEquals(names(folder.path), ["tree", "tree.key"]);
  await refused(
    connectUnix(folder.socket),
    "not-found",
    /nobody listens there any more/,
  );
  await using router = new Router(quiet);
  await router.listen(folder.socket);
  await using again = await connectUnix(folder.socket, quiet);
  assertEquals(again.contexts(), []);
});

Deno.test("the end of the tree is told to whoever joined, and they end cleanly", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  const router = new Router(quiet);
  await router.local();
  const listener = await router.listen(folder.socket);
  const program = start("joining.ts", folder.socket);
  assertEquals(await program.line(), "in");
  await listener.close();
  assertEquals(await program.line(), LET_GO);
  assertEquals((await program.process.status).code, 0);
  await router.listen(folder.socket);
  const second = start("joining.ts", folder.socket);
  assertEquals(await second.line(), "in");
  await router.shutdown();
  assertEquals(await second.line(), LET_GO);
  assertEquals((await second.process.status).code, 0);
  assertEquals(names(folder.path), []);
});

Deno.test("a program that stands still holds nobody up, on either side", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  const router = new Router(quiet);
  await router.local();
  const listener = await router.listen(folder.socket);
  const stopped = start("joining.ts", folder.socket);
  assertEquals(await stopped.line(), "in");
  stopped.process.kill("SIGSTOP");
  let begin = performance.now();
  await Promise.all([listener.close(), router.shutdown()]);
  assert(performance.now() - begin < 2500);
  stopped.process.kill("SIGCONT");
  assertEquals(await stopped.line(), LET_GO);
  await stopped.process.status;

  const program = start("listening.ts", folder.socket);
  const pid = Number(await program.line());
  const joined = await connectUnix(folder.socket, quiet);
  program.process.kill("SIGSTOP");
  const call = assertRejects(
    () => joined.contexts()[0]!.call(() => 1),
    DisconnectedError,
  );
  begin = performance.now();
  await joined.shutdown();
  await call;
  assert(performance.now() - begin < 2500);
  await program.kill();
  await goneWithin(pid, 2000);
});

Deno.test("the tree runs one version of a module: that of who called it first", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  await using router = new Router(quiet);
  const context = await router.local();
  await router.listen(folder.socket);
  const file = join(folder.path, "version.ts");
  const write = (n: number) =>
    Deno.writeTextFile(file, `export function version() { return ${n}; }\n`);
  await write(1);
  const { version } = await import(file);
  assertEquals(await context.call(version), 1);
  const ask = async () => {
    const program = join(folder.path, "ask.ts");
    await Deno.writeTextFile(
      program,
      `
      import { connectUnix } from ${
        JSON.stringify(import.meta.resolve("../mod.ts"))
      };
      import { version } from "./version.ts";
      await using router = await connectUnix(${JSON.stringify(folder.socket)});
      console.log(await router.contexts()[0].call(version).catch(String));
      `,
    );
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--config",
        join(HERE, "../..", "deno.json"),
        program,
      ],
    }).output();
    return new TextDecoder().decode(stdout).trim();
  };
  assertEquals(await ask(), "1");
  await write(2);
  assertMatch(
    await ask(),
    /Cannot call anything of file:.*version\.ts: the tree has another version of it/,
  );
  assertEquals(await context.call(version), 1);
});
