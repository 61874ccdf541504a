/** What is run: every command line exactly, and what hostile values become. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ConnectError, type Methods, Router } from "../mod.ts";
import type { Tool } from "../parent/containers.ts";
import { buildah } from "../parent/methods/buildah.ts";
import { chrootArgs } from "../parent/methods/chroot.ts";
import { docker } from "../parent/methods/docker.ts";
import { incus } from "../parent/methods/incus.ts";
import { jail } from "../parent/methods/jail.ts";
import { kubectl } from "../parent/methods/kubectl.ts";
import { lxc } from "../parent/methods/lxc.ts";
import { lxd } from "../parent/methods/lxd.ts";
import { machinectl } from "../parent/methods/machinectl.ts";
import { podman } from "../parent/methods/podman.ts";
import { leaderArgs, nsenterArgs } from "../parent/methods/setns.ts";
import { noLeaks } from "./fixtures/leaks.ts";
import { makeFolder } from "./fixtures/programs.ts";

const USER = { uid: "12", gid: "34", home: "/", shell: "/bin/sh" };
const SH = ["sh", "-c", "S $d"];

/** A row: the words, apart by blanks; `SH` stands for the program that is run. */
type Row<O> = [options: O, argv: string];

function check<O extends object>(tool: Tool<O>, rows: Row<O>[]): void {
  for (const [options, argv] of rows) {
    const expected = argv.split(" ").flatMap((w) => w === "SH" ? SH : [w]);
    assertEquals(tool.argv(options, SH), expected);
  }
}

Deno.test("docker's command line", () => {
  check(docker, [
    [{ container: "web" }, "docker exec --interactive -- web SH"],
    [
      { container: "web", username: "www", dockerPath: "/opt/docker" },
      "/opt/docker exec --interactive --user=www -- web SH",
    ],
  ]);
  assertEquals(docker.argv({ image: "alpine:3", username: "1:2" }, SH), [
    ...["docker", "run", "--interactive", "--rm", "--user=1:2"],
    ...["--entrypoint=sh", "--", "alpine:3", "-c", "S $d"],
  ]);
  for (const options of [{}, { container: "a", image: "b" }]) {
    assertThrows(() => docker.argv(options, SH), TypeError, "either");
  }
});

Deno.test("podman's command line", () => {
  check(podman, [
    [{ container: "web" }, "podman exec --interactive -- web SH"],
    [
      { container: "web", username: "www", podmanPath: "/opt/podman" },
      "/opt/podman exec --interactive --user=www -- web SH",
    ],
  ]);
});

Deno.test("buildah's command line", () => {
  check(buildah, [
    [{ container: "web" }, "buildah run -- web SH"],
    [
      { container: "web", username: "www", buildahPath: "/opt/buildah" },
      "/opt/buildah run --user=www -- web SH",
    ],
  ]);
});

Deno.test("kubectl's command line", () => {
  check(kubectl, [
    [{ pod: "web-0" }, "kubectl exec --stdin web-0 -- SH"],
    [
      {
        pod: "deploy/web",
        container: "app",
        namespace: "prod",
        context: "eu",
        kubectlPath: "/opt/kubectl",
        kubectlArgs: ["--as=me"],
      },
      "/opt/kubectl --context=eu --namespace=prod --as=me exec --stdin --container=app deploy/web -- SH",
    ],
  ]);
});

Deno.test("the command lines of lxc-attach, lxc and incus", () => {
  check(lxc, [
    [{ container: "web" }, "lxc-attach --clear-env --name=web -- SH"],
    [
      { container: "web", lxcAttachPath: "/opt/lxc-attach" },
      "/opt/lxc-attach --clear-env --name=web -- SH",
    ],
  ]);
  check(lxd, [
    [{ container: "web" }, "lxc exec --mode=non-interactive web -- SH"],
    [
      { container: "far:web", lxcPath: "/opt/lxc" },
      "/opt/lxc exec --mode=non-interactive far:web -- SH",
    ],
  ]);
  check(incus, [
    [{ container: "web" }, "incus exec --mode=non-interactive web -- SH"],
    [
      { container: "web", incusPath: "/opt/incus" },
      "/opt/incus exec --mode=non-interactive web -- SH",
    ],
  ]);
});

Deno.test("jexec's command line", () => {
  check(jail, [
    [{ container: "web" }, "jexec web SH"],
    [
      { container: "web", username: "www", jexecPath: "/usr/sbin/jexec" },
      "/usr/sbin/jexec -U www web SH",
    ],
  ]);
});

Deno.test("systemd-run's command line, whose dollars are doubled", () => {
  const common = ["--quiet", "--collect", "--wait", "--pipe", "--"];
  assertEquals(machinectl.argv({ container: "web" }, SH), [
    ...["systemd-run", "--machine=web", "--uid=root", ...common],
    ...["/bin/sh", "-c", "S $$d"],
  ]);
  assertEquals(
    machinectl.argv({
      container: "web",
      username: "www",
      systemdRunPath: "/opt/run",
    }, SH),
    [
      ...["/opt/run", "--machine=web", "--uid=www", ...common],
      ...["/bin/sh", "-c", "S $$d"],
    ],
  );
});

Deno.test("the command lines of setns: who is asked, and nsenter's", () => {
  const ask: [Methods["setns"], string][] = [
    [
      { kind: "docker", container: "web" },
      "docker inspect --type=container --format={{.State.Pid}} -- web",
    ],
    [
      { kind: "podman", container: "web", podmanPath: "/p" },
      "/p inspect --type=container --format={{.State.Pid}} -- web",
    ],
    [{ kind: "lxc", container: "web" }, "lxc-info --name=web --pid"],
    [{ kind: "lxd", container: "web", lxcPath: "/l" }, "/l info web"],
    [{ kind: "incus", container: "web" }, "incus info web"],
    [
      { kind: "machinectl", container: "web" },
      "machinectl show --property=Leader -- web",
    ],
  ];
  for (const [options, argv] of ask) {
    assertEquals(leaderArgs(options), argv.split(" "));
  }
  assertEquals(nsenterArgs({}, 7), [
    ...["nsenter", "--target=7", "--all", "--root", "--"],
  ]);
  assertEquals(nsenterArgs({ nsenterPath: "/n" }, 7, USER), [
    ...["/n", "--target=7", "--all", "--root"],
    ...["--setgid=34", "--setuid=12", "--"],
  ]);
  const wrong: Methods["setns"][] = [
    { container: "web" },
    { container: "web", kind: "rkt" as never },
    { container: "web", kind: "toString" as never },
    { kind: "docker" },
  ];
  for (const options of wrong) {
    assertThrows(() => leaderArgs(options), TypeError, "its kind: docker");
  }
});

Deno.test("chroot's command line", () => {
  assertEquals(chrootArgs({ path: "/srv" }), ["chroot", "/srv"]);
  assertEquals(chrootArgs({ path: "-srv" }), ["chroot", "./-srv"]);
  assertEquals(chrootArgs({ path: "/srv", chrootPath: "/c" }, USER), [
    ...["/c", "--userspec=12:34", "--groups=", "/srv"],
  ]);
});

const HOSTILE = [
  "two words",
  `it's "quoted"`,
  "$(touch pwned)",
  "`touch pwned`",
  "a;touch pwned|b&",
  "line\nbreak",
  "carriage\rreturn",
  "-dash",
  "--privileged",
  "100%s %n %% %i",
  "ünïcødé 名 \u202e",
  "*?[a-z]",
  "~root",
  "back\\slash\\",
  "{{.Config}}",
  "$HOME ${HOME} $$",
  "",
  "nul\0",
  "--",
];

/** Options with a hostile value, and the words that must come of it. */
type Attack = [
  method: keyof Methods,
  options: (value: string) => Record<string, unknown>,
  argv: (value: string) => string[],
];

const common = ["--quiet", "--collect", "--wait", "--pipe", "--"];

const ATTACKS = (stub: string): Attack[] => [
  [
    "docker",
    (container) => ({ container, dockerPath: stub }),
    (v) => ["exec", "--interactive", "--", v, "sh"],
  ],
  [
    "docker",
    (username) => ({ container: "c", username, dockerPath: stub }),
    (v) => ["exec", "--interactive", `--user=${v}`, "--", "c", "sh"],
  ],
  [
    "docker",
    (image) => ({ image, dockerPath: stub }),
    (v) => ["run", "--interactive", "--rm", "--entrypoint=sh", "--", v],
  ],
  [
    "podman",
    (container) => ({ container, podmanPath: stub }),
    (v) => ["exec", "--interactive", "--", v, "sh"],
  ],
  [
    "buildah",
    (v) => ({ container: v, username: v, buildahPath: stub }),
    (v) => ["run", `--user=${v}`, "--", v, "sh"],
  ],
  [
    "kubectl",
    (pod) => ({ pod, kubectlPath: stub }),
    (v) => ["exec", "--stdin", v, "--", "sh"],
  ],
  ...(["container", "namespace", "context"] as const).map((key): Attack => [
    "kubectl",
    (v) => ({ pod: "p", [key]: v, kubectlPath: stub }),
    (v) =>
      key === "container"
        ? ["exec", "--stdin", `--container=${v}`, "p", "--", "sh"]
        : [`--${key}=${v}`, "exec", "--stdin", "p", "--", "sh"],
  ]),
  [
    "lxc",
    (container) => ({ container, lxcAttachPath: stub }),
    (v) => ["--clear-env", `--name=${v}`, "--", "sh"],
  ],
  [
    "lxd",
    (container) => ({ container, lxcPath: stub }),
    (v) => ["exec", "--mode=non-interactive", v, "--", "sh"],
  ],
  [
    "incus",
    (container) => ({ container, incusPath: stub }),
    (v) => ["exec", "--mode=non-interactive", v, "--", "sh"],
  ],
  [
    "jail",
    (v) => ({ container: v, username: v, jexecPath: stub }),
    (v) => ["-U", v, v, "sh"],
  ],
  [
    "machinectl",
    (v) => ({ container: v, username: v, systemdRunPath: stub }),
    (v) => [`--machine=${v}`, `--uid=${v}`, ...common, "/bin/sh"],
  ],
  [
    "setns",
    (container) => ({ container, kind: "docker", dockerPath: stub }),
    (v) => [
      ...["inspect", "--type=container", "--format={{.State.Pid}}", "--", v],
    ],
  ],
  [
    "setns",
    (container) => ({ container, kind: "lxc", lxcInfoPath: stub }),
    (v) => [`--name=${v}`, "--pid"],
  ],
  [
    "setns",
    (username) => ({ pid: 1, username, nsenterPath: stub }),
    () => ["--target=1", "--all", "--root", "--", "sh"],
  ],
  [
    "chroot",
    (path) => ({ path, chrootPath: stub }),
    (v) => [v.startsWith("-") ? `./${v}` : v, "sh"],
  ],
];

Deno.test("hostile values are passed as they are, or nothing is run", async (t) => {
  await using _ = await noLeaks();
  await using folder = await makeFolder();
  // It writes down what it is given, and ends.
  const stub = await folder.program(
    "stub",
    `#!/bin/sh\nprintf '%s\\0' "$@" >'${folder.path}/argv'\nexit 9\n`,
  );
  const argv = async () => {
    try {
      const text = await Deno.readTextFile(`${folder.path}/argv`);
      await Deno.remove(`${folder.path}/argv`);
      return text.split("\0").slice(0, -1);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  };
  await using router = new Router({ onLog() {} });
  for (const [method, options, expected] of ATTACKS(stub)) {
    const given = Object.keys(options("")).join("+");
    await t.step(`${method} with ${given}`, async () => {
      let passed = 0;
      for (const value of HOSTILE) {
        const made = { ...options(value), cwd: "/", name: "x" };
        const error = await assertRejects(() =>
          router.open(method, made as unknown as Methods[typeof method])
        );
        const ran = await argv();
        if (ran === undefined) {
          assert(error instanceof TypeError, `${value}: ${error}`);
          continue;
        }
        passed++;
        assert(error instanceof ConnectError, `${value}: ${error}`);
        const words = expected(value);
        assertEquals(ran.slice(0, words.length), words);
        if (method === "setns" && "username" in made) {
          assertEquals(ran.at(-1), value);
        }
      }
      // A rule that refuses everything would hold as well.
      assert(passed >= 12, `only ${passed} were passed`);
    });
  }
  await assertRejects(() => Deno.stat("pwned"), Deno.errors.NotFound);
});

Deno.test("options that are missing, or of another type, run nothing", async () => {
  await using folder = await makeFolder();
  const stub = await folder.program("stub", '#!/bin/sh\ntouch "$0.ran"\n');
  await using router = new Router({ onLog() {} });
  for (const [method, options] of ATTACKS(stub)) {
    for (const value of [undefined, null, 42, ["a"], { a: 1 }]) {
      const made = options(value as unknown as string);
      // What may be left out may be left out.
      if (
        value === undefined && ["username", "namespace"].some((k) => k in made)
      ) {
        continue;
      }
      if (value === undefined && ("pod" in made && made.pod === "p")) continue;
      await assertRejects(
        () => router.open(method, made as unknown as Methods[typeof method]),
        TypeError,
        "Cannot connect: ",
      );
    }
  }
  await assertRejects(() => Deno.stat(`${stub}.ran`), Deno.errors.NotFound);
});
