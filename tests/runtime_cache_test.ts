/** Where a runtime is kept, who puts it there, and what happens when that fails. */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { ConnectError } from "../mod.ts";
import { lacking } from "../tools/system.ts";
import { PIECE } from "../parent/mod.ts";
import { makeBareRoot } from "./fixtures/bare_root.ts";
import { noLeaks } from "./fixtures/leaks.ts";
import { makeFolder } from "./fixtures/programs.ts";
import {
  CACHE,
  counting,
  empty,
  enter,
  kept,
  refused,
  visit,
} from "./fixtures/shipping.ts";
import { smallRuntime } from "./fixtures/small_runtime.ts";

const ignore = await lacking("root", "busybox", "chroot", "mount", "dash");

Deno.test({
  name: "an entry of the cache is used if it is what it was",
  ignore,
  async fn(t) {
    await using _ = await noLeaks();
    await using root = await makeBareRoot({ real: true });
    await using counted = counting(await smallRuntime(root.real));
    const { router, sent } = counted;
    await visit(router, root);
    const [path = ""] = await kept(root);
    assertEquals(sent(), 1);

    await t.step("one that was cut off is replaced", async () => {
      await Deno.truncate(root.path + path, 1000);
      await visit(router, root);
      assertEquals(sent(), 1);
      assertEquals(await kept(root), [path]);
    });
    await t.step("one that is only newer than it was is not", async () => {
      await Deno.utime(root.path + path, new Date(), new Date());
      await visit(router, root);
      assertEquals(sent(), 0);
    });
    await t.step("one that belongs to somebody else is not used", async () => {
      await Deno.chown(root.path + CACHE, 12345, null);
      await visit(router, root);
      assertEquals(sent(), 1);
      const [, other = ""] = await kept(root);
      assertMatch(other, /^\/var\/tmp\/mitogen\/deno-/);
      await Deno.remove(`${root.path}/var/tmp/mitogen`, { recursive: true });
      await Deno.chown(root.path + CACHE, 0, null);
    });
    await t.step("it can be forbidden", async () => {
      const never = enter(router, root, { ship: "never", cacheDir: "/x" });
      await refused(never, /no usable Deno on that machine \(Linux .*install/);
      assertEquals(sent(), 0);
      assertEquals(await kept(root), [path]);
    });
    await t.step("a folder may be named; old ones go from it", async () => {
      const folder = `${root.path}/srv/kept/mitogen`;
      await Deno.mkdir(`${folder}/part.elsewhere.1`, { recursive: true });
      for (let i = 1; i <= 4; i++) {
        const name = `${folder}/deno-2.0.${i}-x`;
        for (const file of [name, `${name}.ok`]) {
          await Deno.writeTextFile(file, "");
          await Deno.utime(file, new Date(i * 1e6), new Date(i * 1e6));
        }
      }
      await visit(router, root, { cacheDir: "/srv/kept" });
      assertEquals(sent(), 1);
      const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
      const name = path.split("/").at(-1)!;
      // What another machine is putting there is left alone.
      assertEquals(names.filter((n) => !n.endsWith(".ok")).sort(), [
        "deno-2.0.3-x",
        "deno-2.0.4-x",
        name,
        "part.elsewhere.1",
      ]);
    });
  },
});

Deno.test({
  name: "a connection that is cut half-way leaves nothing that could be used",
  ignore,
  async fn(t) {
    await using _ = await noLeaks();
    await using root = await makeBareRoot({ real: true });
    const source = await smallRuntime(root.real);
    await using counted = counting(source);
    const { router, sent } = counted;

    await t.step("the other end hears the end", async () => {
      const sshPath = await root.cutAfter(20);
      const error = await assertRejects(
        () => router.ssh({ hostname: "bare", sshPath }),
        ConnectError,
      );
      assertEquals(error.kind, "eof", error.message);
      assertEquals(await root.files(), []);
    });
    await t.step("the caller gives up", async () => {
      const controller = new AbortController();
      source.before = (offset) => {
        if (offset < PIECE * 4) return Promise.resolve();
        // The rest never comes.
        controller.abort();
        return new Promise(() => {});
      };
      const connecting = router.ssh({
        hostname: "bare",
        sshPath: root.sshPath,
        signal: controller.signal,
      });
      const error = await assertRejects(() => connecting, ConnectError);
      assertEquals(error.kind, "cancelled", error.message);
      assertEquals(await root.files(), []);
      source.before = () => Promise.resolve();
    });
    await t.step("the next one works", async () => {
      sent();
      await visit(router, root);
      assertEquals(sent(), 1);
      assertEquals((await kept(root)).length, 1);
    });
    await t.step("what a killed process left is cleared up", async () => {
      const [path = ""] = await kept(root);
      const nodename = Deno.hostname();
      const lock = `${root.path}${path}.lock`;
      const part = `${root.path}${CACHE}/part.${nodename}.4194305`;
      await Deno.mkdir(lock);
      await Deno.writeTextFile(`${lock}/by`, `${nodename} 4194305\n`);
      await Deno.mkdir(part);
      await Deno.rename(root.path + path, `${part}/deno`);
      await visit(router, root);
      assertEquals(sent(), 1);
      assertEquals(await kept(root), [path]);
    });
  },
});

Deno.test({
  name: "of some connections at once, only one sends it",
  ignore,
  async fn() {
    await using _ = await noLeaks();
    await using root = await makeBareRoot({ real: true });
    const source = await smallRuntime(root.real);
    await using one = counting(source);
    await using two = counting(source);
    const gate = Promise.withResolvers<void>();
    source.before = () => gate.promise;
    const waiting = () =>
      [...one.steps, ...two.steps].filter(({ message }) =>
        message?.startsWith("another connection")
      ).length;
    const via = await two.router.local();
    // Nothing is sent before the others have seen that somebody does it.
    one.watch = two.watch = () => void (waiting() === 2 && gate.resolve());
    await Promise.all([
      visit(one.router, root),
      visit(two.router, root),
      visit(two.router, root, {}, via),
    ]);
    assertEquals(waiting(), 2);
    assertEquals(one.sent() + two.sent(), 1);
    assertEquals((await kept(root)).length, 1);
  },
});

Deno.test({
  name: "directories that will not do are passed over, and named in the end",
  ignore,
  async fn(t) {
    await using _ = await noLeaks();
    await using root = await makeBareRoot({ real: true });
    await using counted = counting(await smallRuntime(root.real));
    const { router, sent } = counted;
    await root.tmpfs("root/.cache", "noexec");
    await root.tmpfs("var/tmp", "ro");
    await root.tmpfs("tmp", "size=1m");
    await root.tmpfs("srv", "noexec");

    await t.step("none will do", async () => {
      const { message } = await refused(
        enter(router, root, { cacheDir: "/srv" }),
        /nowhere to put one. Tried \/srv: /,
      );
      assertMatch(message, /\/srv: nothing may be run from there/);
      assertMatch(message, /\/root\/.cache: nothing may be run/);
      assertMatch(message, /\/var\/tmp: it cannot be written to/);
      assertMatch(message, /\/tmp: \d+ KiB are free, \d+ are needed/);
      assertEquals(sent(), 0);
      assertEquals(await root.files(), []);
    });
    await t.step("the next is taken when nothing is to be kept", async () => {
      await visit(router, root, { cacheDir: null });
      assertEquals(sent(), 1);
      await empty(root);
    });
    await t.step("the last will do", async () => {
      await root.unmount("tmp");
      await visit(router, root);
      await visit(router, root);
      assertEquals(sent(), 1);
      const [path = ""] = await kept(root);
      assertMatch(path, /^\/tmp\/mitogen\//);
    });
  },
});

Deno.test({
  name: "where everybody may write, only a folder of one's own is used",
  ignore,
  async fn() {
    await using _ = await noLeaks();
    await using root = await makeBareRoot({ real: true });
    const uid = 12345;
    await using counted = counting(await smallRuntime(root.real));
    const { router, sent } = counted;
    const visitAsOther = async () => {
      const sshPath = await root.as(uid);
      await using context = await router.ssh({ hostname: "bare", sshPath });
      assertEquals(await context.call(() => Deno.uid()), uid);
    };
    // What somebody else has prepared is a program of theirs.
    const trap = `${root.path}/var/tmp/mitogen-${uid}`;
    await Deno.mkdir(trap);
    await Deno.chmod(trap, 0o777);
    const elsewhere = `${root.path}/tmp/mitogen-${uid}`;
    await visitAsOther();
    await visitAsOther();
    assertEquals(sent(), 1);
    const { uid: owner, mode } = await Deno.stat(elsewhere);
    assertEquals([owner, mode! & 0o777], [uid, 0o700]);
    assertEquals([...Deno.readDirSync(trap)], []);
    // Nor is it followed to where a link leads.
    await Deno.rename(elsewhere, `${root.path}/tmp/other`);
    await Deno.symlink("/tmp/other", elsewhere);
    const sshPath = await root.as(uid);
    const error = await refused(
      router.ssh({ hostname: "bare", sshPath }),
      /\/var\/tmp: \S+ is not this user's own; \/tmp: \S+ is not this/,
    );
    assertMatch(error.message, /\/root: .*cannot|\/root\/.cache: /);
    assertEquals(sent(), 0);
  },
});

Deno.test({
  name: "where df is not there, it is sent anew to the next directory",
  ignore,
  async fn() {
    await using _ = await noLeaks();
    await using root = await makeBareRoot({
      real: true,
      shell: "dash",
      without: ["df"],
    });
    await using counted = counting(await smallRuntime(root.real));
    await root.tmpfs("root/.cache", "size=1m");
    await visit(counted.router, root);
    assertEquals(counted.sent(), 2);
    const [path = ""] = await kept(root);
    assertMatch(path, /^\/var\/tmp\/mitogen\//);
  },
});

Deno.test({
  name: "no gzip and no tool for hashes will do, and no home either",
  ignore,
  async fn() {
    await using _ = await noLeaks();
    await using root = await makeBareRoot({
      real: true,
      shell: "dash",
      without: ["gzip", "sha256sum", "df", "id"],
    });
    await using counted = counting(await smallRuntime(root.real));
    await Deno.remove(`${root.path}/root`);
    await Deno.remove(`${root.path}/tmp`);
    await Deno.remove(`${root.path}/var`, { recursive: true });
    await visit(counted.router, root);
    await visit(counted.router, root);
    assertEquals(counted.sent(), 1);
    const [path = ""] = await kept(root);
    assertMatch(path, /^\/root\/.cache\/mitogen/);
  },
});

Deno.test({
  name: "any sh there will do",
  ignore: await lacking("dash", "bash", "zsh", "busybox"),
  async fn(t) {
    await using _ = await noLeaks();
    await using counted = counting(await smallRuntime(Deno.execPath()));
    const { router, sent } = counted;
    const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    for (const shell of ["dash", "bash", "zsh", "busybox"]) {
      await t.step(shell, async () => {
        await using folder = await makeFolder();
        await Deno.mkdir(`${folder.path}/bin`);
        for (const name of TOOLS) {
          const found = await which(name, path);
          await Deno.symlink(found, `${folder.path}/bin/${name}`);
        }
        await Deno.symlink(await which(shell, path), `${folder.path}/bin/sh`);
        const sshPath = await folder.program(
          "ssh",
          `#!/bin/sh\nfor last; do :; done\nexport HOME=${folder.path} PATH=${folder.path}/bin\nunset XDG_CACHE_HOME\nexec sh -c "$last"\n`,
        );
        for (const cacheDir of [undefined, undefined, null]) {
          const deno = cacheDir === null ? { cacheDir } : {};
          const context = await router.ssh({ hostname: shell, sshPath, deno });
          assertEquals(await context.call(() => 1), 1);
          await context.shutdown();
        }
        assertEquals(sent(), 2);
        const cache = `${folder.path}/.cache/mitogen`;
        assertEquals([...Deno.readDirSync(cache)].length, 2);
      });
    }
  },
});

/** What is needed of a machine, by and large. */
const TOOLS = (
  "cat chmod dd df gzip head id ls mkdir mkfifo mv rm rmdir sha256sum sleep " +
  "tail uname wc"
).split(" ");

async function which(program: string, path: string): Promise<string> {
  const { stdout } = await new Deno.Command("sh", {
    args: ["-c", `command -v ${program}`],
    env: { PATH: path },
  }).output();
  return new TextDecoder().decode(stdout).trim();
}
