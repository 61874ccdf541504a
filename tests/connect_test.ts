/** How a connection that cannot be made ends: with the right kind, and nothing left. */
import {
  assert,
  assertEquals,
  assertLess,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import {
  ConnectError,
  type ConnectErrorKind,
  type Context,
  Router,
} from "../mod.ts";
import { sshArgs } from "../parent/mod.ts";
import { noLeaks } from "./fixtures/leaks.ts";
import { makeFolder } from "./fixtures/programs.ts";
import { startSshd } from "./fixtures/sshd.ts";
import { makeUser } from "./fixtures/users.ts";

const ignore = Deno.uid() !== 0;
const quiet = { onLog() {} };

async function refused(
  connecting: Promise<Context>,
  kind: ConnectErrorKind,
  hop?: RegExp,
): Promise<ConnectError> {
  const error = await assertRejects(() => connecting, ConnectError);
  assertEquals(error.kind, kind, error.message);
  if (hop) assertMatch(error.hop, hop);
  return error;
}

/** A port on which everybody is welcome and nobody is spoken to. */
function silentPort(): Disposable & { port: number } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const connections: Deno.Conn[] = [];
  void (async () => {
    for await (const connection of listener) connections.push(connection);
  })().catch(() => {});
  return {
    port: listener.addr.port,
    [Symbol.dispose]() {
      listener.close();
      for (const connection of connections) connection.close();
    },
  };
}

Deno.test({
  name: "each failure has its kind, here and behind a hop",
  ignore,
  async fn(t) {
    await using _ = await noLeaks();
    await using folder = await makeFolder();
    await using sshd = await startSshd();
    using silent = silentPort();
    const wrongKnownHosts = `${folder.path}/known_hosts`;
    const other = await Deno.readTextFile(`${sshd.folder}/key.pub`);
    await Deno.writeTextFile(
      wrongKnownHosts,
      `[127.0.0.1]:${sshd.port} ${other}`,
    );
    await using router = new Router(quiet);
    const hop = await router.local();
    for (const via of [undefined, hop]) {
      const where = via ? "behind a hop" : "here";
      const through = via ? { via } : {};
      const base = {
        ...through,
        hostname: "127.0.0.1",
        port: sshd.port,
        username: "root",
        identityFile: sshd.identityFile,
      };
      const known = ["-o", `UserKnownHostsFile=${sshd.knownHosts}`];
      const path = via ? /^master\/local\.1\/./ : /^master\/[^/]+$/;

      await t.step(`a host that never speaks: timeout, ${where}`, async () => {
        const error = await refused(
          router.ssh({ ...base, port: silent.port, connectTimeout: 300 }),
          "timeout",
          path,
        );
        assertStringIncludes(error.message, "300 ms");
      });
      await t.step(`an unknown host key: hostkey, ${where}`, async () => {
        const empty = ["-o", "UserKnownHostsFile=/dev/null"];
        await refused(router.ssh({ ...base, sshArgs: empty }), "hostkey", path);
      });
      await t.step(`a changed host key: hostkey, ${where}`, async () => {
        const wrong = ["-o", `UserKnownHostsFile=${wrongKnownHosts}`];
        const error = await refused(
          router.ssh({ ...base, sshArgs: wrong }),
          "hostkey",
          path,
        );
        assertStringIncludes(error.tail, "IDENTIFICATION HAS CHANGED");
        assertStringIncludes(error.command, "ssh -T");
      });
      await t.step(`a key that is not taken: auth, ${where}`, async () => {
        await refused(
          router.ssh({
            ...base,
            identityFile: `${sshd.folder}/host`,
            sshArgs: known,
          }),
          "auth",
          path,
        );
      });
      await t.step(
        `a host that does not exist: not-found, ${where}`,
        async () => {
          await refused(
            router.ssh({ ...base, hostname: "no-such-host.invalid" }),
            "not-found",
            path,
          );
        },
      );
      await t.step(`a missing ssh: not-found, ${where}`, async () => {
        const error = await refused(
          router.ssh({ ...base, sshPath: "no-such-ssh" }),
          "not-found",
          path,
        );
        assertStringIncludes(error.message, "no-such-ssh");
      });
      await t.step(`a target without Deno: runtime, ${where}`, async () => {
        await refused(
          router.ssh({ ...base, sshArgs: known, deno: { path: "/no/deno" } }),
          "runtime",
          path,
        );
        await refused(
          router.local({ ...through, deno: { path: "/no/deno" } }),
          "runtime",
          path,
        );
      });
      await t.step(`a program that is no Deno: ${where}`, async () => {
        const error = await refused(
          router.local({ ...through, deno: { path: "/bin/false" } }),
          "eof",
          path,
        );
        assertMatch(error.message, /exited with code 1/);
      });
      await t.step(`a signal: cancelled, ${where}`, async () => {
        const controller = new AbortController();
        const connecting = router.ssh({
          ...base,
          port: silent.port,
          signal: controller.signal,
        });
        setTimeout(() => controller.abort(new Error("changed my mind")), 50);
        const error = await refused(connecting, "cancelled");
        assertStringIncludes(error.message, "changed my mind");
        const gone = AbortSignal.abort(new Error("too late"));
        await refused(router.local({ ...through, signal: gone }), "cancelled");
      });
    }
    // All of it left the router and the hop as they were.
    assertEquals(await hop.call(() => 1), 1);
    assertEquals(router.contexts(), [hop]);
  },
});

Deno.test("the loss of the hop while it connects is said", async () => {
  await using _ = await noLeaks();
  using silent = silentPort();
  await using router = new Router(quiet);
  const via = await router.local();
  const connecting = router.ssh({
    via,
    hostname: "127.0.0.1",
    port: silent.port,
  });
  await via.ping();
  Deno.kill(await via.call(() => Deno.pid), "SIGKILL");
  const error = await refused(connecting, "eof");
  assertEquals(error.hop, via.path);
});

Deno.test({
  name: "any login shell will do, and noise on the way does not matter",
  ignore,
  async fn(t) {
    await using _ = await noLeaks();
    await using sshd = await startSshd();
    await using router = new Router(quiet);
    for (const shell of ["bash", "dash", "zsh", "fish", "tcsh", "bsd-csh"]) {
      await t.step(shell, async () => {
        await using user = await makeUser(`mtg-${shell}`, `/bin/${shell}`);
        const profiles = [".bashrc", ".zshenv", ".cshrc", ".tcshrc"];
        for (const file of profiles) {
          await Deno.writeTextFile(
            `${user.home}/${file}`,
            'echo "Welcome! MITO000"\necho -n "no end"\n',
          );
        }
        await Deno.mkdir(`${user.home}/.config/fish`, { recursive: true });
        await Deno.writeTextFile(
          `${user.home}/.config/fish/config.fish`,
          'echo "Welcome! MITO001"\necho -n "no end"\n',
        );
        const context = await router.ssh({
          hostname: "127.0.0.1",
          port: sshd.port,
          username: user.name,
          sshArgs: sshd.sshArgs,
          env: { QUOTED: `it's "so" $HOME \\ ! é` },
          cwd: "/tmp",
        });
        const [uid, cwd, quoted] = await context.call(() => [
          Deno.uid(),
          Deno.cwd(),
          Deno.env.get("QUOTED"),
        ]);
        assert(Number(uid) > 0);
        assertEquals([cwd, quoted], ["/tmp", `it's "so" $HOME \\ ! é`]);
        await context.shutdown();
      });
    }
  },
});

Deno.test("pipes that give one byte at a time, and non-blocking ones, will do", async () => {
  await using _ = await noLeaks();
  await using folder = await makeFolder();
  await using router = new Router(quiet);
  // The last argument is what ssh would hand to the login shell.
  const last = "for last; do :; done";
  const ssh = {
    bytes:
      `#!/bin/sh\n${last}\ndd bs=1 2>/dev/null | sh -c "$last" | dd bs=1 2>/dev/null\n`,
    nonblocking: `#!/bin/sh\n${last}\npython3 -c '
import fcntl, os, sys
for fd in (0, 1):
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)
os.execvp("sh", ["sh", "-c", sys.argv[1]])' "$last"\n`,
  };
  for (const [name, source] of Object.entries(ssh)) {
    const sshPath = await folder.program(name, source);
    const context = await router.ssh({ hostname: name, sshPath });
    assertEquals(await context.call((n: number) => n * 2, 21), 42);
    const bytes = new Uint8Array(100_000).fill(7);
    assertEquals(
      (await context.call((b: Uint8Array) => b, bytes)).length,
      100_000,
    );
    await context.shutdown();
  }
});

Deno.test("a Deno that is a script around the real one will do", async () => {
  await using _ = await noLeaks();
  await using folder = await makeFolder();
  await using router = new Router(quiet);
  // As npm installs it: it does not hand on descriptors above 2.
  await folder.program(
    "deno",
    `#!/bin/sh\nexec 3<&- 4>&-\nexec ${Deno.execPath()} "$@"\n`,
  );
  const sshPath = await folder.program(
    "ssh",
    `#!/bin/sh\nfor last; do :; done\nPATH=${folder.path}:$PATH exec sh -c "$last"\n`,
  );
  const context = await router.ssh({ hostname: "shim", sshPath });
  assertEquals(await context.call(() => Deno.execPath()), Deno.execPath());
});

Deno.test("a machine without Deno says what it is, and is a runtime error", async () => {
  await using _ = await noLeaks();
  await using folder = await makeFolder();
  await using router = new Router(quiet);
  const sshPath = await folder.program(
    "ssh",
    '#!/bin/sh\nfor last; do :; done\nPATH=/usr/bin:/bin HOME=/nowhere exec sh -c "$last"\n',
  );
  // Only where /usr/bin has no Deno of its own can this be seen for real.
  const own = await new Deno.Command("sh", {
    args: ["-c", "PATH=/usr/bin:/bin command -v deno"],
  }).output();
  if (own.success) {
    const bare = await folder.program(
      "bare-ssh",
      `#!/bin/sh\nfor last; do :; done\nmkdir -p ${folder.path}/bin\nfor p in sh uname dd; do ln -sf "$(command -v $p)" ${folder.path}/bin/; done\nPATH=${folder.path}/bin HOME=/nowhere exec sh -c "$last"\n`,
    );
    const error = await refused(
      router.ssh({ hostname: "bare", sshPath: bare, deno: { ship: "never" } }),
      "runtime",
    );
    assertMatch(error.message, /Linux/);
    return;
  }
  const error = await refused(
    router.ssh({ hostname: "bare", sshPath, deno: { ship: "never" } }),
    "runtime",
  );
  assertMatch(error.message, /Linux/);
});

Deno.test("what ssh would misread is refused before it runs", async () => {
  await using router = new Router(quiet);
  for (
    const options of [
      { hostname: "-oProxyCommand=touch /tmp/pwned" },
      { hostname: "" },
      { hostname: "two words" },
      { hostname: "ok", username: "-l" },
      { hostname: "ok", env: { "A=B": "x" } },
      { hostname: "ok", env: { A: "line\nbreak" } },
      { hostname: "ok", name: "../up" },
      { hostname: "ok", deno: { cacheDir: "~/.cache" } },
      { hostname: "ok", deno: { cacheDir: "/a\nb" } },
      { hostname: "ok", deno: { version: "2.9.6;reboot" } },
      { hostname: "ok", permissions: { read: ["/a,b"] } },
      { hostname: "ok", permissions: { everything: true } as never },
    ]
  ) {
    await assertRejects(() => router.ssh(options), TypeError);
  }
});

Deno.test("a connection may take as long as it is told; what is no time is refused by each way in", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const via = await router.local({ connectTimeout: Infinity });
  for (const connectTimeout of [Infinity, 2 ** 31, 2 ** 40]) {
    await router.local({ via, connectTimeout });
    await router.worker({ connectTimeout });
  }
  for (const through of [{}, { via }]) {
    for (const connectTimeout of [NaN, -1]) {
      await assertRejects(
        () => router.local({ ...through, connectTimeout }),
        RangeError,
        `Cannot connect: connectTimeout is ${connectTimeout}`,
      );
    }
    await assertRejects(
      () => router.local({ ...through, connectTimeout: "5" as never }),
      TypeError,
      "Cannot connect: connectTimeout is a number of milliseconds",
    );
  }
  const host = { hostname: "h" };
  const option = (connectTimeout: number) =>
    sshArgs({ ...host, connectTimeout }).find((arg) =>
      arg.startsWith("ConnectTimeout=")
    );
  assertEquals(option(1500), "ConnectTimeout=2");
  assertEquals(option(Infinity), "ConnectTimeout=none");
});

Deno.test("a hop that has stopped does not hold up who connects through it", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const via = await router.local();
  const behind = await router.local({ via });
  const pid = await via.call(() => Deno.pid);
  Deno.kill(pid, "SIGSTOP");
  const begin = performance.now();
  const hops = [via, behind].map(async (via) => {
    const error = await refused(
      router.local({ via, connectTimeout: 500 }),
      "timeout",
    );
    assertEquals(error.hop, via.path);
    assertEquals(
      error.message,
      `Cannot connect: ${via.path} has not answered for 500 ms`,
    );
  });
  await Promise.all(hops);
  assertLess(performance.now() - begin, 10_000);
  Deno.kill(pid, "SIGCONT");
  // It was told meanwhile that nobody waits any more.
  assertEquals(await behind.call(() => 1), 1);
  assertEquals(router.contexts(), [via, behind]);
  await router.local({ via: behind, connectTimeout: 20_000 });
});

Deno.test("a hop that answers says itself why it cannot connect", async () => {
  await using _ = await noLeaks();
  using silent = silentPort();
  await using router = new Router(quiet);
  const via = await router.local();
  const error = await refused(
    router.ssh({
      via,
      hostname: "127.0.0.1",
      port: silent.port,
      connectTimeout: 2500,
    }),
    "timeout",
  );
  assertMatch(error.message, /not ready after 2500 ms/);
  assertMatch(error.hop, /^master\/local\.1\/./);
});
