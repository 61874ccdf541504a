/** Real roots and real namespaces. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import {
  ConnectError,
  type ConnectErrorKind,
  type Context,
  Router,
} from "../mod.ts";
import { lacking } from "../tools/system.ts";
import { noLeaks } from "./fixtures/leaks.ts";
import { makeRoot, PLACE_NEEDS, startPlace } from "./fixtures/places.ts";
import { makeFolder } from "./fixtures/programs.ts";

const ignore = await lacking(...PLACE_NEEDS);
const quiet = { onLog() {} };

async function refused(
  connecting: Promise<Context>,
  kind: ConnectErrorKind,
  message: RegExp,
): Promise<ConnectError> {
  const error = await assertRejects(() => connecting, ConnectError);
  assertEquals(error.kind, kind, error.message);
  assertMatch(error.message, message);
  assert(error.hop.startsWith("master/"), error.hop);
  return error;
}

const facts = () => ({
  uid: Deno.uid(),
  gid: Deno.gid(),
  cwd: Deno.cwd(),
  env: Deno.env.toObject(),
  groups: Deno.readTextFileSync("/proc/self/status").match(
    /^Groups:(.*)$/m,
  )![1]!
    .trim(),
  processes:
    [...Deno.readDirSync("/proc")].filter(({ name }) => +name > 0).length,
  root: [...Deno.readDirSync("/")].map(({ name }) => name).filter((name) =>
    name !== "chroot-with-proc"
  ).sort().join(" "),
});

/** What no place is to learn. */
const SECRET = "MITOGEN_TEST_SECRET";
const ROOT = "bin dev etc home lib lib64 proc root tmp";

Deno.test({
  name: "chroot: another root, as root and as a user of the place",
  ignore,
  async fn(t) {
    await using _ = await noLeaks();
    await using root = await makeRoot();
    await using router = new Router(quiet);
    Deno.env.set(SECRET, "not for others");
    try {
      const base = { path: root.path, chrootPath: root.chroot };
      await t.step("as root", async () => {
        const context = await router.chroot({ ...base, name: "as-root" });
        const { uid, gid, cwd, env, root: found } = await context.call(facts);
        assertEquals([uid, gid, cwd, found], [0, 0, "/", ROOT]);
        assertEquals([env.HOME, env.USER, env[SECRET]], [
          "/root",
          "root",
          undefined,
        ]);
        const behind = await router.local({ via: context });
        assertEquals((await behind.call(facts)).root, ROOT);
        await context.shutdown();
      });
      await t.step("as a user that only it knows", async () => {
        const context = await router.chroot({
          ...base,
          username: "guest",
          env: { MORE: "$(id)" },
          cwd: "/tmp",
        });
        const { uid, gid, cwd, env, groups } = await context.call(facts);
        assertEquals([uid, gid, groups, cwd], [12345, 23456, "", "/tmp"]);
        assertEquals([env.HOME, env.USER, env.MORE, env[SECRET]], [
          "/home/guest",
          "guest",
          "$(id)",
          undefined,
        ]);
        assertMatch(context.path, /^master\/chroot\.[^/]*mitogen-test-\w+$/);
        await context.shutdown();
      });
      await t.step("failures", async () => {
        await refused(
          router.chroot({ ...base, username: "nobody" }),
          "not-found",
          /no user "nobody" there/,
        );
        const odd = await refused(
          router.chroot({ ...base, username: "odd" }),
          "bootstrap",
          /"odd" cannot be read/,
        );
        assertEquals(odd.tail, "no:numbers:/:/bin/sh\n");
        await refused(
          router.chroot({ path: `${root.path}/absent` }),
          "not-found",
          /absent.*No such file/,
        );
        await refused(
          router.chroot({ path: `${root.path}/absent`, username: "guest" }),
          "not-found",
          /absent.*No such file/,
        );
        await refused(
          router.chroot({ path: `${root.path}/tmp` }),
          "runtime",
          /failed to run command .sh/,
        );
        await refused(
          router.chroot({ path: root.path }),
          "runtime",
          /needs \/proc/,
        );
        await refused(
          router.chroot({
            ...base,
            chrootPath: "no-such-chroot",
            username: "guest",
          }),
          "not-found",
          /no-such-chroot/,
        );
        const guest = await router.chroot({ ...base, username: "guest" });
        await Deno.copyFile("/usr/bin/busybox", `${root.path}/bin/chroot`);
        await refused(
          router.chroot({ via: guest, path: "/" }),
          "auth",
          /not permitted/,
        );
        await guest.shutdown();
      });
    } finally {
      Deno.env.delete(SECRET);
    }
  },
});

Deno.test({
  name:
    "a lookup in a hostile place ends: endless answers, no answers, a signal",
  ignore,
  async fn() {
    await using _ = await noLeaks();
    await using folder = await makeFolder();
    await using router = new Router(quiet);
    const path = folder.path;
    const endless = await folder.program(
      "endless",
      "#!/bin/sh\nexec yes root\n",
    );
    const base = { path, username: "root" };
    await refused(
      router.chroot({ ...base, chrootPath: endless }),
      "bootstrap",
      /says more than it was asked/,
    );
    const silent = await folder.program("silent", "#!/bin/sh\nread line\n");
    await refused(
      router.chroot({ ...base, chrootPath: silent, connectTimeout: 200 }),
      "timeout",
      /200 ms/,
    );
    const signal = AbortSignal.timeout(100);
    await refused(
      router.chroot({ ...base, chrootPath: silent, signal }),
      "cancelled",
      /cancelled/,
    );
  },
});

Deno.test({
  name:
    "setns: the namespaces of a process, by its number and by its container",
  ignore,
  async fn(t) {
    await using _ = await noLeaks();
    await using root = await makeRoot();
    await using place = await startPlace(root.path, "inside");
    await using router = new Router(quiet);
    const { pid } = place;
    await t.step("all of them, as root", async () => {
      const context = await router.setns({ pid });
      assertEquals(context.path, `master/setns.${pid}`);
      const { uid, cwd, root: found, processes } = await context.call(facts);
      assertEquals([uid, cwd, found], [0, "/", ROOT]);
      // The one that holds the place, and ours: none of this machine's.
      assertEquals(processes, 2);
      assertEquals(await context.call(Deno.hostname), "inside");
      assertEquals(await context.call(() => Deno.networkInterfaces()), []);
      const behind = await router.local({ via: context });
      assertEquals(await behind.call(Deno.hostname), "inside");
      await context.shutdown();
    });
    await t.step("as a user that only it knows", async () => {
      const context = await router.setns({ pid, username: "guest" });
      const { uid, gid, env, groups } = await context.call(facts);
      assertEquals([uid, gid, groups], [12345, 23456, ""]);
      assertEquals([env.HOME, env.USER], ["/home/guest", "guest"]);
      await context.shutdown();
    });
    await t.step("a user namespace: root there, and nobody else", async () => {
      const flags = ["--user", "--map-root-user"];
      await using own = await startPlace(root.path, "apart", ...flags);
      const context = await router.setns({ pid: own.pid });
      assertEquals(await context.call(Deno.hostname), "apart");
      const map = () => [
        Deno.uid(),
        Deno.readTextFileSync("/proc/self/uid_map").trim().split(/ +/).join(),
      ];
      assertEquals(await context.call(map), [0, "0,0,1"]);
      await context.shutdown();
      // Nobody has that number in there.
      await refused(
        router.setns({ pid: own.pid, username: "guest" }),
        "not-found",
        /has no number for that user/,
      );
    });
    const answers = {
      docker: ["dockerPath", `${pid}\n`],
      podman: ["podmanPath", `${pid}\n`],
      lxc: ["lxcInfoPath", `PID:            ${pid}\n`],
      lxd: [
        "lxcPath",
        `Name: web\nStatus: RUNNING\nPID: ${pid}\nCreated: 2024\n`,
      ],
      incus: ["incusPath", `Name: web\nPID: ${pid}\n`],
      machinectl: ["machinectlPath", `Leader=${pid}\n`],
    } as const;
    for (const [kind, [option, answer]] of Object.entries(answers)) {
      await t.step(`kind ${kind}`, async () => {
        const tool = await root.program(kind, `#!/bin/sh\necho '${answer}'\n`);
        const context = await router.setns({
          container: "web",
          kind: kind as keyof typeof answers,
          [option]: tool,
        });
        assertEquals(context.path, "master/setns.web");
        assertEquals(await context.call(Deno.hostname), "inside");
        await context.shutdown();
      });
    }
    await t.step("failures", async () => {
      const base = { container: "web", kind: "docker" } as const;
      const tool = async (source: string) => ({
        ...base,
        dockerPath: await root.program("d", `#!/bin/sh\n${source}\n`),
      });
      await refused(
        router.setns({ pid: 2 ** 30 }),
        "not-found",
        /No such file or directory/,
      );
      await refused(
        router.setns(await tool("echo 0")),
        "not-found",
        /start it/,
      );
      await refused(
        router.setns(
          await tool("echo 'Error: No such container: web' >&2; exit 1"),
        ),
        "not-found",
        /No such container: web$/,
      );
      await refused(
        router.setns(await tool("echo nonsense >&2; exit 5")),
        "eof",
        /code 5: nonsense/,
      );
      const lxcInfoPath = await root.program(
        "lxc-info",
        '#!/bin/sh\necho "web doesn\'t exist" >&2; exit 1\n',
      );
      await refused(
        router.setns({ container: "web", kind: "lxc", lxcInfoPath }),
        "not-found",
        /web doesn't exist/,
      );
      await refused(
        router.setns({ pid, username: "nobody" }),
        "not-found",
        /no user "nobody" there/,
      );
      for (const wrong of [{}, { pid: 0 }, { pid: 1.5 }, { pid, ...base }]) {
        await assertRejects(() => router.setns(wrong), TypeError);
      }
    });
  },
});
