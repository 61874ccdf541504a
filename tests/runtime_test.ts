/** No Deno there: it is sent, kept or not kept, and refused where it cannot run. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { Router } from "../mod.ts";
import { Parent, type RuntimeSource } from "../parent/mod.ts";
import { lacking } from "../tools/system.ts";
import { type BareRoot, makeBareRoot } from "./fixtures/bare_root.ts";
import { noLeaks } from "./fixtures/leaks.ts";
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
  name: "a machine without Deno is sent one, once",
  ignore,
  async fn(t) {
    await using _ = await noLeaks();
    await using root = await makeBareRoot();
    await using counted = counting();
    const { router, steps, sent } = counted;
    let path = "";

    await t.step(
      "the first connection sends it, and tells how far",
      async () => {
        path = await visit(router, root);
        assertMatch(path, new RegExp(`^${CACHE}/deno-${Deno.version.deno}-`));
        const told = steps.filter(({ step }) => step === "runtime");
        assertEquals(told[0]!.done, 0);
        assertEquals(told.at(-1)!.done, told.at(-1)!.total);
        assert(told.length > 50);
        assertEquals(told[0]!.path, "master/ssh.bare");
        assertEquals(sent(), 1);
        assertEquals(await kept(root), [path]);
        const { mode } = await Deno.stat(root.path + path);
        assertEquals(mode! & 0o777, 0o700);
      },
    );
    await t.step("the second sends nothing", async () => {
      assertEquals(await visit(router, root), path);
      assertEquals(sent(), 0);
    });
    await t.step("neither does another program", async () => {
      await using other = counting();
      assertEquals(await visit(other.router, root), path);
      assertEquals(other.sent(), 0);
    });
    await t.step("an entry that was changed is replaced", async () => {
      {
        using file = await Deno.open(root.path + path, { write: true });
        await file.seek(50_000_000, Deno.SeekMode.Start);
        await file.write(new Uint8Array([1, 2, 3]));
      }
      assertEquals(await visit(router, root), path);
      assertEquals(sent(), 1);
    });
  },
});

Deno.test({
  name: "with cacheDir null nothing is left, not even while it runs",
  ignore,
  async fn() {
    await using _ = await noLeaks();
    await using root = await makeBareRoot();
    await using counted = counting();
    const { router, sent } = counted;
    const context = await router.ssh({
      hostname: "bare",
      sshPath: root.sshPath,
      deno: { cacheDir: null },
    });
    assertEquals(sent(), 1);
    assertEquals(await context.call(() => Deno.args.length), 0);
    await empty(root);
    // What was deleted can still open others, and have children of its own.
    const child = await router.local({ via: context });
    assertEquals(await child.call(() => 1), 1);
    assertEquals(sent(), 0);
    await context.shutdown();
    assertEquals(await root.files(), []);
  },
});

/** Counts the pieces that the master hands out. */
function countPieces(router: Router): { pieces: number } {
  const count = { pieces: 0 };
  const { runtimes } = Parent.of(router);
  const source = runtimes.source!;
  runtimes.source = {
    info: (platform, version) => source.info(platform, version),
    piece(sha256, offset) {
      count.pieces++;
      return source.piece(sha256, offset);
    },
  } satisfies RuntimeSource;
  return count;
}

Deno.test({
  name: "a hop gives what it has to those behind it",
  ignore,
  async fn(t) {
    await using _ = await noLeaks();
    await using root = await makeBareRoot({ real: true });
    await using second = await makeBareRoot({ real: true });
    await using counted = counting();
    const { router, sent } = counted;
    const count = countPieces(router);

    await t.step("its own, if that is the same", async () => {
      const via = await router.local({ permissions: { run: true } });
      assertMatch(await visit(router, root, {}, via), /^\/root\/.cache/);
      assertEquals([sent(), count.pieces], [1, 0]);
      await via.shutdown();
      await Deno.remove(root.path + CACHE, { recursive: true });
    });
    await t.step("else its parent's, which it asks for once", async () => {
      const source = await smallRuntime(root.real);
      await using other = counting(source);
      const via = await other.router.local({ permissions: { run: true } });
      const further = await other.router.local({ via });
      await visit(other.router, root, {}, further);
      assertEquals(other.sent(), 1);
      const { pieces } = source;
      assert(pieces > 5);
      await visit(other.router, second, {}, further);
      assertEquals([other.sent(), source.pieces], [1, pieces]);
      assertEquals((await kept(second)).length, 1);
    });
  },
});

Deno.test({
  name: "what Deno cannot run on is refused by name before anything is sent",
  ignore,
  async fn(t) {
    await using _ = await noLeaks();
    await using counted = counting();
    const { router, sent } = counted;
    const bare = { libraries: false };
    /** A program of the root instead of what is there. */
    const fake = async (root: BareRoot, name: string, says: string) => {
      const file = `${root.path}${name}`;
      await Deno.remove(file).catch(() => {});
      await Deno.mkdir(file.replace(/\/[^/]*$/, ""), { recursive: true });
      await Deno.writeTextFile(file, `#!/bin/sh\necho "${says}"\n`);
      await Deno.chmod(file, 0o755);
    };
    const loader = Deno.build.arch === "aarch64"
      ? "/lib/ld-linux-aarch64.so.1"
      : "/lib64/ld-linux-x86-64.so.2";

    await t.step("no C library", async () => {
      await using root = await makeBareRoot(bare);
      await refused(enter(router, root), /there is no glibc/);
    });
    await t.step("musl", async () => {
      await using root = await makeBareRoot(bare);
      await fake(root, "/lib/ld-musl-x86_64.so.1", "musl libc");
      await refused(enter(router, root), /its C library is musl/);
    });
    await t.step("an old glibc", async () => {
      await using root = await makeBareRoot(bare);
      const says =
        "GNU C Library (GNU libc) stable release version 2.17, by Roland";
      await fake(root, loader, says);
      await refused(enter(router, root), /its glibc is 2\.17, and 2\.27 is/);
    });
    await t.step("a library that is missing", async () => {
      await using root = await makeBareRoot();
      for (const file of await Array.fromAsync(walk(root.path))) {
        if (file.endsWith("/libgcc_s.so.1")) await Deno.remove(file);
      }
      await refused(enter(router, root), /there is no libgcc_s\.so\.1/);
    });
    await t.step("no /proc", async () => {
      await using root = await makeBareRoot({ proc: false });
      await refused(enter(router, root), /\/proc is not mounted/);
    });
    await t.step("a platform that there is no Deno for", async () => {
      await using root = await makeBareRoot({ shell: "dash" });
      await fake(root, "/bin/uname", "Linux riscv64");
      const error = await refused(enter(router, root), /\(Linux riscv64\)/);
      assertStringIncludes(error.message, "only for Linux x86_64,");
      await fake(root, "/bin/uname", "FreeBSD amd64");
      const via = await router.local();
      await refused(enter(router, root, {}, via), /\(FreeBSD amd64\)/);
    });
    assertEquals(sent(), 0);
  },
});

async function* walk(folder: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(folder)) {
    const path = `${folder}/${entry.name}`;
    if (entry.name === "proc") continue;
    if (entry.isDirectory) yield* walk(path);
    else yield path;
  }
}

Deno.test({
  name: "a Deno that is too old there is passed over",
  ignore,
  async fn() {
    await using _ = await noLeaks();
    await using root = await makeBareRoot({ real: true });
    await using counted = counting(await smallRuntime(root.real));
    const old = `${root.path}/bin/deno`;
    await Deno.writeTextFile(old, '#!/bin/sh\necho "deno 2.8.3 (stable)"\n');
    await Deno.chmod(old, 0o755);
    await visit(counted.router, root);
    assertEquals(counted.sent(), 1);
    // One that will do is taken, wherever it is, unless it is not wanted.
    await Deno.remove(old);
    const installed = "/root/.deno/bin/deno";
    await Deno.mkdir(`${root.path}/root/.deno/bin`, { recursive: true });
    await Deno.copyFile(Deno.execPath(), root.path + installed);
    assertEquals(await visit(counted.router, root), installed);
    const { deno } = Deno.version;
    const same = { version: deno };
    assertEquals(await visit(counted.router, root, same), installed);
    const other = { version: "2.9.1", ship: "never" } as const;
    await refused(enter(counted.router, root, other), /no usable Deno/);
    const always = { ship: "always" } as const;
    assertEquals(await visit(counted.router, root, always), root.real);
    assertEquals(counted.sent(), 0);
  },
});
