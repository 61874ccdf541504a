/** Programs that run in contexts. */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertLess,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import {
  CallError,
  type Context,
  DisconnectedError,
  ProcessError,
  Router,
} from "../mod.ts";
import { alive, goneWithin, noLeaks } from "./fixtures/leaks.ts";
import { startSshd } from "./fixtures/sshd.ts";

const utf8 = new TextEncoder();

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

async function sh(context: Context, script: string, ...args: string[]) {
  return await context.spawn("sh", { args: ["-c", script, "sh", ...args] });
}

/** A context in which programs are run, and how it is opened. */
const WAYS: [name: string, open: (router: Router) => Promise<Context>][] = [
  ["local", (router) => router.local()],
  [
    "local via local",
    async (router) => await router.local({ via: await router.local() }),
  ],
  ["worker", (router) => router.worker()],
];

for (const [way, open] of WAYS) {
  Deno.test(`spawn in ${way}`, async (t) => {
    await using _leaks = await noLeaks();
    await using router = new Router({ onLog() {} });
    const context = await open(router);

    await t.step("every byte value goes in and comes out", async () => {
      const all = new Uint8Array(1_000_000).map((_, i) => i * 7 + (i >> 8));
      const cat = await context.spawn("cat", { stdin: all });
      const { stdout, stderr, ...status } = await cat.output();
      assertEquals(status, { success: true, code: 0, signal: null });
      assertEquals(stdout, all);
      assertEquals(stderr.length, 0);
    });

    await t.step("output and errors are kept apart", async () => {
      const process = await sh(context, "echo out; echo err >&2; echo out");
      const { stdout, stderr } = await process.output();
      assertEquals([text(stdout), text(stderr)], ["out\nout\n", "err\n"]);
    });

    await t.step("arguments are literal", async () => {
      const args = ["a b", "$(id)", "'", '"', "\n", "-n", "%s", "é", "", "*"];
      const printed = await (await context.spawn("printf", {
        args: ["%s\\0", ...args],
      })).text();
      assertEquals(printed.split("\0").slice(0, -1), args);
    });

    await t.step("variables and the working directory", async () => {
      const process = await context.spawn("env", {
        clearEnv: true,
        env: { ONLY: "a b\nc" },
      });
      assertEquals(await process.text(), "ONLY=a b\nc\n");
      const pwd = await context.spawn("pwd", { cwd: "/usr" });
      assertEquals(await pwd.text(), "/usr\n");
    });

    await t.step("exit codes and signals are as Deno has them", async () => {
      const exit = async (code: number) => {
        const { status } = await sh(context, "exit $1", String(code));
        assertEquals(await status, { success: code === 0, code, signal: null });
      };
      for (let first = 0; first < 256; first += 16) {
        const codes = Array.from({ length: 16 }, (_, i) => first + i);
        await Promise.all(codes.map(exit));
      }
      for (const signal of ["TERM", "KILL", "INT", "SEGV"]) {
        const here = await new Deno.Command("sh", {
          args: ["-c", `kill -${signal} $$`],
          stdout: "null",
          stderr: "null",
        }).spawn().status;
        const { status } = await sh(context, `kill -${signal} $$`);
        assertEquals(await status, { ...here });
      }
    });

    await t.step("a program or directory that is not there", async () => {
      for (
        const [command, cwd] of [["no such program", "/"], ["true", "/nowhere"]]
      ) {
        const error = await assertRejects(
          () => context.spawn(command!, { cwd: cwd! }),
          CallError,
        );
        assertEquals(error.remoteName, "NotFound");
      }
    });

    await t.step("half-close both ways", async () => {
      const sort = await context.spawn("sort", { stdin: "piped" });
      const input = sort.stdin.getWriter();
      for (const word of ["c", "a", "b"]) {
        await input.write(utf8.encode(word + "\n"));
      }
      await input.close();
      assertEquals(await sort.text(), "a\nb\nc\n");

      // It closes its output, and goes on.
      const process = await context.spawn("sh", {
        args: ["-c", "echo first; exec >&- 2>&-; read -r line; exit $line"],
        stdin: "piped",
      });
      assertEquals(await new Response(process.stdout).text(), "first\n");
      const answer = process.stdin.getWriter();
      await answer.write(utf8.encode("9\n"));
      assertEquals((await process.status).code, 9);
      await assertRejects(() => answer.closed);
    });

    await t.step("who writes to what does not read is told", async () => {
      const head = await context.spawn("head", {
        args: ["-1"],
        stdin: "piped",
      });
      const writer = head.stdin.getWriter();
      const line = utf8.encode("yes\n".repeat(10_000));
      await assertRejects(async () => {
        for (;;) await writer.write(line);
      });
      assertEquals(await head.text(), "yes\n");
      // An endless stream as its input ends with it.
      const cancelled = Promise.withResolvers<void>();
      const endless = new ReadableStream<Uint8Array>({
        pull: (controller) => controller.enqueue(line),
        cancel: () => cancelled.resolve(),
      });
      const other = await context.spawn("head", {
        args: ["-1"],
        stdin: endless,
      });
      assertEquals(await other.text(), "yes\n");
      await cancelled.promise;
    });

    await t.step(
      "an input that fails does not pass for all of it",
      async () => {
        const broken = new ReadableStream<Uint8Array>({
          start(controller) {
            controller.enqueue(utf8.encode("half of"));
            controller.error(new RangeError("the disk is gone"));
          },
        });
        const cat = await context.spawn("cat", { stdin: broken });
        await assertRejects(() => cat.text(), RangeError, "the disk is gone");
      },
    );

    await t.step("text, lines and json", async () => {
      assertEquals(await (await sh(context, "echo hello")).text(), "hello\n");
      assertEquals(await (await sh(context, "echo '[1,2]'")).json(), [1, 2]);
      const lines = await sh(context, "printf 'a\\n\\nb\\nc'");
      assertEquals(await Array.fromAsync(lines.lines()), ["a", "", "b", "c"]);
      const error = await assertRejects(
        async () => (await sh(context, "echo why >&2; exit 3")).text(),
        ProcessError,
        "exited with code 3: why",
      );
      assertEquals(error.path, context.path);
      assertEquals([error.status.code, error.tail], [3, "why"]);
      const noisy = await sh(context, "seq 100000 >&2; seq 3; kill -9 $$");
      const seen: string[] = [];
      const killed = await assertRejects(
        async () => {
          for await (const line of noisy.lines()) seen.push(line);
        },
        ProcessError,
        "was ended by SIGKILL",
      );
      assertEquals(seen, ["1", "2", "3"]);
      assert(killed.tail.endsWith("99999\n100000"));
      assert(killed.tail.length <= 2000);
      // Bytes that are no text, and ends of lines as terminals have them.
      const odd = "printf '\\377a\\r\\n\\303\\251\\n\\303'";
      assertEquals(
        await (await sh(context, odd)).text(),
        "\ufffda\r\né\n\ufffd",
      );
      const split = await sh(context, odd);
      assertEquals(await Array.fromAsync(split.lines()), [
        "\ufffda",
        "é",
        "\ufffd",
      ]);
      await assertRejects(
        async () => await (await sh(context, "echo '{'")).json(),
        SyntaxError,
      );
      const cut = await assertRejects(
        async () =>
          (await sh(
            context,
            "printf %s $1 >&2; exit 1",
            "é".repeat(2000) + "x",
          )).text(),
        ProcessError,
      );
      assertEquals(cut.tail, "é".repeat(999) + "x");
    });

    await t.step("what is printed has one reader", async () => {
      const echo = await sh(context, "echo 1");
      assertEquals(await echo.json(), 1);
      for (
        const again of [
          () => echo.output(),
          () => echo.text(),
          () => echo.json(),
          () => Array.fromAsync(echo.lines()),
        ]
      ) await assertRejects(again, TypeError, "json() has what it prints");
      const other = await sh(context, "echo 2");
      const reader = other.stderr.getReader();
      await assertRejects(
        () => Array.fromAsync(other.lines()),
        TypeError,
        "another reader has what it prints",
      );
      reader.releaseLock();
      // That was no reason to end it.
      assertEquals(await Array.fromAsync(other.lines()), ["2"]);
    });

    await t.step("what is not piped is not there", async () => {
      const process = await context.spawn("true", { stdout: "null" });
      assertThrows(() => process.stdout, TypeError, '"piped"');
      assertThrows(() => process.stdin, TypeError, '"piped"');
      assertEquals((await process.output()).stderr.length, 0);
    });

    await t.step("kill ends the whole group", async () => {
      const process = await sh(context, "sleep 1000 & echo $!; wait");
      const reader = process.stdout.getReader();
      const pid = Number(text((await reader.read()).value!));
      assert(alive(pid) && alive(process.pid));
      await process.kill("SIGKILL");
      assertEquals((await process.status).signal, "SIGKILL");
      await goneWithin(pid, 1000);
      // Long gone: nothing happens.
      await process.kill();
      await reader.cancel();
    });

    await t.step("leaving the loop, or the block, ends it", async () => {
      const yes = await context.spawn("yes");
      for await (const line of yes.lines()) {
        assertEquals(line, "y");
        break;
      }
      assert(!alive(yes.pid));
      let pid: number;
      {
        await using sleep = await context.spawn("sleep", { args: ["1000"] });
        pid = sleep.pid;
        assert(alive(pid));
      }
      assert(!alive(pid));
    });

    await t.step("a signal, or the end of its call, ends it", async () => {
      const controller = new AbortController();
      const { signal } = controller;
      const sleep = await context.spawn("sleep", { args: ["1000"], signal });
      const other = await context.with({ signal }).spawn("sleep", {
        args: ["1000"],
      });
      controller.abort(new RangeError("enough"));
      assertEquals((await sleep.status).signal, "SIGTERM");
      await assertRejects(() => other.status, RangeError, "enough");
      await goneWithin(other.pid, 1000);
      await assertRejects(
        () => context.spawn("true", { signal }),
        RangeError,
        "enough",
      );
      const stubborn = await context.with({ timeout: 1e6 }).spawn("sh", {
        args: ["-c", "trap '' TERM; echo; while :; do sleep 1000; done"],
      });
      await stubborn.stdout.getReader().read();
      await stubborn[Symbol.asyncDispose]();
      await goneWithin(stubborn.pid, 1000);
    });

    await t.step("a slow reader stops who prints", async () => {
      const process = await sh(context, "yes | head -c 50000000");
      const reader = process.stdout.getReader();
      let size = (await reader.read()).value!.length;
      for (let i = 0; i < 20; i++) await context.ping();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        size += value.length;
      }
      assertEquals(size, 50_000_000);
      assert((await process.status).success);
      await process.stderr.cancel();
    });

    await t.step("a terminal", async () => {
      const pty = { columns: 101, rows: 33, term: "vt100" };
      const size = await context.spawn("sh", {
        args: [
          "-c",
          "tty; stty size; echo $TERM $1 >&2; exit 5",
          "sh",
          "a 'b'",
        ],
        pty,
      });
      const printed = await new Response(size.stdout).text();
      const [tty, stty, term] = printed.split("\r\n");
      assertMatch(tty!, /^\/dev\/pts\/\d+$/);
      assertEquals([stty, term], ["33 101", "vt100 a 'b'"]);
      assertEquals((await size.status).code, 5);

      const process = await context.spawn("sh", {
        args: [
          "-c",
          // Columns and rows are set one after the other: it may fire twice.
          "trap 'stty size' WINCH; echo ready; while :; do read -r line; echo got $line; [ \"$line\" != end ] || exit 0; done",
        ],
        stdin: "piped",
        pty: true,
      });
      const reader = process.stdout.pipeThrough(new TextDecoderStream())
        .getReader();
      let seen = "";
      const until = async (what: string) => {
        while (!seen.includes(what)) {
          const { value, done } = await reader.read();
          if (done) throw new Error(`ended after ${JSON.stringify(seen)}`);
          seen += value;
        }
      };
      await until("ready");
      const writer = process.stdin.getWriter();
      await writer.write(utf8.encode("hello\n"));
      await until("got hello");
      await process.resize(90, 30);
      // dash sees to its traps when what it reads has come.
      await writer.write(utf8.encode("\n"));
      await until("30 90");
      await writer.write(utf8.encode("end\n"));
      assertEquals((await process.status).success, true);
      await reader.cancel();
      await assertRejects(
        () => context.spawn("true", { pty: true, stdout: "null" }),
        CallError,
        "piped",
      );
      const sleep = await context.spawn("sleep", { args: ["1000"], pty: true });
      await sleep.kill("SIGINT");
      await sleep.status;
      assert(!alive(sleep.pid));
      await sleep.stdout.cancel();
    });

    await t.step("the end of the context ends what runs there", async () => {
      const process = await sh(
        context,
        "trap '' TERM HUP INT; sleep 1000 & echo $!; wait; wait",
      );
      const reader = process.stdout.getReader();
      const pid = Number(text((await reader.read()).value!));
      await context.shutdown();
      const error = await assertRejects(() => process.status);
      assertInstanceOf(error, DisconnectedError);
      await assertRejects(() => reader.read(), DisconnectedError);
      await Promise.all([goneWithin(pid, 1000), goneWithin(process.pid, 1000)]);
    });
  });
}

Deno.test("what a killed context ran does not outlive it", async () => {
  await using _leaks = await noLeaks();
  await using router = new Router({ onLog() {} });
  const context = await router.local();
  const process = await sh(
    context,
    "trap '' TERM HUP; sleep 1000 & echo $!; wait",
  );
  const pid = Number(text((await process.stdout.getReader().read()).value!));
  Deno.kill(await context.call(() => Deno.pid), "SIGKILL");
  await assertRejects(() => process.status, DisconnectedError);
  await Promise.all([goneWithin(pid, 1000), goneWithin(process.pid, 1000)]);
});

Deno.test("a terminal that cannot be made is said at once", async () => {
  await using _leaks = await noLeaks();
  await using router = new Router({ onLog() {} });
  const context = await router.local();
  const PATH = await Deno.makeTempDir();
  for (const name of ["script", "sh", "sleep", "tty"]) {
    await Deno.symlink(`/usr/bin/${name}`, `${PATH}/${name}`);
  }
  const options = { args: ["1000"], pty: true, env: { PATH } };
  const error = await assertRejects(
    () => context.spawn("sleep", options),
    CallError,
    "Cannot make a terminal",
  );
  assertMatch(error.message, /stty.*not found/);
  await Deno.remove(PATH, { recursive: true });
});

Deno.test("a program that is named by a URL may have a terminal", async () => {
  await using router = new Router({ onLog() {} });
  const context = await router.local();
  const program = new URL("file:///bin/echo");
  const process = await context.spawn(program, { args: ["hi"], pty: true });
  assertEquals(await process.text(), "hi\r\n");
});

Deno.test("a long line is read once", async () => {
  await using router = new Router({ onLog() {} });
  const context = await router.local();
  const size = 40 * 1024 * 1024;
  const args = ["-c", String(size), "/dev/zero"];
  const process = await context.spawn("head", { args });
  const begin = performance.now();
  const lines = await Array.fromAsync(process.lines());
  assertEquals(lines.map(({ length }) => length), [size]);
  assertLess(performance.now() - begin, 15_000);
});

Deno.test("a context without the permission says so", async () => {
  await using router = new Router({ onLog() {} });
  const context = await router.local({ permissions: "none" });
  const error = await assertRejects(() => context.spawn("true"), CallError);
  assertEquals(error.remoteName, "NotCapable");
});

Deno.test({
  name: "another user's process, over ssh",
  ignore: Deno.uid() !== 0,
  async fn() {
    await using _leaks = await noLeaks();
    await using sshd = await startSshd();
    await using router = new Router({ onLog() {} });
    const context = await router.ssh({
      hostname: "loopback",
      sshArgs: sshd.sshArgs,
    });
    const process = await context.spawn("id", {
      args: ["-u"],
      uid: 65534,
      gid: 65534,
      cwd: "/",
    });
    assertEquals(await process.text(), "65534\n");
  },
});
