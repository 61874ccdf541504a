/** Copies that fail: the error says what and why, and nothing has changed. */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { join } from "@std/path";
import { type Context, CopyError, DisconnectedError, Router } from "../mod.ts";
import { ENDINGS, hops, SOON } from "./fixtures/hops.ts";
import { goneWithin, noLeaks } from "./fixtures/leaks.ts";
import { makeFolder } from "./fixtures/programs.ts";
import { startSshd } from "./fixtures/sshd.ts";
import { bytes, describe, makeTree, names } from "./fixtures/trees.ts";
import { stalling, until } from "./fixtures/stalling.ts";
import { makeUser } from "./fixtures/users.ts";

const ignore = Deno.uid() !== 0;
const quiet = { onLog() {} };
const MIB = 1024 * 1024;

async function refused(
  copying: Promise<void>,
  path: string,
  code: string,
  context: string,
): Promise<CopyError> {
  const error = await assertRejects(() => copying, CopyError);
  assertEquals([error.path, error.code, error.context], [path, code, context]);
  assertStringIncludes(error.message, JSON.stringify(path));
  return error;
}

Deno.test("what cannot be read or written is named, with the reason", async (t) => {
  await using _ = await noLeaks();
  await using folder = await makeFolder();
  const at = (name: string) => join(folder.path, name);
  await using router = new Router(quiet);
  const context = await router.local();
  const there = context.path;
  await Deno.mkdir(at("directory"));
  await Deno.writeTextFile(at("file"), "old");
  const before = await describe(folder.path);
  await t.step("a source that is not there", async () => {
    await refused(
      context.copyTo(at("no"), at("file")),
      at("no"),
      "ENOENT",
      "master",
    );
    await refused(
      context.copyFrom(at("no"), at("file")),
      at("no"),
      "ENOENT",
      there,
    );
    const writable = new WritableStream();
    await refused(
      context.copyFrom(at("no"), writable),
      at("no"),
      "ENOENT",
      there,
    );
  });
  await t.step("a directory that is not there", async () => {
    await refused(
      context.copyTo(at("file"), at("no/file")),
      at("no"),
      "ENOENT",
      there,
    );
    await refused(
      context.copyTo(at("directory"), at("no/x")),
      at("no"),
      "ENOENT",
      there,
    );
    await refused(
      context.copyFrom(at("file"), at("no/x")),
      at("no"),
      "ENOENT",
      "master",
    );
  });
  await t.step(
    "a file where a directory is, and the other way round",
    async () => {
      await refused(
        context.copyTo(at("file"), at("directory")),
        at("directory"),
        "EISDIR",
        there,
      );
      await refused(
        context.copyTo(at("directory"), at("file")),
        at("file"),
        "ENOTDIR",
        there,
      );
      await refused(
        context.copyTo(at("file"), at("file/x")),
        at("file/x"),
        "ENOTDIR",
        there,
      );
      const writable = new WritableStream();
      await refused(
        context.copyFrom(at("directory"), writable),
        at("directory"),
        "EISDIR",
        there,
      );
    },
  );
  await t.step("a source stream that fails", async () => {
    const reason = new RangeError("no more of this");
    const stream = new ReadableStream({ pull: (c) => c.error(reason) });
    assertEquals(
      await assertRejects(() => context.copyTo(stream, at("file"))),
      reason,
    );
  });
  await t.step("a source stream that is not wanted ends", async () => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const stream = new ReadableStream({ cancel: resolve }, {
      highWaterMark: 0,
    });
    await refused(
      context.copyTo(stream, at("directory")),
      at("directory"),
      "EISDIR",
      there,
    );
    await promise;
  });
  await t.step("a target stream that fails", async () => {
    const reason = new RangeError("full");
    const stream = new WritableStream({ write: () => Promise.reject(reason) });
    assertEquals(
      await assertRejects(() => context.copyFrom(at("file"), stream)),
      reason,
    );
  });
  await t.step("a socket in a directory", async () => {
    await Deno.mkdir(at("special"));
    using _ = Deno.listen({ transport: "unix", path: at("special/socket") });
    await refused(
      context.copyTo(at("special"), at("copy")),
      at("special/socket"),
      "",
      "master",
    );
    await Deno.remove(at("special"), { recursive: true });
  });
  await t.step("a source that changes while it is read", async () => {
    await Deno.writeFile(at("large"), bytes(8 * MIB));
    const shrink = () => Deno.truncateSync(at("large"), MIB);
    const copying = context.copyTo(at("large"), at("file"), {
      onProgress: shrink,
    });
    const error = await refused(copying, at("large"), "", "master");
    assertStringIncludes(error.message, "shorter");
    await Deno.remove(at("large"));
    await makeTree(at("tree"), 1000);
    let removed = false;
    const vanish = () => {
      if (removed) return;
      removed = true;
      for (const name of names(at("tree"))) {
        const inner = at(`tree/${name}`);
        if (!Deno.lstatSync(inner).isDirectory) continue;
        for (const name of names(inner)) {
          Deno.removeSync(join(inner, name), { recursive: true });
        }
      }
    };
    const tree = context.copyTo(at("tree"), at("copy"), { onProgress: vanish });
    const gone = await assertRejects(() => tree, CopyError);
    assertEquals([gone.code, gone.context], ["ENOENT", "master"]);
    assert(gone.path.startsWith(at("tree/")), gone.path);
    await Deno.remove(at("tree"), { recursive: true });
  });
  await t.step("names that are not UTF-8", async () => {
    await Deno.mkdir(at("bytes"));
    const make = async (command: string) => {
      const { success } = await new Deno.Command("sh", {
        args: ["-c", command],
        cwd: at("bytes"),
      }).output();
      assert(success);
    };
    const said = async () => {
      const path = at("bytes/caf\ufffd");
      const error = await refused(
        context.copyTo(at("bytes"), at("copy")),
        path,
        "",
        "master",
      );
      assertStringIncludes(error.message, "UTF-8");
      await refused(context.copyFrom(at("bytes"), at("copy")), path, "", there);
    };
    await make(`echo x >"$(printf 'caf\\351')"`);
    await said();
    // Beside one that Deno shows under the same name, but can open.
    await make(`echo x >"$(printf 'caf\\357\\277\\275')"`);
    await said();
    await make(
      `rm -f caf*; ln -s "$(printf '\\377')" "$(printf 'caf\\357\\277\\275')"`,
    );
    await said();
    await Deno.remove(at("bytes"), { recursive: true });
  });
  await t.step("what the context was not granted", async () => {
    const sandbox = await router.local({ permissions: "none" });
    const error = await refused(
      context.copyTo(at("file"), at("x")).then(() =>
        sandbox.copyTo(at("file"), at("x"))
      ),
      at("x"),
      "",
      sandbox.path,
    );
    assertStringIncludes(error.message, "not granted");
    await refused(
      sandbox.copyFrom(at("x"), at("y")),
      at("x"),
      "",
      sandbox.path,
    );
    const permissions = { read: [at("directory")], write: [at("directory")] };
    const narrow = await router.local({ permissions });
    await narrow.copyTo(at("file"), at("directory/x"));
    await narrow.copyFrom(at("directory/x"), at("y"));
    assertEquals(await Deno.readTextFile(at("y")), "old");
    await refused(
      narrow.copyTo(at("file"), at("y")),
      at("y"),
      "",
      narrow.path,
    );
    for (const name of ["x", "y", "directory/x"]) await Deno.remove(at(name));
  });
  await Deno.utime(folder.path, 1, 2);
  await Deno.utime(at("directory"), 1, 2);
  const steady = (lines: string[]) =>
    lines.map((line) => line.replace(/^(\/directory)?,\d+,\d+/, "$1"));
  assertEquals(steady(await describe(folder.path)), steady(before));
});

Deno.test({
  name:
    "a full disk and a directory that is not ours: the old file stays whole",
  ignore,
  async fn() {
    await using _ = await noLeaks();
    await using folder = await makeFolder();
    await using sshd = await startSshd();
    await using user = await makeUser("mtg-files", "/bin/sh");
    const disk = join(folder.path, "disk");
    const at = (name: string) => join(disk, name);
    await Deno.mkdir(disk);
    const mount = (command: string, ...args: string[]) =>
      new Deno.Command(command, { args }).output();
    await mount("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk);
    try {
      await using router = new Router(quiet);
      const context = await router.local();
      await Deno.writeTextFile(at("file"), "old");
      const large = join(folder.path, "large");
      await Deno.writeFile(large, bytes(3 * MIB));
      await makeTree(join(folder.path, "tree"), 500);
      const { path } = context;
      await refused(
        context.copyTo(large, at("file")),
        at("file"),
        "ENOSPC",
        path,
      );
      await refused(
        context.copyFrom(large, at("file")),
        at("file"),
        "ENOSPC",
        "master",
      );
      const tree = context.copyTo(join(folder.path, "tree"), at("tree"));
      const error = await assertRejects(() => tree, CopyError);
      assertEquals(error.code, "ENOSPC");
      assert(error.path.startsWith(at("tree/")), error.path);
      assertEquals(names(disk), ["file"]);
      assertEquals(await Deno.readTextFile(at("file")), "old");
      // Somebody else's.
      await Deno.chmod(disk, 0o755);
      const other = await router.ssh({
        hostname: "127.0.0.1",
        port: sshd.port,
        username: user.name,
        sshArgs: sshd.sshArgs,
      });
      await Deno.chmod(at("file"), 0o600);
      await refused(
        other.copyTo(large, at("file")),
        at("file"),
        "EACCES",
        other.path,
      );
      await refused(
        other.copyFrom(at("file"), large),
        at("file"),
        "EACCES",
        other.path,
      );
      assertEquals(await Deno.readTextFile(at("file")), "old");
      // Ours is not what root keeps: files belong to who writes them.
      await other.copyTo(at("file"), join(user.home, "file"));
      const [uid, mode] = await other.call(() => {
        const { uid, mode } = Deno.statSync("file");
        return [uid === Deno.uid(), mode! & 0o777];
      });
      assertEquals([uid, mode], [true, 0o600]);
    } finally {
      await mount("umount", disk);
    }
  },
});

Deno.test("a copy that ends in the middle leaves the old file and nothing else", async (t) => {
  await using _ = await noLeaks();
  await using folder = await makeFolder();
  const at = (name: string) => join(folder.path, "d", name);
  await Deno.mkdir(at(""));
  await Deno.writeTextFile(at("file"), "old");
  await using router = new Router(quiet);
  const begun = async (context: Context, signal?: AbortSignal) => {
    const source = stalling(bytes(2 * MIB));
    const before = new Set(names(at("")));
    const copying = context.copyTo(
      source.stream,
      at("file"),
      signal ? { signal } : {},
    );
    copying.catch(() => {});
    // One of its own: what a killed copy has left is no sign of it.
    await until(context, () => names(at("")).some((name) => !before.has(name)));
    return { copying, ...source };
  };
  const unchanged = async () => {
    assertEquals(names(at("")), ["file"]);
    assertEquals(await Deno.readTextFile(at("file")), "old");
  };
  const context = await router.local();
  await t.step("a signal", async () => {
    const controller = new AbortController();
    const { copying, cancelled } = await begun(context, controller.signal);
    const reason = new RangeError("enough");
    controller.abort(reason);
    assertEquals(await assertRejects(() => copying), reason);
    await unchanged();
    await until(context, () => cancelled() !== undefined);
    const late = AbortSignal.abort(reason);
    assertEquals(
      await assertRejects(() =>
        context.copyTo(at("file"), at("x"), { signal: late })
      ),
      reason,
    );
  });
  await t.step(
    "a signal, in the middle of a directory, both ways",
    async () => {
      const tree = join(folder.path, "tree");
      await makeTree(tree, 3000);
      for (const method of ["copyTo", "copyFrom"] as const) {
        const controller = new AbortController();
        const copying = context[method](tree, at("tree"), {
          signal: controller.signal,
          onProgress: ({ files }) => files > 100 && controller.abort(),
        });
        await assertRejects(() => copying, DOMException);
        await unchanged();
      }
    },
  );
  await t.step("a context that is shut down", async () => {
    const context = await router.local();
    const { copying } = await begun(context);
    await context.shutdown();
    await assertRejects(() => copying);
    await unchanged();
  });
  await t.step("a hop that is killed", async () => {
    const hop = await router.local();
    const context = await router.local({ via: hop });
    const { copying } = await begun(context);
    const pid = await context.call(() => Deno.pid);
    Deno.kill(await hop.call(() => Deno.pid), "SIGKILL");
    await assertRejects(() => copying, DisconnectedError);
    await goneWithin(pid, 2000);
    await unchanged();
  });
  await t.step("a context that is killed while it sends", async () => {
    const large = join(folder.path, "large");
    await Deno.writeFile(large, bytes(32 * MIB));
    const context = await router.local();
    const pid = await context.call(() => Deno.pid);
    const onProgress = () => Deno.kill(pid, "SIGKILL");
    await assertRejects(
      () => context.copyFrom(large, at("file"), { onProgress }),
      DisconnectedError,
    );
    await unchanged();
  });
  await t.step(
    "a context that is killed: the next copy clears up",
    async () => {
      const context = await router.local();
      const { copying } = await begun(context);
      Deno.kill(await context.call(() => Deno.pid), "SIGKILL");
      await assertRejects(() => copying, DisconnectedError);
      assertEquals(await Deno.readTextFile(at("file")), "old");
      const next = await router.local();
      const { copying: other, go } = await begun(next);
      assertEquals(names(at("")).length, 2);
      // Only what nobody writes is cleared away.
      await next.copyTo(new Blob(["new"]).stream(), at("new"));
      assertEquals(names(at("")).length, 3);
      go();
      await other;
      assertEquals(names(at("")), ["file", "new"]);
      assertEquals((await Deno.stat(at("file"))).size, 4 * MIB);
    },
  );
  for (const [ending, { end }] of Object.entries(ENDINGS)) {
    for (const ended of [0, 1, 2]) {
      await t.step(`${ending} of hop ${ended + 1} of three`, async () => {
        await Deno.writeTextFile(at("file"), "old");
        const all = await hops(router, SOON);
        const pids = await Promise.all(all.map((c) => c.call(() => Deno.pid)));
        const before = names(at(""));
        const { copying, cancelled } = await begun(all[2]);
        end(all[ended]!, pids[ended]!);
        await assertRejects(() => copying, DisconnectedError);
        await until(context, () => cancelled() !== undefined);
        for (const pid of pids.slice(ended)) await goneWithin(pid, 4000);
        // Who was killed where it wrote leaves that to the next copy.
        if (ended === 2) await context.copyTo(at("new"), at("new"));
        assertEquals(names(at("")), before);
        assertEquals(await Deno.readTextFile(at("file")), "old");
      });
    }
  }
});
