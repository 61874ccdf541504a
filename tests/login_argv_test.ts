/** What is run for each way in, word for word, with values that mean harm. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  doasArgs,
  quoteAll,
  quoteForLogin,
  quoteOctal,
  sshArgs,
  suArgs,
  sudoArgs,
} from "../parent/mod.ts";
import { type Context, Router, Secret, type SshOptions } from "../mod.ts";
import { noLeaks } from "./fixtures/leaks.ts";
import { type Folder, makeFolder } from "./fixtures/programs.ts";

const HOSTILE = [
  "two words",
  `it's "so"`,
  "$(touch /tmp/pwned) `id` ${HOME}",
  "line\nbreak",
  "-n",
  "%h %u %%",
  "é さ \u{1f980} \\ !! ; & | > *",
  "",
];

/** ssh's arguments that are the same for all, from this one on. */
const SSH_DEFAULTS = [
  "StrictHostKeyChecking=yes",
  "Compression=no",
  "LogLevel=ERROR",
  "RemoteCommand=none",
  "ClearAllForwardings=yes",
  "PermitLocalCommand=no",
  "ControlMaster=no",
  "ControlPath=none",
  "ServerAliveInterval=15",
  "ServerAliveCountMax=3",
  "ConnectTimeout=30",
].flatMap((option) => ["-o", option]);

const silent = ["-o", "BatchMode=yes"];
const asking = ["-o", "BatchMode=no", "-o", "NumberOfPasswordPrompts=1"];
const secret = new Secret("s3cret");

const SSH: [SshOptions, string[]][] = [
  [{ hostname: "web1" }, [...silent, ...SSH_DEFAULTS]],
  [{ hostname: "h", password: secret }, [...asking, ...SSH_DEFAULTS]],
  [
    { hostname: "h", onPrompt: () => Promise.resolve(secret) },
    [...asking, ...SSH_DEFAULTS],
  ],
  [
    { hostname: "h", username: "a$(b)'c", port: 2222, identityFile: "-n %d" },
    [
      ...["-l", "a$(b)'c", "-p", "2222", "-i", "-n %d"],
      ...["-o", "IdentitiesOnly=yes"],
      ...[...silent, ...SSH_DEFAULTS],
    ],
  ],
  [
    { hostname: "h", checkHostKeys: "accept-new", sshArgs: HOSTILE },
    [
      ...["-o", "StrictHostKeyChecking=accept-new"],
      ...[...HOSTILE, ...silent, ...SSH_DEFAULTS],
    ],
  ],
  [
    { hostname: "h", checkHostKeys: "ignore", compression: true },
    [
      ...["-o", "StrictHostKeyChecking=no"],
      ...["-o", "UserKnownHostsFile=/dev/null"],
      ...["-o", "GlobalKnownHostsFile=/dev/null"],
      ...["-o", "Compression=yes", ...silent, ...SSH_DEFAULTS],
    ],
  ],
  [
    { hostname: "h", controlMaster: true },
    [...silent, ...SSH_DEFAULTS].filter((word, i, all) =>
      word !== "ControlPath=none" && all[i + 1] !== "ControlPath=none"
    ),
  ],
];

Deno.test("ssh gets just these arguments", () => {
  for (const [options, args] of SSH) {
    const all = ["-T", ...args, "--", options.hostname];
    assertEquals(sshArgs(options), all);
  }
  // With a socket by which others share the connection.
  assertEquals(
    sshArgs({ hostname: "h" }, "/tmp/mitogen-0/x"),
    [
      ...["-T", ...silent],
      ...SSH_DEFAULTS.flatMap((word) =>
        word === "ControlMaster=no"
          ? ["ControlMaster=yes"]
          : word === "ControlPath=none"
          ? ["ControlPath=/tmp/mitogen-0/x", "-o", "ControlPersist=no"]
          : [word]
      ),
      ...["--", "h"],
    ],
  );
});

Deno.test("sudo, su and doas get just these arguments", () => {
  assertEquals(sudoArgs({}, "?"), ["-S", "-p", "?", "-u", "root", "--"]);
  assertEquals(
    sudoArgs({
      username: "#1000",
      preserveEnv: true,
      setHome: true,
      login: true,
      sudoArgs: HOSTILE,
    }, "?"),
    ["-S", "-p", "?", "-u", "#1000", "-E", "-H", "-i", ...HOSTILE, "--"],
  );
  assertEquals(suArgs({}), ["root"]);
  assertEquals(
    suArgs({
      username: "a$(b)",
      login: true,
      preserveEnv: true,
      suArgs: HOSTILE,
    }),
    ["-l", "-m", ...HOSTILE, "a$(b)"],
  );
  assertEquals(doasArgs({}), ["-u", "root", "--"]);
  assertEquals(
    doasArgs({ username: "a'b", doasArgs: HOSTILE }),
    ["-u", "a'b", ...HOSTILE, "--"],
  );
});

Deno.test("quoting leaves a word as it was, in sh and behind sudo -i", async () => {
  const show = (words: string[]) => `printf '%s\\0' ${quoteAll(words)}`;
  for (const shell of ["sh", "bash", "dash", "zsh"]) {
    for (const script of [show(HOSTILE), quoteOctal(show(HOSTILE))]) {
      const { stdout } = await new Deno.Command(shell, {
        args: ["-c", script],
      }).output();
      const words = new TextDecoder().decode(stdout).split("\0");
      assertEquals(words, [...HOSTILE, ""]);
    }
  }
  assertEquals(
    quoteOctal("a $b"),
    "eval \"`printf 'a\\040\\044b'`\"",
  );
  // One that a login shell of any kind reads alike, or nothing.
  assertEquals(quoteForLogin("a'b!\\"), "'a'\\''b'\\!''\\\\''");
});

/**
 * Stands for all three: insists on a terminal, says how it was called, and
 * does as it was told.
 */
const STUB = `#!/bin/sh
(: </dev/tty) 2>/dev/null||{ echo "you must have a tty">&2;exit 1;}
printf '%s\\0' "$@">"$0.args"
while [ "$1" != -- ]&&[ "$1" != -c ];do shift;done
[ "$1" = -c ]&&exec sh "$@"
shift
exec "$@"
`;

async function argsOf(stub: string): Promise<string[]> {
  return (await Deno.readTextFile(`${stub}.args`)).split("\0").slice(0, -1);
}

type Opener = (
  router: Router,
  options: {
    path: string;
    extra: string[];
    env: Record<string, string>;
    cwd: string;
  },
) => Promise<Context>;

const username = "a$(touch>pwned)'b\"%é";

const TERMINAL: [name: string, before: string[], open: Opener][] = [
  [
    "sudo",
    ["-S", "-p", "<prompt>", "-u", username],
    (router, { path, extra, env, cwd }) =>
      router.sudo({ username, sudoPath: path, sudoArgs: extra, env, cwd }),
  ],
  [
    "su",
    [],
    (router, { path, extra, env, cwd }) =>
      router.su({ username, suPath: path, suArgs: extra, env, cwd }),
  ],
  [
    "doas",
    ["-u", username],
    (router, { path, extra, env, cwd }) =>
      router.doas({
        username,
        doasPath: path,
        doasArgs: extra,
        env,
        cwd,
        password: new Secret("not asked for"),
      }),
  ],
];

async function hostileFolder(folder: Folder): Promise<string> {
  const path = `${folder.path}/it's $(touch pwned) "%s" \\é`;
  await Deno.mkdir(path);
  return path;
}

for (const [name, before, open] of TERMINAL) {
  Deno.test(`${name} gets them as they are through a terminal, too`, async () => {
    await using _ = await noLeaks();
    await using folder = await makeFolder();
    const cwd = await hostileFolder(folder);
    const path = `${cwd}/${name}`;
    await Deno.writeTextFile(path, STUB);
    await Deno.chmod(path, 0o755);
    await using router = new Router({ onLog() {} });
    // su goes through a login shell, which takes no line break.
    const broken = (word: string) => name !== "su" || !word.includes("\n");
    const env = Object.fromEntries(
      HOSTILE.filter(broken).map((value, i) => [`V${i}`, value]),
    );
    const extra = HOSTILE.filter((word) => !word.startsWith("--"));
    const context = await open(router, { path, extra, env, cwd });
    const seen = await context.call(() => [
      Deno.cwd(),
      ...Array.from({ length: 8 }, (_, i) => Deno.env.get(`V${i}`)),
    ]);
    const values = Object.values(env);
    assertEquals(seen.slice(0, 1 + values.length), [cwd, ...values]);
    const args = (await argsOf(path)).map((word) =>
      word.startsWith("[mitogen-prompt-") ? "<prompt>" : word
    );
    const end = before.length + extra.length;
    assertEquals(args.slice(0, end), [...before, ...extra]);
    assertEquals(
      args.slice(end, -1),
      name === "su" ? [username, "-c"] : ["--", "sh", "-c"],
    );
    assertStringIncludes(args.at(-1)!, "mitogen-");
    for (const place of [cwd, folder.path, Deno.cwd()]) {
      await assertRejects(
        () => Deno.stat(`${place}/pwned`),
        Deno.errors.NotFound,
      );
    }
  });
}
