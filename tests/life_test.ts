/** What happens when things break: nobody hangs, and nothing is left. */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
} from "@std/assert";
import {
  ConnectError,
  type Context,
  DisconnectedError,
  type RemoteProcess,
  Router,
} from "../mod.ts";
import { alive, goneWithin, noLeaks } from "./fixtures/leaks.ts";
import { until } from "./fixtures/stalling.ts";
import { lines } from "./fixtures/programs.ts";
import { untilCancelled } from "./fixtures/working.ts";
import { Watchdog } from "../parent/watchdog.ts";

const quiet = { onLog() {} };

function never(): Promise<never> {
  return new Promise(() => {});
}

async function lost(call: Promise<unknown>): Promise<DisconnectedError> {
  return await assertRejects(() => call, DisconnectedError);
}

/** Starts a program in a context that outlives its own call. */
async function sleeper(context: Context): Promise<number> {
  return await context.call(() =>
    new Deno.Command("sleep", { args: ["1000"], stdin: "null" }).spawn().pid
  );
}

Deno.test("SIGKILL of a child fails its calls with the signal, and nobody else's", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const [victim, other] = await Promise.all([router.local(), router.local()]);
  const pid = await victim!.call(() => Deno.pid);
  const call = victim!.call(never);
  await victim!.ping();
  Deno.kill(pid, "SIGKILL");
  const error = await lost(call);
  assertEquals([error.reason.kind, error.reason.signal], ["signal", "SIGKILL"]);
  assertEquals(await victim!.closed, error.reason);
  assertEquals(await other!.call(() => 1), 1);
});

Deno.test("an unhandled rejection ends the child, and its callers are told which", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const context = await router.local();
  const error = await lost(context.call(() => {
    Promise.reject(new TypeError("nobody caught this"));
    return new Promise(() => {});
  }));
  assertEquals([error.reason.kind, error.reason.code], ["exit", 1]);
  assertMatch(error.reason.message, /TypeError: nobody caught this/);
});

Deno.test("an error that nobody catches ends a worker, and its callers are told which", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const context = await router.worker();
  const error = await lost(context.call(() => {
    setTimeout(() => {
      throw new RangeError("late");
    });
    return new Promise(() => {});
  }));
  assertMatch(error.reason.message, /RangeError: late/);
});

Deno.test("ten hops answer; the loss of the fifth fails what is behind it, and nothing else", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const hops: Context[] = [await router.local()];
  while (hops.length < 10) {
    hops.push(await router.local({ via: hops.at(-1)! }));
  }
  const last = hops.at(-1)!;
  assertEquals(last.path.split("/").length, 11);
  assertEquals(await last.call((a: number) => a + 1, 41), 42);
  const waiting = hops.slice(4).map((hop) => lost(hop.call(never)));
  await last.ping();
  Deno.kill(await hops[4]!.call(() => Deno.pid), "SIGKILL");
  const errors = await Promise.all(waiting);
  assertEquals(errors[0]!.reason.kind, "signal");
  for (const [i, { reason, path }] of errors.slice(1).entries()) {
    assertEquals([path, reason.kind], [hops[i + 5]!.path, "route"]);
    assertMatch(reason.message, new RegExp(`${hops[4]!.path} on the way`));
    assertEquals(await hops[i + 5]!.closed, reason);
  }
  for (const hop of hops.slice(0, 4)) {
    assertEquals(hop.closeReason, undefined);
    assertEquals(await hop.call(() => 1), 1);
  }
});

Deno.test("SIGKILL of the master leaves nothing of its tree", async () => {
  const master = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", new URL("fixtures/tree.ts", import.meta.url).pathname],
    stdout: "piped",
  }).spawn();
  const output = lines(master.stdout);
  const pids: number[] = JSON.parse((await output.next()).value as string);
  assertEquals(pids.length, 6);
  assert(pids.every(alive));
  master.kill("SIGKILL");
  await master.status;
  await Promise.all(pids.map((pid) => goneWithin(pid, 1000)));
  await output.return(undefined);
});

Deno.test("a child that ignores SIGTERM and computes for ever is gone after shutdown()", async () => {
  await using _ = await noLeaks();
  let busy = Promise.withResolvers<void>();
  await using router = new Router({
    onLog({ message }) {
      if (message === "busy") busy.resolve();
    },
  });
  for (const via of [undefined, await router.local()]) {
    const context = await router.local(via ? { via } : {});
    const pid = await context.call(() => Deno.pid);
    context.callNoReply(() => {
      Deno.addSignalListener("SIGTERM", () => {});
      Deno.stderr.writeSync(new TextEncoder().encode("busy\n"));
      for (;;);
    });
    await busy.promise;
    busy = Promise.withResolvers();
    const begin = performance.now();
    await context.shutdown();
    await goneWithin(pid, 2000 - (performance.now() - begin));
    assertEquals((await context.closed).kind, "shutdown");
  }
});

Deno.test("a call that nobody waits for learns of the end of its context", async () => {
  await using _ = await noLeaks();
  const messages: string[] = [];
  await using router = new Router({
    onLog: ({ message }) => void messages.push(message),
  });
  const context = await router.local();
  const runs = Promise.withResolvers<void>();
  const said: string[] = [];
  context.callNoReply(untilCancelled, (what: string) => {
    said.push(what);
    runs.resolve();
  });
  await runs.promise;
  await context.shutdown();
  assertEquals(said.length, 2);
  assertMatch(said[1]!, /shutting down/);
  assertEquals(messages, []);
});

Deno.test("what a context started goes with it, however it ends", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const endings: ((context: Context) => unknown)[] = [
    (context) => context.shutdown(),
    async (context) => {
      Deno.kill(await context.call(() => Deno.pid), "SIGKILL");
      await context.closed;
    },
    (context) => context.call(() => Deno.exit(0)).catch(() => {}),
  ];
  for (const end of endings) {
    const context = await router.local();
    const pid = await sleeper(context);
    assert(alive(pid));
    await end(context);
    await goneWithin(pid, 1000);
  }
});

Deno.test("a program that holds the pipes open does not hide the end of its context", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  // Without the permission for all programs nobody may end the group.
  const context = await router.local({ permissions: { run: ["setsid"] } });
  const call = context.call(never);
  const pid = await context.call(() =>
    new Deno.Command("setsid", { args: ["sleep", "1000"] }).spawn().pid
  );
  await context.call(() => {
    queueMicrotask(() => Deno.exit(9));
  }).catch(() => {});
  assertEquals((await lost(call)).reason.code, 9);
  Deno.kill(pid, "SIGKILL");
});

Deno.test("what is being written to a dead context does not hold up the shutdown", async () => {
  await using _ = await noLeaks();
  const router = new Router(quiet);
  const context = await router.local();
  // It has the other end of the pipe, and does not read it.
  const holder = await context.call(() =>
    new Deno.Command("setsid", { args: ["sleep", "1000"] }).spawn().pid
  );
  const pid = await context.call(() => Deno.pid);
  Deno.kill(pid, "SIGSTOP");
  for (let i = 0; i < 10; i++) {
    context.callNoReply(decodeURI, "x".repeat(50_000));
  }
  await new Promise((resolve) => setTimeout(resolve));
  Deno.kill(pid, "SIGKILL");
  await context.closed;
  await router.shutdown();
  assert(alive(holder));
  Deno.kill(holder, "SIGKILL");
  await goneWithin(holder, 1000);
});

/** Says something at its end, and writes a last word into a file. */
const lastWord =
  'trap "sleep 0.1; echo end; echo end >&2; echo bye >$1; exit" TERM; echo up; while :; do sleep 0.01; done';

type End = (
  of: {
    hop: Context;
    context: Context;
    call: AbortController;
    process: RemoteProcess;
  },
) => void | PromiseLike<void>;

const ends: Record<string, End> = {
  "a context that is shut down": ({ context }) => context.shutdown(),
  "a context whose hop is killed": async ({ hop }) =>
    Deno.kill(await hop.call(() => Deno.pid), "SIGKILL"),
  "a call that is cancelled": ({ call }) => call.abort(),
  "a process that is let go of": ({ process }) =>
    process[Symbol.asyncDispose](),
};

for (const [what, end] of Object.entries(ends)) {
  Deno.test(`the end of ${what} leaves its process time for its own`, async () => {
    await using _ = await noLeaks();
    await using router = new Router(quiet);
    const hop = await router.local();
    const context = await router.local({ via: hop });
    const file = await Deno.makeTempFile();
    const call = new AbortController();
    const process = await context.spawn("sh", {
      args: ["-c", lastWord, "sh", file],
      signal: call.signal,
    });
    await process.stdout.getReader().read();
    await end({ hop, context, call, process });
    await until(router.myself(), () => Deno.readTextFileSync(file) === "bye\n");
    await Deno.remove(file);
  });
}

Deno.test("processes of a context that is killed are told to end, then killed", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const context = await router.local();
  const file = await Deno.makeTempFile();
  const loop = "echo up; exec >/dev/null 2>&1; while :; do sleep 0.01; done";
  const start = async (trap: string) => {
    const args = ["-c", `trap '${trap}' TERM; ${loop}`, "sh", file];
    const { stdout, pid } = await context.spawn("sh", { args });
    await stdout.getReader().read();
    return pid;
  };
  await start("sleep 0.1; echo bye >$1; exit");
  const stubborn = await start("");
  Deno.kill(await context.call(() => Deno.pid), "SIGKILL");
  await until(router.myself(), () => Deno.readTextFileSync(file) === "bye\n");
  await goneWithin(stubborn, 2000);
  await Deno.remove(file);
});

Deno.test("shutdown of the router fails all calls and may be asked for twice", async () => {
  await using _ = await noLeaks();
  const router = new Router(quiet);
  const context = await router.local();
  const call = lost(context.call(never));
  await context.ping();
  await Promise.all([router.shutdown(), router.shutdown()]);
  assertInstanceOf(await call, DisconnectedError);
  assertEquals(router.contexts(), []);
  await assertRejects(() => context.call(() => 1), DisconnectedError);
});

Deno.test("shutdown of the router ends what is being connected", async () => {
  await using _ = await noLeaks();
  const router = new Router(quiet);
  const opening = [router.local(), router.worker()];
  const states = Promise.allSettled(opening);
  // Begun, and not there yet.
  await router.myself().ping();
  await router.shutdown();
  for (const state of await states) {
    assert(state.status === "rejected");
    assertInstanceOf(state.reason, ConnectError);
    assertEquals(state.reason.kind, "cancelled");
  }
  const late = await assertRejects(() => router.local(), ConnectError);
  assertEquals(late.kind, "cancelled");
});

Deno.test("a group that outlived its leader is forgotten when it is gone", async () => {
  await using _ = await noLeaks();
  // A context has a connection; nothing else waits for the watchdog.
  const busy = setInterval(() => {}, 1000);
  const watchdog = new Watchdog();
  watchdog.start();
  const leader = new Deno.Command("sh", {
    args: ["-c", "sleep 1000 >/dev/null & echo $!"],
    stdout: "piped",
    detached: true,
  }).spawn();
  watchdog.add(leader.pid);
  const { stdout } = await leader.output();
  const follower = Number(new TextDecoder().decode(stdout));
  watchdog.remove(leader.pid);
  // Whatever is left of it is still to be killed with this process.
  await watchdog.rest();
  assert(alive(follower));
  Deno.kill(follower, "SIGKILL");
  // Until init has seen to it, it still counts.
  const end = performance.now() + 10_000;
  const there = () =>
    Deno.readDirSync("/proc").some(({ name }) => name === String(follower));
  while (there() && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  // Its number may be another's from now on, and nothing is left to watch.
  await watchdog.rest();
  clearInterval(busy);
});
