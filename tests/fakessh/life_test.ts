/** Many at once, and what happens when one of those concerned goes away. */
import {
  assert,
  assertEquals,
  assertLess,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { dirname } from "@std/path";
import { existsSync } from "node:fs";
import { run } from "../../fakessh/mod.ts";
import type { Context } from "../../mod.ts";
import { makeWorld, sh, WAYS } from "../fixtures/fakessh.ts";
import { alive, goneWithin, noLeaks } from "../fixtures/leaks.ts";
import { lines } from "../fixtures/programs.ts";

/** A stream of output, and a way to wait for something in it. */
function watched() {
  let text = "";
  let check = () => {};
  const decoder = new TextDecoder();
  const stream = new WritableStream<Uint8Array>({
    write(chunk) {
      text += decoder.decode(chunk, { stream: true });
      check();
    },
  });
  const seen = (pattern: RegExp) =>
    new Promise<RegExpMatchArray>((resolve) => {
      check = () => {
        const match = text.match(pattern);
        if (match) resolve(match);
      };
      check();
    });
  return { stream, seen, text: () => text };
}

for (const way of WAYS) {
  Deno.test({
    name: `invocations live and die as those of ssh: ${way}`,
    ignore: Deno.uid() !== 0,
    async fn(t) {
      await using _leaks = await noLeaks();
      await using world = await makeWorld(way);
      const { remote, router, folder } = world;

      await t.step("fifty one after another, then fifty at once", async () => {
        const { code, stdout, stderr } = await world.fake(sh(`
        for i in $(seq 50); do ssh any "echo $i; exit $i"; echo "= $?"; done
        for i in $(seq 50); do ssh any "echo $i" >${folder}/out.$i & done; wait
        cat $(seq -f ${folder}/out.%g 50)`));
        const numbers = Array.from({ length: 50 }, (_, i) => i + 1);
        assertEquals([code, stderr], [0, ""]);
        assertEquals(
          stdout,
          numbers.map((i) => `${i}\n= ${i}\n`).join("") +
            numbers.map((i) => `${i}\n`).join(""),
        );
      });

      await t.step("two runs at once, into two contexts", async () => {
        const other = await router.local();
        const script = sh('ssh any "id -un; cat" </etc/hostname');
        const [a, b, c] = await Promise.all([
          world.fake(script),
          world.fake(script),
          world.fake(script, {}, other),
        ]);
        assertEquals(a, b);
        assertStringIncludes(a.stdout, `${world.account}\n`);
        assertStringIncludes(c.stdout, "root\n");
      });

      await t.step("one that outlives the program is waited for", async () => {
        const file = `${folder}/late`;
        const { code } = await world.fake(sh(`
        ssh any 'echo begun; sleep 0.3; echo late' >${file} 2>&1 &
        until [ -s ${file} ]; do sleep 0.01; done
        exit 9`));
        assertEquals(code, 9);
        assertEquals(await Deno.readTextFile(file), "begun\nlate\n");
      });

      await t.step(
        "a client that is killed takes its command along",
        async () => {
          const output = watched();
          const running = run(
            remote,
            sh(
              "ssh any 'sleep 1000 & echo $$ $!; exec sleep 1000' & echo client $!; wait $!; exit 0",
            ),
            { stdin: "null", stdout: output.stream, stderr: "null" },
          );
          const [, client] = await output.seen(/client (\d+)/);
          const [, leader, below] = await output.seen(/^(\d+) (\d+)$/m);
          assert(alive(Number(leader)) && alive(Number(below)));
          Deno.kill(Number(client), "SIGKILL");
          await running;
          await goneWithin(Number(leader), 2000);
          await goneWithin(Number(below), 2000);
        },
      );

      await t.step(
        "a program that is cancelled, its commands too",
        async () => {
          const output = watched();
          const controller = new AbortController();
          const running = run(
            remote,
            sh("trap '' TERM; ssh any 'echo $$; exec sleep 1000'; sleep 1000"),
            {
              stdin: "null",
              stdout: output.stream,
              stderr: "null",
              signal: controller.signal,
            },
          );
          const [, leader] = await output.seen(/^(\d+)$/m);
          const refused = assertRejects(() => running, Error, "enough");
          controller.abort(new Error("enough"));
          await refused;
          await goneWithin(Number(leader), 2000);
          await assertRejects(
            () =>
              run(remote, sh("exec ssh any sleep 1000"), {
                stdin: "null",
                deadline: 200,
              }),
            DOMException,
            "sh has not ended in 200 ms",
          );
          for (const deadline of [Infinity, 2 ** 40]) {
            const { code } = await run(remote, sh("exec ssh any exit 3"), {
              stdin: "null",
              deadline,
            });
            assertEquals(code, 3);
          }
          await assertRejects(
            () => run(remote, sh("true"), { deadline: NaN }),
            RangeError,
            "Cannot run sh: deadline is NaN",
          );
        },
      );

      const endings = {
        "is shut down": (doomed: Context) => doomed.shutdown(),
        "is killed": async (doomed: Context) =>
          Deno.kill(await doomed.call(() => Deno.pid), "SIGKILL"),
      };
      for (const [how, end] of Object.entries(endings)) {
        await t.step(`a context that ${how}: 255, and why`, async () => {
          const output = watched();
          const errors = watched();
          const doomed = await world.another();
          const running = run(
            doomed,
            sh(
              "ssh any 'echo up $$; exec sleep 1000'; echo code $?; ssh any true; echo code $?",
            ),
            { stdin: "null", stdout: output.stream, stderr: errors.stream },
          );
          const [, leader] = await output.seen(/up (\d+)\n/);
          await end(doomed);
          await running;
          assertEquals(output.text(), `up ${leader}\ncode 255\ncode 255\n`);
          await goneWithin(Number(leader), 2000);
          assertMatch(
            errors.text(),
            /^fakessh: Cannot reach \S+: .*\r\nfakessh: Cannot reach \S+: .*\r\n$/,
          );
        });
      }

      await t.step(
        "a command behind a door goes when its user does",
        async () => {
          const output = watched();
          const user = await router.local();
          const running = run(
            remote,
            sh("ssh any 'echo $$; exec sleep 1000'"),
            {
              on: user,
              stdin: "null",
              stdout: output.stream,
              stderr: "null",
            },
          );
          const [, leader] = await output.seen(/^(\d+)$/m);
          const refused = assertRejects(() => running, Error, "Cannot reach");
          await user.shutdown();
          await refused;
          await goneWithin(Number(leader), 3000);
        },
      );

      await t.step("a reader that stops, stops the writer", async () => {
        const progress = `${folder}/progress`;
        await Deno.mkdir(progress);
        await Deno.chmod(progress, 0o777);
        const before = Deno.memoryUsage().rss;
        const { stdout } = await world.fake(sh(`
        ssh any "dd if=/dev/zero bs=1M count=64 2>/dev/null & echo \\$! >${progress}/pid; wait" | {
          head -c 1 >/dev/null
          until [ -s ${progress}/pid ]; do sleep 0.01; done
          pid=$(cat ${progress}/pid) last=x now=y
          while [ "$last" != "$now" ]; do
            last=$now; sleep 0.2; now=$(grep wchar /proc/$pid/io)
          done
          echo "$now"
          cat | wc -c
        }`));
        const [written, rest] = stdout.split("\n");
        assertLess(Number(written!.split(" ")[1]), 24 * 2 ** 20);
        assertEquals(Number(rest), 64 * 2 ** 20 - 1);
        assertLess(Deno.memoryUsage().rss - before, 150 * 2 ** 20);
      });

      await t.step("much, each way at once", async () => {
        const { code, stderr } = await world.fake(sh(`
        head -c 64M /dev/urandom >${folder}/much
        ssh any cat <${folder}/much | cmp - ${folder}/much`));
        await Deno.remove(`${folder}/much`);
        assertEquals([code, stderr], [0, ""]);
      });
    },
  });
}

Deno.test({
  name: "nobody else on the machine can use the socket",
  ignore: Deno.uid() !== 0,
  async fn() {
    await using _leaks = await noLeaks();
    await using world = await makeWorld();
    const { stdout } = await world.fake(sh(`
      ssh=$(command -v ssh) d=$(dirname $(command -v ssh))
      stat -c %a "$d" "$ssh"
      as() { setpriv --reuid=${world.user.name} --clear-groups "$@" 2>/dev/null; }
      as id -un
      as cat "$ssh" || echo refused
      as "$ssh" any true || echo refused
      as ls "$d" || echo refused
      sed -i "s/^my (.*/&\\n\\$token = 'a' x 64;/" "$ssh"
      ssh any 'echo reached' 2>&1; echo $?`));
    assertEquals(
      stdout,
      `700\n700\n${world.user.name}\nrefused\nrefused\nrefused\nfakessh: the program that lends its connections has gone\r\n255\n`,
    );
  },
});

for (const end of ["SIGKILL", "SIGINT", "SIGTERM"] as const) {
  Deno.test(`a program that ends by ${end} leaves no folder of its ssh`, async () => {
    await using _leaks = await noLeaks();
    const script = new URL("../fixtures/lending.ts", import.meta.url);
    const program = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", script.href],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    const output = lines(program.stdout);
    const ssh = (await output.next()).value as string;
    const command = Number((await output.next()).value);
    assert(alive(command));
    program.kill(end);
    await program.status;
    await goneWithin(command, 2000);
    await output.return(undefined);
    const seen = performance.now();
    while (existsSync(dirname(ssh))) {
      assertLess(performance.now() - seen, 2000, `${ssh} is left`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  });
}
