/** Where runtimes come from that the master does not run on, and who may ask. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { Handle } from "../core/mod.ts";
import { fetchRuntime, registryOf } from "../master/registry.ts";
import { ConnectError, Router } from "../mod.ts";
import { Parent, PIECE } from "../parent/mod.ts";
import { lacking } from "../tools/system.ts";
import { makeBareRoot } from "./fixtures/bare_root.ts";
import { noLeaks } from "./fixtures/leaks.ts";
import { makeFolder } from "./fixtures/programs.ts";
import { startRegistry } from "./fixtures/registry.ts";
import { openWire } from "./fixtures/wire.ts";

const NAME = "@deno/darwin-arm64";
const VERSION = "2.99.0";

/** Variables as they are for a while. */
function environment(values: Record<string, string | undefined>): Disposable {
  const before = new Map<string, string | undefined>();
  const set = (name: string, value: string | undefined) => {
    if (value === undefined) Deno.env.delete(name);
    else Deno.env.set(name, value);
  };
  for (const [name, value] of Object.entries(values)) {
    before.set(name, Deno.env.get(name));
    set(name, value);
  }
  return {
    [Symbol.dispose]() {
      for (const [name, value] of before) set(name, value);
    },
  };
}

const NONE = { NPM_CONFIG_REGISTRY: undefined, npm_config_registry: undefined };

Deno.test("the registry is the one that npm would ask", async () => {
  await using home = await makeFolder();
  using _ = environment({ ...NONE, HOME: home.path, TOKEN: "s3cret" });
  const host = async () => (await registryOf("@deno")).url.href;
  assertEquals(await host(), "https://registry.npmjs.org/");
  const npmrc = (text: string) => home.program(".npmrc", text);
  await npmrc("; a comment\nregistry = http://mirror.example/npm\n");
  assertEquals(await host(), "http://mirror.example/npm/");
  Deno.env.set("NPM_CONFIG_REGISTRY", "http://variable.example");
  assertEquals(await host(), "http://variable.example/");
  await npmrc(
    "@deno:registry=http://scope.example/a/\n//scope.example/a/:_authToken=${TOKEN}\n",
  );
  const { url, headers } = await registryOf("@deno");
  assertEquals(url.href, "http://scope.example/a/");
  assertEquals(headers, { authorization: "Bearer s3cret" });
  await npmrc("@deno:registry=nonsense\n");
  await assertRejects(host, TypeError, 'registry "nonsense"');
});

Deno.test("what the registry gives is held against what it says", async () => {
  await using registry = startRegistry();
  using _ = environment({ NPM_CONFIG_REGISTRY: registry.url });
  registry.publish(NAME, VERSION, "package/deno", "an executable");
  registry.publish(NAME, "2.99.1", "package/other", "something else");
  const bytes = await fetchRuntime(NAME, VERSION);
  assertEquals(new TextDecoder().decode(bytes), "an executable");
  const fails = async (version: string, why: string) => {
    const error = await assertRejects(() => fetchRuntime(NAME, version), Error);
    assertStringIncludes(error.message, why);
    assertMatch(error.message, /^Deno 2\.\S+ could not be fetched \(@deno\//);
  };
  await fails("2.99.2", "there is no such version");
  await fails("2.99.1", "there is no executable in the package");
  registry.spoil = "integrity";
  await fails(VERSION, "its SHA-512 differs");
  registry.spoil = "down";
  await fails(VERSION, "answered 503");
});

Deno.test({
  name: "a runtime for another platform is fetched once, and sent",
  ignore: await lacking("root", "busybox", "chroot", "mount", "dash"),
  async fn(t) {
    await using _ = await noLeaks();
    await using root = await makeBareRoot({ shell: "dash" });
    await using registry = startRegistry();
    using __ = environment({ NPM_CONFIG_REGISTRY: registry.url });
    // What stands for it runs the real one, which this machine can run.
    const real = `${root.path}/opt/real`;
    await Deno.mkdir(`${root.path}/opt`);
    await Deno.copyFile(Deno.execPath(), real);
    registry.publish(
      NAME,
      VERSION,
      "package/deno",
      '#!/bin/sh\nexec /opt/real "$@"\n',
    );
    const uname = `${root.path}/bin/uname`;
    await Deno.remove(uname);
    await Deno.writeTextFile(uname, '#!/bin/sh\necho "Darwin arm64"\n');
    await Deno.chmod(uname, 0o755);
    await using router = new Router({ onLog() {} });
    const options = {
      hostname: "bare",
      sshPath: root.sshPath,
      deno: { version: VERSION },
    };

    await t.step("by the master, for all", async () => {
      const via = await router.local();
      for (const more of [{}, {}, { via }]) {
        await using context = await router.ssh({ ...options, ...more });
        assertEquals(await context.call(() => Deno.execPath()), "/opt/real");
      }
      // Others ask it too: this program's modules are found with `deno info`.
      const ours = registry.asked.filter((path) => path.startsWith("@deno/"));
      assertEquals(ours, [NAME, `${NAME}/-/${VERSION}`]);
      assertMatch((await root.files()).join(), /\/mitogen\/deno-2\.99\.0-/);
    });
    await t.step("a version that is nowhere is a runtime error", async () => {
      const error = await assertRejects(
        () => router.ssh({ ...options, deno: { version: "2.98.0" } }),
        ConnectError,
      );
      assertEquals(error.kind, "runtime");
      assertMatch(error.message, /Darwin arm64.*no such version/);
    });
  },
});

Deno.test("a context may ask for what its master would send, and no more", async () => {
  await using _ = await noLeaks();
  await using registry = startRegistry();
  using __ = environment({ NPM_CONFIG_REGISTRY: registry.url });
  const log: string[] = [];
  await using router = new Router({
    onLog: ({ message }) => log.push(message),
  });
  const wire = await openWire(router);
  let handle = 5000;
  const ask = async (value: unknown) => {
    const replyTo = ++handle;
    wire.value(value, { dstId: 0, handle: Handle.GET_RUNTIME, replyTo });
    const reply = await wire.next((m) => m.handle === replyTo);
    return reply.isDead ? reply.text : reply.decode();
  };
  const name = Deno.build.os === "darwin"
    ? `Darwin ${Deno.build.arch === "aarch64" ? "arm64" : "x86_64"}`
    : `Linux ${Deno.build.arch}`;
  const [version, size, sha256] = await ask(["info", name, ""]) as [
    string,
    number,
    string,
  ];
  assertEquals(version, Deno.version.deno);
  assertEquals(size, (await Deno.stat(Deno.execPath())).size);
  const [total, bytes] = await ask(["piece", sha256, PIECE]) as [
    number,
    Uint8Array,
  ];
  assertEquals(bytes.length, PIECE);
  assert(total > PIECE * 2);
  const last = Math.floor(total / PIECE) * PIECE;
  const [, end] = await ask(["piece", sha256, last]) as [number, Uint8Array];
  assertEquals(end.length, total - last);

  assertMatch(String(await ask(["info", name, "1.0.0"])), /only it may choose/);
  assertMatch(String(await ask(["info", "../../x", ""])), /no such runtime/);
  assertMatch(String(await ask(["piece", "00", 0])), /no such runtime/);
  for (const offset of [-PIECE, 1, 1e15, NaN, Infinity, "0", null]) {
    const answer = await ask(["piece", sha256, offset]);
    assertEquals(typeof answer, "string", `${offset}`);
  }
  for (const nonsense of [null, 7, [], [1], {}, ["info"], ["piece", 1, 2]]) {
    assertEquals(typeof await ask(nonsense), "string");
  }
  // Nothing of it went out.
  assertEquals(registry.asked, []);

  const { runtimes } = Parent.of(router);
  const source = runtimes.source!;
  const gate = Promise.withResolvers<void>();
  runtimes.source = {
    info: (...what) => source.info(...what),
    piece: (...what) => gate.promise.then(() => source.piece(...what)),
  };
  const many = Array.from({ length: 40 }, () => ask(["piece", sha256, 0]));
  assertEquals(await many[39], "cannot be asked for a runtime now");
  gate.resolve();
  const answers = await Promise.all(many);
  assertEquals(answers.filter(Array.isArray).length, 32);
  assert(log.some((line) => line.includes("cannot be asked for a runtime")));
  wire.close();
});
