/** Ways into containers: that they work, and how each one fails. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import {
  ConnectError,
  type ConnectErrorKind,
  type Context,
  type Methods,
  Router,
} from "../mod.ts";
import { STUBS, writeStub } from "./fixtures/container_tools.ts";
import { noLeaks } from "./fixtures/leaks.ts";
import { makeFolder } from "./fixtures/programs.ts";

const quiet = { onLog() {} };

/** What must come through every tool untouched. */
const ODD = {
  QUOTED: `it's "so" \\ ! é 名`,
  DOLLARS: "$HOME ${HOME} $$ $(id) `id` $d",
  LINES: "one\ntwo\n",
  PERCENT: "100% %s %%",
};

for (const stub of STUBS) {
  Deno.test(`${stub.method} opens a context through its tool, and names its failures`, async (t) => {
    await using _ = await noLeaks();
    await using folder = await makeFolder();
    await using router = new Router(quiet);
    const path = await writeStub(folder, stub);
    const open = (place: string, more = {}): Promise<Context> =>
      router.open(
        stub.method,
        { ...stub.options(path, place), ...more } as unknown as Methods[
          typeof stub.method
        ],
      );

    await t.step("a context", async () => {
      const context = await open("web", { env: ODD, cwd: "/usr" });
      assertMatch(
        context.path,
        new RegExp(`^master/${stub.method}\\.(prod_)?web$`),
      );
      const [cwd, ...values] = await context.call((names: string[]) => [
        Deno.cwd(),
        ...names.map((name) => Deno.env.get(name)),
      ], Object.keys(ODD));
      assertEquals(cwd, "/usr");
      assertEquals(values, Object.values(ODD));
      const behind = await router.local({ via: context });
      assertEquals(await behind.call((n: number) => n * 2, 21), 42);
      await context.shutdown();
    });
    for (const [place, says, , kind] of stub.failing) {
      await t.step(`${place}: ${kind}`, async () => {
        const error = await assertRejects(() => open(place), ConnectError);
        assertEquals(error.kind, kind, error.message);
        assert(error.message.endsWith(says), error.message);
        assertEquals(error.tail, says);
        assert(error.hop.startsWith(`master/${stub.method}.`), error.hop);
        assert(error.command.startsWith(path), error.command);
      });
    }
    await t.step("a missing tool: not-found", async () => {
      const missing = stub.options(`${folder.path}/no-such-tool`, "web");
      const error = await assertRejects(
        () => router.open(stub.method, missing as never),
        ConnectError,
      );
      assertEquals(error.kind, "not-found");
      assertMatch(error.message, /no-such-tool/);
    });
  });
}

Deno.test("an error keeps its class, kind, hop, command and tail behind three hops", async (t) => {
  await using _ = await noLeaks();
  await using folder = await makeFolder();
  await using router = new Router(quiet);
  const one = await router.local({ name: "one" });
  const two = await router.local({ via: one, name: "two" });
  const three = await router.local({ via: two, name: "three" });
  const hop = "master/one/two/three/docker.web";
  const script = (name: string, source: string) =>
    folder.program(name, `#!/bin/sh\n${source}\n`);
  const exit = (says: string, code: number) =>
    `echo first >&2; echo '${says}' >&2; exit ${code}`;

  const cases: [
    kind: ConnectErrorKind,
    source: string,
    tail: string,
    message: RegExp,
  ][] = [
    [
      "auth",
      exit("permission denied while trying to connect", 1),
      "first\npermission denied while trying to connect",
      /: permission denied while/,
    ],
    [
      "not-found",
      exit("No such container: web", 1),
      "first\nNo such container: web",
      /: No such container: web$/,
    ],
    [
      "runtime",
      exit("sh: not there", 127),
      "first\nsh: not there",
      /code 127: sh: not there$/,
    ],
    [
      "eof",
      exit("out of luck", 3),
      "first\nout of luck",
      /code 3: out of luck$/,
    ],
    [
      "bootstrap",
      "echo first >&2; printf 'MITO000\\n'; echo 'broke in the middle' >&2; exit 4",
      "first\nbroke in the middle",
      /code 4: broke in the middle$/,
    ],
    [
      "timeout",
      "echo first >&2; echo waiting >&2; read line; read line",
      "first\nwaiting",
      /not ready after 400 ms$/,
    ],
  ];
  for (const [kind, source, tail, message] of cases) {
    await t.step(kind, async () => {
      const dockerPath = await script(`docker-${kind}`, source);
      const error = await assertRejects(
        () =>
          router.docker({
            via: three,
            container: "web",
            dockerPath,
            ...(kind === "timeout" ? { connectTimeout: 400 } : {}),
          }),
        ConnectError,
      );
      assertEquals(
        [error.kind, error.hop, error.tail, error.name],
        [kind, hop, tail, "ConnectError"],
      );
      assertMatch(error.message, message);
      assert(error.command.startsWith(`${dockerPath} exec`), error.command);
    });
  }
  await t.step("hostkey", async () => {
    const sshPath = await script(
      "ssh",
      exit("Host key verification failed.", 255),
    );
    const error = await assertRejects(
      () => router.ssh({ via: three, hostname: "web", sshPath }),
      ConnectError,
    );
    assertEquals(
      [error.kind, error.hop, error.tail],
      [
        "hostkey",
        "master/one/two/three/ssh.web",
        "first\nHost key verification failed.",
      ],
    );
  });
  await t.step("cancelled", async () => {
    const dockerPath = await script("docker-slow", "read line; read line");
    const controller = new AbortController();
    const connecting = router.docker({
      via: three,
      container: "web",
      dockerPath,
      signal: controller.signal,
    });
    await three.ping();
    controller.abort(new Error("changed my mind"));
    const error = await assertRejects(() => connecting, ConnectError);
    // Nobody waits for what the far end has to say about it.
    assertEquals([error.kind, error.hop], ["cancelled", three.path]);
  });
  await t.step("wrong options: TypeError", async () => {
    await assertRejects(
      () => router.docker({ via: three }),
      TypeError,
      "either the container or the image",
    );
  });
  await t.step("the loss of a hop on the way: eof", async () => {
    const dockerPath = await script("docker-lost", "read line; read line");
    const connecting = router.docker({
      via: three,
      container: "web",
      dockerPath,
    });
    await three.ping();
    Deno.kill(await two.call(() => Deno.pid), "SIGKILL");
    const error = await assertRejects(() => connecting, ConnectError);
    assertEquals([error.kind, error.hop], ["eof", three.path]);
    assertMatch(error.message, /master\/one\/two on the way/);
  });
});
