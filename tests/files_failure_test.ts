/** Copies that fail: the error says what and why, and nothing has changed. */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { join, toFileUrl } from "@std/path";
import {
  type Context,
  CopyError,
  type CopyOptions,
  type CopyProgress,
  copyToAll,
  DisconnectedError,
  Router,
} from "../mod.ts";
import { ENDINGS, hops, SOON } from "./fixtures/hops.ts";
import { goneWithin, noLeaks } from "./fixtures/leaks.ts";
import { makeFolder, run } from "./fixtures/programs.ts";
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

Deno.test("a socket, a pipe or a device is neither read nor replaced", async (t) => {
  await using _ = await noLeaks();
  await using folder = await makeFolder();
  const at = (name: string) => join(folder.path, name);
  await using router = new Router(quiet);
  const context = await router.local();
  const below = await router.local({ via: context });
  await Deno.writeTextFile(at("file"), "text");
  await Deno.mkdir(at("d"));
  const nodes: Record<string, () => Promise<unknown>> = {
    pipe: () => run("mkfifo", at("d/node")),
    // What `/dev/null` and `/dev/zero` are, in a place of our own.
    "device that is empty": () => run("mknod", at("d/node"), "c", "1", "3"),
    "device without end": () => run("mknod", at("d/node"), "c", "1", "5"),
    // Its name goes when it is closed; a name that it has got besides stays.
    socket: async () => {
      using _ = Deno.listen({ transport: "unix", path: at("socket") });
      await Deno.link(at("socket"), at("d/node"));
    },
  };
  for (const [name, make] of Object.entries(nodes)) {
    await t.step({
      name: name.startsWith("device") ? `a ${name} (needs root)` : `a ${name}`,
      ignore: ignore && name.startsWith("device"),
      async fn() {
        await make();
        const { ino } = await Deno.lstat(at("d/node"));
        const isNot = async (copying: Promise<void>, ...where: string[]) => {
          const [path, context] = where as [string, string];
          const error = await refused(copying, path, "", context);
          assertStringIncludes(error.message, "a socket, a pipe or a device");
          assertEquals((await Deno.lstat(at("d/node"))).ino, ino);
          assertEquals(names(at("d")), ["node"]);
        };
        await Deno.symlink("d/node", at("link"));
        for (const resume of [false, true]) {
          for (const from of ["d/node", "link"]) {
            const options = { resume };
            const to = context.copyTo(at(from), at("x"), options);
            await isNot(to, at(from), "master");
            const back = context.copyFrom(at(from), at("x"), options);
            await isNot(back, at(from), context.path);
          }
          const [file, node] = [at("file"), at("d/node")];
          const to = context.copyTo(file, node, { resume });
          await isNot(to, node, context.path);
          const back = context.copyFrom(file, node, { resume });
          await isNot(back, node, "master");
        }
        const { readable, writable } = new TransformStream<Uint8Array>();
        const reading = assertRejects(() => new Response(readable).bytes());
        await isNot(
          context.copyFrom(at("d/node"), writable),
          at("d/node"),
          context.path,
        );
        await reading;
        const { errors } = await assertRejects(
          () => copyToAll([context, below], at("file"), at("d/node")),
          AggregateError,
        );
        for (const [i, { path }] of [context, below].entries()) {
          await isNot(Promise.reject(errors[i]), at("d/node"), path);
        }
        // In a directory that is there: files and links keep off.
        await Deno.mkdir(at("tree"));
        for (
          const make of [
            () => Deno.writeTextFile(at("tree/node"), "small"),
            () => Deno.writeFile(at("tree/node"), bytes(MIB)),
            () => Deno.symlink("elsewhere", at("tree/node")),
          ]
        ) {
          await make();
          const to = context.copyTo(at("tree"), at("d"));
          await isNot(to, at("d/node"), context.path);
          const back = context.copyFrom(at("tree"), at("d"));
          await isNot(back, at("d/node"), "master");
          await Deno.remove(at("tree/node"));
        }
        await refused(
          context.copyTo(at("tree"), at("d/node")),
          at("d/node"),
          "ENOTDIR",
          context.path,
        );
        // A link to it is a link: it is replaced, and what it led to stays.
        await context.copyTo(at("file"), at("link"));
        assert((await Deno.lstat(at("link"))).isFile);
        assertEquals((await Deno.lstat(at("d/node"))).ino, ino);
        for (const name of ["link", "tree", "d/node"]) {
          await Deno.remove(at(name));
        }
        assertEquals(names(folder.path), ["d", "file"]);
      },
    });
  }
});

Deno.test("options and paths that mean nothing are refused before anything is done", async (t) => {
  await using _ = await noLeaks();
  await using folder = await makeFolder();
  const at = (name: string) => join(folder.path, name);
  await using router = new Router(quiet);
  const context = await router.local();
  const there = context.path;
  await Deno.writeTextFile(at("file"), "text");
  const wrong: [option: string, value: unknown, error: ErrorConstructor][] = [
    ["mode", -1, RangeError],
    ["mode", 1.5, RangeError],
    ["mode", NaN, RangeError],
    ["mode", 0o10000, RangeError],
    ["mode", "755", TypeError],
    ["mode", null, TypeError],
    ["mtime", NaN, RangeError],
    ["mtime", new Date(NaN), RangeError],
    ["mtime", -Infinity, RangeError],
    ["mtime", 1e20, RangeError],
    ["mtime", "2020-01-01", TypeError],
    ["onProgress", "all of it", TypeError],
    ["resume", "yes", TypeError],
    ["fsync", 1, TypeError],
  ];
  for (const [option, value, kind] of wrong) {
    await t.step(`${option}: ${value}`, async () => {
      const options = { [option]: value } as CopyOptions;
      for (
        const copy of [
          () => context.copyTo(at("file"), at("x"), options),
          () => context.copyFrom(at("file"), at("x"), options),
          () => copyToAll([context], at("file"), at("x"), options),
        ]
      ) {
        const error = await assertRejects(copy, kind, `Cannot copy: ${option}`);
        assert(!(error instanceof CopyError));
      }
      assertEquals(names(folder.path), ["file"]);
    });
  }
  for (const [path, reason] of [["", "empty"], ["a\0b", "NUL"]] as const) {
    await t.step(`the path ${JSON.stringify(path)}`, async () => {
      for (const resume of [false, true]) {
        for (
          const [copy, where] of [
            [() => context.copyTo(path, at("x"), { resume }), "master"],
            [() => context.copyTo(at("file"), path, { resume }), there],
            [() => context.copyTo(folder.path, path, { resume }), there],
            [() => context.copyFrom(path, at("x"), { resume }), there],
            [() => context.copyFrom(at("file"), path, { resume }), "master"],
          ] as const
        ) {
          const error = await refused(copy(), path, "", where);
          assertStringIncludes(error.message, reason);
        }
      }
      const { errors: [error] } = await assertRejects(
        () => copyToAll([context], at("file"), path),
        AggregateError,
      );
      assertInstanceOf(error, CopyError);
      assertEquals([error.path, error.context], [path, context.path]);
      assertEquals(names(folder.path), ["file"]);
    });
  }
  await t.step("a URL with a NUL in it", async () => {
    const url = toFileUrl(at("a\0b"));
    await refused(context.copyTo(url, at("x")), at("a\0b"), "", "master");
    await refused(context.copyFrom(at("file"), url), at("a\0b"), "", "master");
  });
});

Deno.test("what onProgress throws comes out as it is, and nothing has changed", async (t) => {
  await using _ = await noLeaks();
  await using folder = await makeFolder();
  const at = (name: string) => join(folder.path, name);
  await using router = new Router(quiet);
  const context = await router.local();
  const both = [context, await router.local({ via: context })];
  await Deno.writeTextFile(at("small"), "text");
  await Deno.writeFile(at("large"), bytes(4 * MIB));
  await makeTree(at("tree"), 1000);
  await Deno.mkdir(at("d"));
  await Deno.writeTextFile(at("d/file"), "old");
  const thrown = [
    new RangeError("mine"),
    // As the library's own might look.
    new TypeError("mine"),
    new CopyError("mine", { path: "mine", context: "mine", code: "" }),
    undefined,
  ];
  // At the first call, in the middle, and when all but the end is done.
  for (const share of [0, 0.3, 1]) {
    for (const source of ["small", "large", "tree"]) {
      await t.step(`${source}, at ${share * 100} %`, async () => {
        const target = at(source === "tree" ? "d/tree" : "d/file");
        for (const reason of thrown) {
          const onProgress = ({ bytes, total }: CopyProgress) => {
            if (bytes >= share * total!) throw reason;
          };
          for (
            const copy of [
              () => context.copyTo(at(source), target, { onProgress }),
              () => context.copyFrom(at(source), target, { onProgress }),
              () => copyToAll(both, at(source), target, { onProgress }),
            ]
          ) {
            const error = await copy().then(
              () => "nothing",
              (error: unknown) => error,
            );
            assert(error === reason, `${error} was thrown, not ${reason}`);
            assertEquals(names(at("d")), ["file"]);
            assertEquals(await Deno.readTextFile(at("d/file")), "old");
          }
        }
      });
    }
  }
  await t.step("a stream, which is cancelled", async () => {
    const [reason] = thrown;
    const onProgress = () => {
      throw reason;
    };
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const source = new ReadableStream({ cancel: resolve }, {
      highWaterMark: 0,
    });
    const to = context.copyTo(source, at("d/file"), { onProgress });
    assertEquals(await assertRejects(() => to), reason);
    assertEquals(await promise, reason);
    const target = Promise.withResolvers<unknown>();
    const writable = new WritableStream({ abort: target.resolve });
    const back = context.copyFrom(at("large"), writable, { onProgress });
    assertEquals(await assertRejects(() => back), reason);
    assertEquals(await target.promise, reason);
    assertEquals(names(at("d")), ["file"]);
  });
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
