/** ssh asks for passwords, passphrases and codes; hosts and keys as they are. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import {
  ConnectError,
  type ConnectErrorKind,
  type Context,
  type LogRecord,
  type OnPrompt,
  type Prompt,
  Router,
  Secret,
} from "../mod.ts";
import { lacking } from "../tools/system.ts";
import { filesIn, noLeaks } from "./fixtures/leaks.ts";
import { makeRules, watchFor } from "./fixtures/privilege.ts";
import { lines, makeFolder, run } from "./fixtures/programs.ts";
import { type Sshd, startSshd } from "./fixtures/sshd.ts";
import { makeUser } from "./fixtures/users.ts";

const ignore = await lacking("root", "ssh", "google-authenticator");

const INNER = "mtg-inner";
const OUTER = "mtg-outer";
const PASSWORD = `inner "word" $HOME it's é`;
const OTHER = "outer\\pass\\n %s";
const PHRASE = "+key phrase";
const SECRETS = [PASSWORD, OTHER, PHRASE, "nonsense"];
const password = new Secret(PASSWORD);
const wrong = new Secret("nonsense");

/** Takes passwords, and says a word that must not be mistaken for a prompt. */
const ASKING = [
  "UsePAM yes",
  "PasswordAuthentication yes",
  "KbdInteractiveAuthentication yes",
];

/** A configuration of the user's, with hosts behind others and files in files. */
async function writeConfig(sshd: Sshd): Promise<string[]> {
  await Deno.writeTextFile(
    `${sshd.folder}/hosts`,
    `Host outer
  User ${OUTER}
Host inner
  User ${INNER}
Host behind
  User ${INNER}
  ProxyJump outer
`,
  );
  await Deno.writeTextFile(
    `${sshd.folder}/asking`,
    `Include ${sshd.folder}/hosts
Host *
  HostName 127.0.0.1
  Port ${sshd.port}
  UserKnownHostsFile ${sshd.knownHosts}
  GlobalKnownHostsFile /dev/null
  IdentityFile /nowhere
`,
  );
  return ["-F", `${sshd.folder}/asking`];
}

async function user(context: Context): Promise<string> {
  const name = await context.call(() =>
    new TextDecoder().decode(
      new Deno.Command("id", { args: ["-un"] }).outputSync().stdout,
    ).trim()
  );
  await context.shutdown();
  return name;
}

async function refused(
  connecting: Promise<Context>,
  kind: ConnectErrorKind,
  message: RegExp,
): Promise<void> {
  const error = await assertRejects(() => connecting, ConnectError);
  assertEquals(error.kind, kind, error.message);
  assertMatch(error.message, message);
  const all = Deno.inspect(error) + error.tail + error.command;
  for (const secret of SECRETS) assert(!all.includes(secret), "it is told");
}

/** Answers prompts by their kind, and keeps what was asked. */
function answering(answers: Partial<Record<Prompt["kind"], string>>) {
  const asked: Prompt[] = [];
  const onPrompt: OnPrompt = (prompt) => {
    asked.push(prompt);
    const answer = answers[prompt.kind];
    if (answer === undefined) throw new Error("nobody knows");
    return Promise.resolve(new Secret(answer));
  };
  return { asked, onPrompt };
}

const WAYS: [name: string, open: (r: Router, s: Sshd) => Promise<Context>][] = [
  ["here", () => Promise.resolve(undefined as never)],
  ["as the third hop, which may only run programs", async (router, sshd) => {
    const via = await router.ssh({
      hostname: "loopback",
      sshArgs: sshd.sshArgs,
    });
    return await router.local({ via, permissions: { run: true } });
  }],
];

for (const [where, open] of WAYS) {
  Deno.test({
    name: `passwords, passphrases and hosts on the way, ${where}`,
    ignore,
    async fn() {
      await using _leaks = await noLeaks();
      await using folder = await makeFolder();
      await using _inner = await makeUser(INNER, "/bin/zsh", {
        password: PASSWORD,
        profile: 'echo "Password:"\necho -n "password:"\n',
      });
      await using _outer = await makeUser(OUTER, "/bin/sh", {
        password: OTHER,
      });
      const banner = `${folder.path}/banner`;
      await Deno.writeTextFile(banner, "Your password:\npassword: ");
      await using sshd = await startSshd([...ASKING, `Banner ${banner}`]);
      const locked = `${sshd.folder}/locked`;
      const make = ["-q", "-t", "ed25519", "-N", PHRASE, "-f", locked];
      await run("ssh-keygen", ...make);
      await Deno.writeTextFile(
        `${sshd.folder}/authorized`,
        await Deno.readTextFile(`${locked}.pub`),
        { append: true },
      );
      const sshArgs = await writeConfig(sshd);
      const records: LogRecord[] = [];
      await using router = new Router({ onLog: (r) => records.push(r) });
      const via = await open(router, sshd);
      const permissions = { run: true };
      const to = {
        ...(via ? { via } : {}),
        hostname: "inner",
        permissions,
        sshArgs,
      };
      const path = `${via?.path ?? "master"}/ssh.inner`;
      {
        await using watch = watchFor(SECRETS);
        const key = answering({ passphrase: PHRASE });
        const word = answering({ password: PASSWORD });
        const plain = ["-o", "PreferredAuthentications=password"];
        const names = await Promise.all([
          router.ssh({ ...to, password }).then(user),
          router.ssh({ ...to, password: () => Promise.resolve(password) })
            .then(user),
          router.ssh({ ...to, ...word, sshArgs: [...sshArgs, ...plain] })
            .then(user),
          router.ssh({ ...to, ...key, identityFile: locked }).then(user),
          // A key that cannot be opened is passed over.
          router.ssh({ ...to, password, identityFile: locked }).then(user),
        ]);
        assertEquals(names, Array(5).fill(INNER));
        assertEquals(word.asked, [{
          kind: "password",
          text: `${INNER}@127.0.0.1's password: `,
          path,
        }]);
        assertEquals(key.asked, [{
          kind: "passphrase",
          text: `Enter passphrase for key '${locked}': `,
          path,
        }]);
        // The host on the way asks first, and does not get the other's.
        const way = answering({ password: OTHER });
        const behind = { ...to, hostname: "behind" };
        assertEquals(
          await router.ssh({ ...behind, ...way, password }).then(user),
          INNER,
        );
        assertEquals(way.asked.map(({ text }) => text), [
          `(${OUTER}@127.0.0.1) Password: `,
        ]);
        const badKey = answering({ passphrase: "nonsense" });
        const mute = answering({});
        await Promise.all([
          refused(
            router.ssh(to),
            "auth",
            /Permission denied \([^)]*password[^)]*\)\.$/,
          ),
          refused(
            router.ssh({ ...to, password: wrong }),
            "auth",
            /Permission denied.*the password was not accepted/,
          ),
          refused(
            router.ssh({ ...behind, password }),
            "auth",
            /outer@127.0.0.1.*set `onPrompt`/,
          ),
          refused(
            router.ssh({
              ...behind,
              ...answering({ password: "nonsense" }),
            }),
            "auth",
            /not accepted/,
          ),
          refused(
            router.ssh({ ...to, ...badKey, identityFile: locked }),
            "auth",
            /Permission denied.*nobody knows/,
          ),
          refused(
            router.ssh({ ...to, ...mute }),
            "auth",
            /Permission denied.*nobody knows/,
          ),
          refused(
            router.ssh({
              ...to,
              connectTimeout: 1500,
              onPrompt: () => new Promise(() => {}),
            }),
            "timeout",
            /1500 ms/,
          ),
        ]);
        assertEquals(
          badKey.asked.filter(({ kind }) => kind === "passphrase").length,
          1,
          "what was wrong is not asked for again",
        );
        assert(watch.looks > 10);
      }
      const text = JSON.stringify(records);
      for (const secret of SECRETS) {
        assert(!text.includes(JSON.stringify(secret).slice(1, -1)));
      }
    },
  });
}

Deno.test({
  name: "one-time codes are asked for, each by its text",
  ignore,
  async fn() {
    await using _leaks = await noLeaks();
    await using folder = await makeFolder();
    await using inner = await makeUser(INNER, "/bin/bash", {
      password: PASSWORD,
    });
    // Codes to be used once each, as the tool for people makes them.
    const codes = ["12345670", "12345671"];
    const file = `${inner.home}/.google_authenticator`;
    const lines = ["JBSWY3DPEHPK3PXP", '" TOTP_AUTH', ...codes, ""];
    await Deno.writeTextFile(file, lines.join("\n"), { mode: 0o600 });
    await run("chown", INNER, file);
    const service = `/etc/pam.d/mtg-otp`;
    await Deno.writeTextFile(
      service,
      `auth requisite pam_unix.so
auth required pam_google_authenticator.so
account required pam_permit.so
session required pam_permit.so
`,
    );
    try {
      const program = `${folder.path}/mtg-otp`;
      await Deno.symlink("/usr/sbin/sshd", program);
      await using sshd = await startSshd([
        "AuthenticationMethods keyboard-interactive",
        ...ASKING,
      ], program);
      const sshArgs = await writeConfig(sshd);
      await using router = new Router({ onLog() {} });
      const to = { hostname: "inner", sshArgs };
      const hop = await router.local();
      for (const via of [undefined, hop]) {
        const code = codes.pop()!;
        const { asked, onPrompt } = answering({ code });
        const through = via ? { via } : {};
        const context = await router.ssh({
          ...to,
          ...through,
          password,
          onPrompt,
        });
        assertEquals(await user(context), INNER);
        const who = `(${INNER}@127.0.0.1)`;
        assertEquals(asked.map(({ kind, text }) => [kind, text]), [
          ["code", `${who} Verification code: `],
        ]);
      }
      await refused(
        router.ssh({ ...to, password }),
        "auth",
        /Permission denied.*Verification code.*set `onPrompt`/,
      );
    } finally {
      await Deno.remove(service);
    }
  },
});

Deno.test({
  name: "host keys: enforced, taken when new, or ignored",
  ignore,
  async fn() {
    await using _leaks = await noLeaks();
    await using folder = await makeFolder();
    await using sshd = await startSshd();
    await using router = new Router({ onLog() {} });
    const known = `${folder.path}/known`;
    const to = (checkHostKeys?: "enforce" | "accept-new" | "ignore") =>
      router.ssh({
        hostname: "127.0.0.1",
        port: sshd.port,
        identityFile: sshd.identityFile,
        ...(checkHostKeys ? { checkHostKeys } : {}),
        sshArgs: [
          "-F",
          "none",
          "-o",
          `UserKnownHostsFile=${known}`,
          "-o",
          "GlobalKnownHostsFile=/dev/null",
        ],
      });
    await refused(to(), "hostkey", /host key is known/);
    await refused(to("enforce"), "hostkey", /host key is known/);
    assertEquals(await user(await to("ignore")), "root");
    await assertRejects(() => Deno.stat(known), Deno.errors.NotFound);
    assertEquals(await user(await to("accept-new")), "root");
    assertMatch(await Deno.readTextFile(known), /ssh-ed25519/);
    assertEquals(await user(await to()), "root");
    const other = await Deno.readTextFile(`${sshd.folder}/key.pub`);
    await Deno.writeTextFile(known, `[127.0.0.1]:${sshd.port} ${other}`);
    await refused(to("accept-new"), "hostkey", /CHANGED|verification failed/);
    assertEquals(await user(await to("ignore")), "root");
  },
});

Deno.test({
  name: "a connection that the user keeps open is used if that is wanted",
  ignore,
  async fn() {
    await using _leaks = await noLeaks();
    await using folder = await makeFolder();
    await using sshd = await startSshd();
    await using router = new Router({ onLog() {} });
    const socket = `${folder.path}/control`;
    const config = `${folder.path}/config`;
    await Deno.writeTextFile(
      config,
      `ControlPath ${socket}\nInclude ${sshd.configFile}\n`,
    );
    const shared = ["-F", config];
    await run("ssh", ...shared, "-fNM", "loopback");
    try {
      // Only that connection gets in: this one has no key.
      const to = {
        hostname: "loopback",
        sshArgs: [...shared, "-o", "PubkeyAuthentication=no"],
      };
      await refused(router.ssh(to), "auth", /Permission denied/);
      assertEquals(
        await user(await router.ssh({ ...to, controlMaster: true })),
        "root",
      );
    } finally {
      await run("ssh", ...shared, "-O", "exit", "loopback");
    }
  },
});

/** Command lines of processes that hold some word. */
async function running(word: string): Promise<string[]> {
  const { stdout } = await new Deno.Command("pgrep", { args: ["-af", word] })
    .output();
  return new TextDecoder().decode(stdout).split("\n").filter(Boolean);
}

Deno.test({
  name: "nothing is left when the program is killed while it is asked",
  ignore: ignore || await lacking("sudo", "doas"),
  async fn() {
    await using _leaks = await noLeaks();
    await using folder = await makeFolder();
    await using _caller = await makeUser(OUTER, "/bin/bash", {
      password: OTHER,
    });
    await using _target = await makeUser(INNER, "/bin/bash", {
      password: PASSWORD,
    });
    await using _rules = await makeRules({
      sudoers: [`${OUTER} ALL=(${INNER}) ALL`],
      doas: [`permit ${OUTER} as ${INNER}`],
    });
    await using sshd = await startSshd(ASKING);
    const [, config] = await writeConfig(sshd);
    const program = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "tests/fixtures/asked.ts"],
        ...[OUTER, INNER, config!],
      ],
      stdin: "null",
      stdout: "piped",
      env: { TMPDIR: folder.path },
    }).spawn();
    const asking = "echo mitogen-|mitogen-ask";
    let before: string[] = [];
    for await (const line of lines(program.stdout)) {
      if (line === "asked") before = await running(asking);
      program.kill("SIGKILL");
    }
    assertEquals((await program.status).signal, "SIGKILL");
    for (const tool of ["sudo", "su", "doas", "ask"]) {
      assertStringIncludes(before.join("\n"), tool);
    }
    const left = async () => [
      ...await running(asking),
      ...await running(config!).then((all) =>
        all.filter((line) => !line.includes("/sshd"))
      ),
      ...filesIn(folder.path),
    ];
    const end = performance.now() + 5000;
    let still = await left();
    while (still.length > 0 && performance.now() < end) still = await left();
    assertEquals(still, []);
  },
});
