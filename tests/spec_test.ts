/** Contexts that are named by a text. */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import { ConnectError, Router } from "../mod.ts";
import { parseSpec } from "../parent/mod.ts";
import { noLeaks } from "./fixtures/leaks.ts";
import { makeFolder } from "./fixtures/programs.ts";

const quiet = { onLog() {} };

const GOOD: [spec: string, method: string, options: Record<string, unknown>][] =
  [
    ["local:", "local", {}],
    ["worker:?permissions=none", "worker", { permissions: "none" }],
    ["ssh:web1", "ssh", { hostname: "web1" }],
    ["ssh:deploy@web1:2222", "ssh", {
      username: "deploy",
      hostname: "web1",
      port: 2222,
    }],
    ["ssh:me@corp.example@web1", "ssh", {
      username: "me@corp.example",
      hostname: "web1",
    }],
    ["ssh:[fe80::1%25eth0]:22", "ssh", { hostname: "fe80::1%eth0", port: 22 }],
    ["ssh:[::1]", "ssh", { hostname: "::1" }],
    [
      "ssh:h?identityFile=/k%20ey&compression&checkHostKeys=accept-new&sshArgs=-4&sshArgs=-oA=b",
      "ssh",
      {
        hostname: "h",
        identityFile: "/k ey",
        compression: true,
        checkHostKeys: "accept-new",
        sshArgs: ["-4", "-oA=b"],
      },
    ],
    ["sudo:", "sudo", {}],
    ["sudo:postgres?login=false", "sudo", {
      username: "postgres",
      login: false,
    }],
    ["su:web%40home", "su", { username: "web@home" }],
    ["doas:root", "doas", { username: "root" }],
    ["docker:web", "docker", { container: "web" }],
    ["docker:www@web", "docker", { username: "www", container: "web" }],
    ["docker:?image=alpine@sha256:12&username=1:2", "docker", {
      image: "alpine@sha256:12",
      username: "1:2",
    }],
    ["podman:?image=a", "podman", { image: "a" }],
    ["buildah:work", "buildah", { container: "work" }],
    ["kubectl:web-0", "kubectl", { pod: "web-0" }],
    ["kubectl:prod/web-0?container=app&context=eu", "kubectl", {
      namespace: "prod",
      pod: "web-0",
      container: "app",
      context: "eu",
    }],
    ["kubectl:prod/deploy/web", "kubectl", {
      namespace: "prod",
      pod: "deploy/web",
    }],
    ["lxc:a", "lxc", { container: "a" }],
    ["lxd:far:a", "lxd", { container: "far:a" }],
    ["incus:a", "incus", { container: "a" }],
    ["jail:www@a", "jail", { username: "www", container: "a" }],
    ["machinectl:a", "machinectl", { container: "a" }],
    ["setns:42", "setns", { pid: 42 }],
    ["setns:www@a?kind=lxc", "setns", {
      username: "www",
      container: "a",
      kind: "lxc",
    }],
    ["setns:?container=42&kind=docker", "setns", {
      container: "42",
      kind: "docker",
    }],
    ["chroot:/srv/a%3Fb?username=www", "chroot", {
      path: "/srv/a?b",
      username: "www",
    }],
    [
      "local:?name=x&cwd=/&connectTimeout=1&keepaliveInterval=0&keepaliveCount=2&permissions=run,sys",
      "local",
      {
        name: "x",
        cwd: "/",
        connectTimeout: 1,
        keepaliveInterval: 0,
        keepaliveCount: 2,
        permissions: { run: true, sys: true },
      },
    ],
    [
      "local:?deno.path=/d&deno.ship=never&deno.cacheDir=&deno.version=2.9.6&env.A=1%262&env.__proto__=x&env.E=",
      "local",
      {
        deno: { path: "/d", ship: "never", cacheDir: null, version: "2.9.6" },
        env: JSON.parse('{"A":"1&2","__proto__":"x","E":""}'),
      },
    ],
  ];

Deno.test("parseSpec() reads every way in, with all kinds of options", () => {
  for (const [spec, method, options] of GOOD) {
    assertEquals(parseSpec(spec), { method, options } as never, spec);
  }
});

const BAD: [spec: string, part: string, right: string][] = [
  ["", "no way in", "such as ssh:host"],
  ["web1", "no way in", "such as ssh:web1"],
  ["deploy@web1:22", "no way in", "such as ssh:deploy@web1:22"],
  ["web:22", '"web"', "such as ssh:web:22"],
  ["SSH:web1", "no way in", "expected one of local:, worker:, ssh:"],
  ["toString:x", "no way in", "local:"],
  ["telnet:web1", '"telnet"', "local:"],
  ["ssh:", "the host is missing", "ssh:[user@]host[:port]"],
  ["ssh:@h", "user name before the @ is empty", "ssh:[user@]host[:port]"],
  ["ssh:h:", '"port"', "from 1 to 65535"],
  ["ssh:h:0", '"port"', "from 1 to 65535"],
  ["ssh:h:65536", '"port"', "from 1 to 65535"],
  ["ssh:h:2x", '"port"', "from 1 to 65535"],
  ["ssh:::1", "IPv6", "[::1]:22"],
  ["ssh:[::1", "IPv6", "[::1]:22"],
  ["ssh:%zz", "hostname", "%25"],
  ["ssh:h?", '""', "only hostname"],
  ["ssh:h?colour=red", '"colour"', "identityFile"],
  ["ssh:h?via=x", '"via"', "only"],
  ["ssh:h?signal=x", '"signal"', "only"],
  ["ssh:h?__proto__=x", '"__proto__"', "only"],
  ["ssh:h?constructor=x", '"constructor"', "only"],
  ["ssh:h?deno.toString=x", '"deno.toString"', "deno.path"],
  ["ssh:h?env.A-B=x", '"env.A-B"', "env.NAME"],
  ["ssh:h?port=1&port=2", '"port"', "given twice"],
  ["ssh:h:1?port=2", '"port"', "given twice"],
  ["ssh:u@h?username=v", '"username"', "given twice"],
  ["ssh:h?compression=yes", '"compression"', "true nor false"],
  ["ssh:h?checkHostKeys=never", '"checkHostKeys"', "accept-new"],
  ["ssh:h?name=", '"name"', "name=..."],
  ["ssh:h?name", '"name"', "name=..."],
  ["ssh:h?name=%", "name", "%25"],
  ["local:x", '"x"', "expected local:"],
  ["local:?hostname=x", '"hostname"', "only name"],
  ["local:?permissions=all", '"permissions"', "none nor inherit"],
  ["local:?connectTimeout=5s", '"connectTimeout"', "whole number"],
  ["local:?connectTimeout=0", '"connectTimeout"', "whole number"],
  ["worker:?cwd=/", '"cwd"', "only name"],
  ["worker:?env.A=/", '"env.A"', "only name"],
  ["docker:", "container or an image", "docker:[user@]container"],
  ["docker:a?image=b", "container or an image", "docker:?image="],
  ["kubectl:/p", "namespace", "kubectl:[namespace/]pod"],
  ["kubectl:n/", "the pod is missing", "kubectl:[namespace/]pod"],
  ["setns:a", "kind", "?kind=docker"],
  ["setns:1?container=a", "pid or a container", "setns:[user@]pid"],
  ["setns:a?kind=rkt", '"kind"', "podman"],
  ["chroot:", "the path is missing", "chroot:/path"],
];

Deno.test("parseSpec() says which part is wrong, and what would be right", () => {
  for (const [spec, part, right] of BAD) {
    const { message } = assertThrows(() => parseSpec(spec), SyntaxError);
    assert(message.startsWith("Cannot read the spec "), message);
    assertStringIncludes(message, part);
    assertStringIncludes(message, right);
  }
  assertThrows(() => parseSpec(42 as never), TypeError);
});

Deno.test("parseSpec() takes no secret, and repeats none", () => {
  for (
    const spec of [
      "sudo:root?password=hunter2",
      "su:root?password=hunter2",
      "doas:?password=hunter2",
      "ssh:h?password=hunter2",
      "ssh:h?pasword=hunter2",
      "ssh:h?port=hunter2",
      "ssh:me:hunter2@h",
      "docker:me:hunter2@h",
      "telnet:me:hunter2@h?p=hunter2",
      "me:hunter2@h",
    ]
  ) {
    const { message } = assertThrows(() => parseSpec(spec), SyntaxError);
    assert(!message.includes("hunter2"), message);
  }
});

Deno.test("parseSpec() gives back any text, once it is encoded", () => {
  const text = fc.string({ unit: "binary", minLength: 1 })
    .filter((s) => s.isWellFormed());
  fc.assert(fc.property(text, text, text, (username, hostname, name) => {
    const [user, host, label] = [username, hostname, name]
      .map(encodeURIComponent);
    assertEquals(parseSpec(`ssh:${user}@${host}:22?name=${label}`), {
      method: "ssh",
      options: { username, hostname, port: 22, name },
    });
  }));
});

Deno.test("parseSpec() throws nothing but a SyntaxError on text", () => {
  const piece = fc.oneof(
    fc.constantFrom(
      ...["ssh:", "docker:", "setns:", "local:", "@", ":", "?", "&", "=", "%"],
      ...["[", "]", "/", "port", "env.", "deno.", "name", "1", "a", "%41"],
    ),
    fc.string({ unit: "binary", maxLength: 3 }),
  );
  fc.assert(
    fc.property(fc.array(piece).map((parts) => parts.join("")), (spec) => {
      try {
        assertEquals(typeof parseSpec(spec).method, "string");
      } catch (error) {
        assert(error instanceof SyntaxError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

Deno.test("connect() opens what a spec names; the spec comes before the options", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const context = await router.connect("local:?name=mine&env.A=1&env.B=%20", {
    name: "other",
    cwd: "/usr",
    env: { A: "2", C: "3" },
    permissions: { env: true, read: true },
  });
  assertEquals(context.path, "master/mine");
  const seen = () =>
    [Deno.cwd(), ..."ABC".split("").map((name) => Deno.env.get(name))].join();
  assertEquals(await context.call(seen), "/usr,1, ,3");
  const sandbox = await router.connect("worker:?permissions=none");
  assertEquals(
    await sandbox.call(() =>
      Deno.permissions.querySync({ name: "read" }).state
    ),
    "prompt",
  );
  const behind = await router.connect("local:", { via: context, name: "b" })
    .catch((error) => error);
  // It was not given the permission to run.
  assert(behind instanceof ConnectError, String(behind));
});

Deno.test("connect() opens a chain; those on the way end with the last", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const base = await router.local({ name: "base" });
  const last = await router.connect(
    ["local:?name=a&permissions=run,read", "local:?name=b", "local:?name=c"],
    { via: base, permissions: "none", env: { ONLY: "last" } },
  );
  assertEquals(last.path, "master/base/a/b/c");
  const [, a, b] = router.contexts();
  assertEquals([a!.path, b!.path], ["master/base/a", "master/base/a/b"]);
  const granted = () =>
    (["read", "run", "env"] as const)
      .filter((name) =>
        Deno.permissions.querySync({ name }).state === "granted"
      )
      .join();
  assertEquals(await a!.call(granted), "read,run");
  assertEquals(await b!.call(granted), "read,run");
  assertEquals(await last.call(granted), "");
  await last.shutdown();
  await Promise.all([a!.closed, b!.closed]);
  assertEquals(router.contexts(), [base]);
});

Deno.test("connect() of a chain that fails says which hop did, and leaves none", async () => {
  await using _ = await noLeaks();
  await using folder = await makeFolder();
  await using router = new Router(quiet);
  const tool = await folder.program(
    "docker",
    "#!/bin/sh\necho 'No such container: web' >&2; exit 1\n",
  );
  const error = await assertRejects(
    () =>
      router.connect([
        "local:?name=a",
        `docker:web?dockerPath=${encodeURIComponent(tool)}`,
        "local:",
      ]),
    ConnectError,
  );
  assertEquals([error.kind, error.hop], ["not-found", "master/a/docker.web"]);
  assertEquals(router.contexts(), []);
  // One that cannot be read keeps all from being opened.
  await assertRejects(
    () => router.connect(["local:", "nonsense"]),
    SyntaxError,
  );
  await assertRejects(() => router.connect([]), TypeError);
  assertEquals(router.contexts(), []);
});

Deno.test("connect() works from inside a context as well", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const context = await router.local({ name: "a" });
  const { grandchild } = await import("./fixtures/modules/by_spec.ts");
  assertEquals(
    await context.call(grandchild, "local:?name=b"),
    "master/a/b 42",
  );
  await assertRejects(
    () => context.call(grandchild, "local"),
    Error,
    "such as",
  );
});
