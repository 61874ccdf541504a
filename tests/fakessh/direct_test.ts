/** Commands whose bytes do not go through their context: whose they are, and when. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { startDirect } from "../../fakessh/direct.ts";
import { run } from "../../fakessh/mod.ts";
import { planFor } from "../../fakessh/plan.ts";
import { type Context, Router } from "../../mod.ts";
import { directWay } from "../../parent/mod.ts";
import { makeWorld, sh, type Way, type World } from "../fixtures/fakessh.ts";
import { alive, goneWithin, noLeaks } from "../fixtures/leaks.ts";
import { startSshd } from "../fixtures/sshd.ts";

const ignore = Deno.uid() !== 0;

/** What a program printed whose ssh leads to a context. */
async function printed(dest: Context, script: string): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  const { code } = await run(dest, sh(script), {
    stdin: "null",
    stdout: new WritableStream({
      write: (chunk) => void (text += decoder.decode(chunk, { stream: true })),
    }),
  });
  assertEquals(code, 0);
  return text;
}

/** Whether the command of such a program is a child of its context. */
async function goesThrough(dest: Context): Promise<boolean> {
  const pid = await dest.call(() => Deno.pid);
  return Number(await printed(dest, "ssh any 'echo $PPID' | cat")) === pid;
}

/** What a command sees of where it runs. */
const SCENE =
  `ssh any 'pwd; umask; ulimit -n; env | grep -v ^SSH_; id; ps -o comm= -p $$' | sort`;

Deno.test({
  name: "a command is the same whichever way it goes",
  ignore,
  async fn() {
    await using _leaks = await noLeaks();
    const scene = async (
      way: Way,
      open: (world: World) => Promise<Context>,
    ) => {
      await using world = await makeWorld(way);
      const dest = await open(world);
      assertEquals(await goesThrough(dest), way === "link");
      return (await printed(dest, SCENE)).replaceAll(world.user.name, "USER")
        .replaceAll(/\b\d{4,5}\(USER\)/g, "ID(USER)");
    };
    const env = { NAME: `it's "so" $HOME \\ ! % é`, LC_ALL: "C" };
    const ssh = (world: World, via?: Context) =>
      world.router.ssh({
        hostname: "loopback",
        username: world.user.name,
        sshArgs: world.sshd.sshArgs,
        env,
        ...(via ? { via } : {}),
      });
    const [direct, through] = [
      await scene("session", ssh),
      await scene(
        "link",
        async (world) => ssh(world, await world.router.local()),
      ),
    ];
    assertStringIncludes(direct, `NAME=${env.NAME}\n`);
    assertEquals(direct, through);
    await scene("here", (world) => world.another());
  },
});

Deno.test({
  name: "a connection that carries no other session is used for what it is",
  ignore,
  async fn() {
    await using _leaks = await noLeaks();
    await using sshd = await startSshd(["MaxSessions 1"]);
    await using router = new Router({ onLog() {} });
    const dest = await router.ssh({
      hostname: "loopback",
      sshArgs: sshd.sshArgs,
    });
    const folder = await Deno.makeTempDir();
    try {
      const script =
        `for i in 1 2; do echo "input $i" | ssh any 'cat; echo $PPID; exit 3' 2>&1; echo $?; done`;
      const pid = await dest.call(() => Deno.pid);
      assertEquals(
        await printed(dest, script),
        [1, 2].map((i) => `input ${i}\n${pid}\n3\n`).join(""),
      );
      await Deno.writeFile(`${folder}/a`, new Uint8Array(300_000).fill(7));
      await printed(dest, `rsync ${folder}/a any:${folder}/b`);
      assertEquals((await Deno.readFile(`${folder}/b`)).length, 300_000);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "a user's own ControlPath and a hop have no such way, and need none",
  ignore,
  async fn() {
    await using _leaks = await noLeaks();
    await using sshd = await startSshd();
    await using router = new Router({ onLog() {} });
    const hop = await router.local();
    const options = { hostname: "loopback", sshArgs: sshd.sshArgs };
    for (
      const dest of await Promise.all([
        router.ssh({ ...options, name: "own", controlMaster: true }),
        router.ssh({ ...options, name: "hop", via: hop }),
        router.local({ via: hop }),
        router.sudo({ username: "root" }),
      ])
    ) {
      assertEquals(await goesThrough(dest), true);
    }
    for (
      const [i, own] of [
        ["-o", "ControlPath=none"],
        ["-ocontrolmaster no"],
        ["-qS", "none"],
      ].entries()
    ) {
      const other = await router.ssh({
        ...options,
        name: `other${i}`,
        sshArgs: [...sshd.sshArgs, ...own],
      });
      assertEquals(directWay(other), undefined);
      assertEquals(await goesThrough(other), true);
    }
    const far = await router.ssh({
      ...options,
      name: "plain",
      sshArgs: [...sshd.sshArgs, "-oStrictHostKeyChecking=yes"],
    });
    assertEquals(directWay(far)!.ready(), true);
  },
});

Deno.test({
  name: "a context that may not run everything gets nothing run beside it",
  ignore,
  async fn() {
    await using _leaks = await noLeaks();
    await using sshd = await startSshd();
    await using router = new Router({ onLog() {} });
    const options = { hostname: "loopback", sshArgs: sshd.sshArgs };
    const everything = { read: true, write: true, env: true, sys: true };
    for (const runs of [false, ["sh", "/bin/sh"]]) {
      const permissions = { ...everything, run: runs };
      for (
        const dest of [
          await router.local({ permissions }),
          await router.ssh({ ...options, permissions }),
        ]
      ) {
        assertEquals(directWay(dest), undefined);
        const { code } = await run(dest, sh("ssh any true 2>/dev/null"));
        assertEquals(code, 255);
        await dest.shutdown();
      }
    }
  },
});

Deno.test({
  name: "a context cannot have anything else run than its script",
  ignore,
  async fn() {
    await using _leaks = await noLeaks();
    await using router = new Router({ onLog() {} });
    const dest = await router.local();
    const plan = planFor({
      args: ["any", "true"],
      binary: false,
      terminals: [false, false, false],
      uid: 0,
      rows: 0,
      columns: 0,
      env: {},
    });
    if (plan.kind !== "run") throw new Error("it is a command");
    const start = (uid = Deno.uid()!, to = dest) =>
      startDirect(to, plan, {
        binary: false,
        terminal: { rows: 0, columns: 0, term: "" },
        note() {},
        terminals: [false, false, false],
        uid,
      });
    // A tool that has become another user is not to run it as that one.
    assertEquals(await start(65534), undefined);
    const direct = (await start())!;
    assertMatch(direct.argv.at(-1)!, /^\/[\w./+-]+\/run$/);
    assertEquals(await direct.hasBegun(), false);
    await direct.done(false);
    direct.refuse();
    assertEquals(await start(), undefined);

    const liar = await router.local();
    await liar.call(() => {
      // Whatever is asked for is answered with a command line.
      Deno.makeTempDir = () => Promise.resolve("/tmp/x; touch /tmp/pwned");
    });
    assertEquals(await start(Deno.uid()!, liar), undefined);
  },
});

Deno.test({
  name: "what a command is told is nobody else's to read, and is removed",
  ignore,
  async fn() {
    await using _leaks = await noLeaks();
    for (const way of ["session", "here"] as const) {
      await using world = await makeWorld(way);
      const { remote, folder } = world;
      const text = await printed(
        remote,
        `ssh any 'cd "\${TMPDIR:-/tmp}"; ls -ld "$PWD"/mitogen-*/run' 2>&1 | cat`,
      );
      const [, path] = text.match(/^-rw------- 1 .* (\/\S+\/run)$/m)!;
      // The program has ended, and what was its own has been cleared away.
      const there = () =>
        remote.call(async (path: string) => {
          try {
            await Deno.lstat(path);
            return true;
          } catch {
            return false;
          }
        }, path!);
      assertEquals(await there(), false);

      // A context that is killed leaves it to its watchdog.
      const doomed = await world.another();
      const pid = await doomed.call(() => Deno.pid);
      const file = `${folder}/pids`;
      await Deno.writeTextFile(file, "");
      await Deno.chmod(file, 0o666);
      const running = run(
        doomed,
        sh(
          `ssh any 'sleep 1000 & echo $$ $! $(ls -d /tmp/mitogen-*/pid "\${TMPDIR:-/tmp}"/mitogen-*/pid 2>/dev/null | xargs grep -lx $$ | head -1) >${file}; wait'; echo $? >>${file}`,
        ),
        { stdin: "null", stderr: "null" },
      );
      let said = "";
      while (!said.endsWith("\n")) {
        said = await Deno.readTextFile(file);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      const [leader, below, script] = said.trim().split(" ");
      assertEquals([alive(Number(leader)), alive(Number(below))], [true, true]);
      assertMatch(script!, /\/pid$/);
      Deno.kill(pid, "SIGKILL");
      await running;
      assertMatch(await Deno.readTextFile(file), /\n255\n$/);
      await goneWithin(Number(leader), 2000);
      await goneWithin(Number(below), 2000);
      let left = true;
      for (let i = 0; left && i < 200; i++) {
        left = await Deno.lstat(script!).then(() => true, () => false);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      assertEquals(left, false);
    }
  },
});

Deno.test({
  name: "a terminal here is not the command's own",
  ignore,
  async fn() {
    await using _leaks = await noLeaks();
    await using world = await makeWorld("here");
    const { stdout, code } = await world.fake(sh(
      `script -qefc "ssh any 'test -t 0 || test -t 1 || test -t 2 || echo none'; ssh any 'test -t 0 || test -t 2 || echo none' | cat" /dev/null`,
    ));
    assertEquals([code, stdout.replaceAll("\r", "")], [0, "none\nnone\n"]);
    const { stdout: opened } = await world.fake(sh(
      `script -qefc "ssh any '(: </dev/tty) 2>/dev/null && echo tty || echo none' </dev/null | cat" /dev/null`,
    ));
    assertEquals(opened.replaceAll("\r", ""), "none\n");
  },
});

Deno.test({
  name: "what a tool ignores or holds open is not the command's",
  ignore,
  async fn() {
    await using _leaks = await noLeaks();
    for (const way of ["session", "link", "here"] as const) {
      await using world = await makeWorld(way);
      assertEquals(
        await printed(
          world.remote,
          // A job in the background ignores SIGINT.
          `ssh any 'trap "echo caught" INT; kill -INT $$; echo on' </dev/null & wait
           exec 9>/dev/null; ssh any 'test -e /proc/$$/fd/9 && echo open || echo closed' </dev/null`,
        ),
        "caught\non\nclosed\n",
      );
    }
  },
});

Deno.test({
  name:
    "a command is asked to end before it is made to, when its context is shut down",
  ignore,
  async fn() {
    await using _leaks = await noLeaks();
    for (const way of ["here", "link", "session"] as const) {
      await using world = await makeWorld(way);
      const doomed = await world.another();
      const file = `${world.folder}/said`;
      await Deno.writeTextFile(file, "");
      await Deno.chmod(file, 0o666);
      const { promise: up, resolve } = Promise.withResolvers<void>();
      const running = run(
        doomed,
        sh(
          `ssh any 'trap "echo bye >${file}; exit 3" TERM HUP; echo up; sleep 1000 & wait'`,
        ),
        {
          stdin: "null",
          stderr: "null",
          stdout: new WritableStream({ write: () => resolve() }),
        },
      );
      await up;
      await doomed.shutdown();
      await running;
      assertEquals([way, await Deno.readTextFile(file)], [way, "bye\n"]);
    }
  },
});
