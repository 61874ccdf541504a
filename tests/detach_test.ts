/** Contexts that outlive their master, and those that must not. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { dirname, fromFileUrl, join } from "@std/path";
import {
  ChannelError,
  type CloseReason,
  connectUnix,
  DisconnectedError,
  Router,
} from "../mod.ts";
import { Handle } from "../core/mod.ts";
import { alive, goneWithin, noLeaks } from "./fixtures/leaks.ts";
import { lines, makeFolder } from "./fixtures/programs.ts";
import { startSshd } from "./fixtures/sshd.ts";
import { alone, leave, leaveFor } from "./fixtures/staying.ts";
import { makeUser } from "./fixtures/users.ts";
import { openWire } from "./fixtures/wire.ts";

const quiet = { onLog() {} };
const ignore = Deno.uid() !== 0;
const HERE = dirname(fromFileUrl(import.meta.url));

/** Runs a master that leaves a context behind; answers the pids of what stays. */
async function leaving(
  end: "shutdown" | "killed",
  folder: string,
  ...ssh: string[]
): Promise<{ pids: number[]; reason: CloseReason | undefined }> {
  const master = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      join(HERE, "fixtures/leaving.ts"),
      end,
      folder,
      ...ssh,
    ],
    cwd: HERE,
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const output = lines(master.stdout);
  const pids: number[] = JSON.parse((await output.next()).value as string);
  let reason: CloseReason | undefined;
  if (end === "killed") master.kill("SIGKILL");
  else reason = JSON.parse((await output.next()).value as string);
  await master.status;
  await output.return(undefined);
  return { pids, reason };
}

/** Joins at what was left behind, looks at it, and ends it. */
async function visit(folder: string, pids: number[]): Promise<void> {
  try {
    await visited(folder, pids);
  } finally {
    for (const pid of pids) if (alive(pid)) Deno.kill(pid, "SIGKILL");
  }
}

async function visited(folder: string, pids: number[]): Promise<void> {
  assert(pids.every(alive));
  const [pid, child] = pids;
  // A terminal that hangs up is no reason to end.
  Deno.kill(pid!, "SIGHUP");
  const joined = await connectUnix(join(folder, "tree"), quiet);
  const [context, below] = joined.contexts();
  assertEquals(await context!.call(() => Deno.pid), pid);
  assertEquals(await below!.call(() => Deno.pid), child);
  assertEquals(
    await context!.call(alone),
    [
      42,
      "DisconnectedError",
      "DisconnectedError",
      "DisconnectedError",
    ],
  );
  const another = await joined.local();
  assertEquals(await another.call(() => 1), 1);
  await context!.shutdown();
  await joined.left;
  await joined.shutdown();
  await Promise.all(pids.map((pid) => goneWithin(pid, 2000)));
  const log = await Deno.readTextFile(join(folder, "log"));
  for (
    const [path, line] of [
      ["", "printed before"],
      ["", "printed after"],
      ["", "from a program"],
      ["", "and its errors"],
      ["/worker.1", "from a worker"],
      ["/local.1", "from below"],
    ]
  ) {
    const who = context!.path + path;
    assertMatch(
      log,
      new RegExp(`^\\S+Z info ${who} std(out|err|io): ${line}$`, "m"),
    );
  }
  assertEquals(Deno.statSync(join(folder, "log")).mode! & 0o777, 0o600);
  const left = [...Deno.readDirSync(folder)].map(({ name }) => name);
  assertEquals(left, ["log"]);
}

async function privateFolder() {
  const folder = await makeFolder();
  await Deno.chmod(folder.path, 0o700);
  return folder;
}

Deno.test("a context that was detached outlives the shutdown of its master", async () => {
  await using _ = await noLeaks();
  await using folder = await privateFolder();
  const { pids, reason } = await leaving("shutdown", folder.path);
  assertEquals(reason, {
    kind: "detached",
    message: "it goes on without its parent",
  });
  await visit(folder.path, pids);
});

Deno.test("a context that was detached outlives kill -9 of its master", async () => {
  await using _ = await noLeaks();
  await using folder = await privateFolder();
  const { pids } = await leaving("killed", folder.path);
  await visit(folder.path, pids);
});

Deno.test("an error that ends a detached context is the last thing in its log", async () => {
  await using _ = await noLeaks();
  await using folder = await privateFolder();
  const { pids } = await leaving("killed", folder.path);
  await using joined = await connectUnix(join(folder.path, "tree"), quiet);
  const call = joined.listener.call(() => {
    Promise.reject(new TypeError("nobody caught this"));
    return new Promise(() => {});
  });
  await assertRejects(() => call, DisconnectedError);
  await Promise.all(pids.map((pid) => goneWithin(pid, 2000)));
  const log = await Deno.readTextFile(join(folder.path, "log"));
  assertMatch(
    log,
    /error \S+ mitogen: unhandledrejection: TypeError: nobody c/,
  );
});

Deno.test({
  name: "a context that was detached over ssh outlives its master and the ssh",
  ignore,
  async fn(t) {
    await using _ = await noLeaks();
    await using sshd = await startSshd();
    const options = JSON.stringify({
      hostname: sshd.host,
      port: sshd.port,
      username: sshd.user,
      sshArgs: sshd.sshArgs,
      deno: { path: Deno.execPath() },
    });
    for (const end of ["shutdown", "killed"] as const) {
      await t.step(end, async () => {
        await using folder = await privateFolder();
        const { pids, reason } = await leaving(end, folder.path, options);
        assertEquals(reason?.kind, end === "killed" ? undefined : "detached");
        await visit(folder.path, pids);
      });
    }
  },
});

/** A program leaves a context to its work; answers what that has written. */
async function leftToWork(
  folder: string,
  open: string,
): Promise<[reason: string, call: string, aborted: boolean, path: string]> {
  const file = join(folder, "done");
  const program = join(folder, "program.ts");
  const modules = ["../mod.ts", "./fixtures/staying.ts"].map((file) =>
    JSON.stringify(import.meta.resolve(file))
  );
  await Deno.writeTextFile(
    program,
    `
    import { Router } from ${modules[0]};
    import { finish } from ${modules[1]};
    await using router = new Router({ onLog() {} });
    const context = await router.${open};
    console.log(await context.call(finish, ${JSON.stringify(file)}));
    `,
  );
  const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--config", join(HERE, "../deno.json"), program],
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  await goneWithin(Number(new TextDecoder().decode(stdout)), 3000);
  return JSON.parse(await Deno.readTextFile(file));
}

Deno.test("with nothing left to do it ends by itself, and nobody had to wait", async () => {
  await using _ = await noLeaks();
  await using folder = await privateFolder();
  assertEquals(await leftToWork(folder.path, "local()"), [
    "detached",
    "DisconnectedError",
    false,
    "master/local.1",
  ]);
});

Deno.test({
  name: "another user's context outlives its master too",
  ignore,
  async fn() {
    await using _ = await noLeaks();
    await using user = await makeUser("mitogen-detach", "/bin/sh");
    await using folder = await makeFolder();
    // Where that user may write.
    await Deno.chmod(folder.path, 0o777);
    const open = `sudo({ username: "${user.name}" })`;
    assertEquals(await leftToWork(folder.path, open), [
      "detached",
      "DisconnectedError",
      false,
      `master/sudo.${user.name}`,
    ]);
  },
});

Deno.test("until its parent is gone it is part of the tree, and can be shut down", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  for (const via of [undefined, await router.local()]) {
    const context = await router.local(via ? { via } : {});
    assertEquals(await context.call(leave), "let go");
    assertEquals(await context.call(leave), "let go");
    assertEquals(router.contexts().includes(context), true);
    const pid = await context.call(() => Deno.pid);
    await context.shutdown();
    assertEquals((await context.closed).kind, "shutdown");
    await goneWithin(pid, 2000);
  }
});

Deno.test("the end of a detached context is told as it was", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const context = await router.local();
  assertEquals(await context.call(leave), "let go");
  const call = assertRejects(
    () => context.call(() => new Promise(() => {})),
    DisconnectedError,
  );
  Deno.kill(await context.call(() => Deno.pid), "SIGKILL");
  assertEquals((await call).reason.signal, "SIGKILL");
});

Deno.test("a Worker, and a context that may not start programs, end with their parent", async () => {
  await using _ = await noLeaks();
  const router = new Router(quiet);
  const worker = await router.worker();
  assertMatch(await worker.call(leave), /TypeError: .* a Worker ends with its/);
  const bare = await router.local({ permissions: "none" });
  assertMatch(
    await bare.call(leave),
    /ChannelError: .*it may not start programs, so it may not outlive/,
  );
  const some = await router.local({ permissions: { run: ["ls"] } });
  assertMatch(await some.call(leave), /ChannelError/);
  const hop = await router.local();
  const below = await router.local({ via: hop, permissions: "none" });
  assertMatch(await hop.call(leaveFor, below), /ChannelError/);
  await router.shutdown();
  const kinds = [worker, bare, some, below].map((c) => c.closeReason?.kind);
  assertEquals(kinds, ["shutdown", "shutdown", "shutdown", "shutdown"]);
});

Deno.test("nobody is let go by somebody else, and a place for the log that is not there changes nothing", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const wire = await openWire(router);
  const ask = (replyTo: number, fields: { srcId?: number }) => {
    wire.value(undefined, {
      dstId: 0,
      handle: Handle.DETACHING,
      replyTo,
      ...fields,
    });
  };
  ask(2000, {});
  const own = await wire.next((m) => m.handle === 2000);
  assertMatch(own.text, /it may not outlive its parent/);
  // A context behind it, which it was given the id of.
  const [id] = wire.ids;
  wire.value([id, `${wire.context.path}/x`], {
    dstId: 0,
    handle: Handle.ADD_ROUTE,
  });
  ask(2001, { srcId: id });
  const other = await wire.next((m) => m.handle === 2001);
  assertEquals(other.text, "refused by policy");
  const context = await router.local();
  assertMatch(await context.call(leave, "/nowhere/at/all"), /NotFound/);
  const pid = await context.call(() => Deno.pid);
  await router.shutdown();
  await goneWithin(pid, 100);
  await assertRejects(() => context.call(() => 1), ChannelError);
});
