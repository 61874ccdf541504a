/** sudo, su and doas as machines have them set up, and users as they are. */
import { assertEquals } from "@std/assert";
import { Router, Secret } from "../mod.ts";
import { lacking } from "../tools/system.ts";
import { noLeaks } from "./fixtures/leaks.ts";
import {
  CALLER,
  CALLERS,
  carriesBytes,
  makeRules,
  mine,
  nobodyRuns,
  refused,
  RULE,
  TARGET,
  TARGETS,
  theirs,
  watchFor,
  WAYS,
  works,
  wrong,
} from "./fixtures/privilege.ts";
import { type Folder, makeFolder } from "./fixtures/programs.ts";
import { startSshd } from "./fixtures/sshd.ts";
import { makeUser } from "./fixtures/users.ts";

const ignore = await lacking("root", "sudo", "su", "doas", "script");

/** Programs in front of the real ones, which make them other than they are. */
async function stubs(folder: Folder) {
  return {
    late: await folder.program("late", '#!/bin/sh\nsleep 1\nexec sudo "$@"\n'),
    strict: await folder.program(
      "strict",
      '#!/bin/sh\n[ -t 0 ]||{ echo "su: must be run from a terminal">&2;exit 1;}\nexec su "$@"\n',
    ),
    // sudo-rs puts its own words around ours, or does without them.
    rs: await folder.program(
      "rs",
      `#!/bin/sh
while [ "$1" != -- ];do [ "$1" = -p ]&&p=$2;shift;done;shift
for i in 1 2;do
printf '[sudo: %s] Password: ' "\${MTG_RS-$p}">&2
IFS= read -r l
[ "$l" = right ]&&exec "$@"
echo "sudo: Authentication failed, try again.">&2
done
echo "sudo: 3 incorrect authentication attempts">&2
exit 1
`,
    ),
  };
}

for (const [where, open] of WAYS) {
  Deno.test({
    name:
      `sudo as it may be set up: a tty, logs, lectures, its own words, ${where}`,
    ignore,
    async fn(t) {
      await using _leaks = await noLeaks();
      await using _caller = await makeUser(CALLER, "/bin/bash", {
        password: CALLERS,
      });
      await using target = await makeUser(TARGET, "/usr/bin/fish");
      await using rules = await makeRules({ sudoers: [RULE] });
      await using folder = await makeFolder();
      await using sshd = await startSshd();
      await using router = new Router({ onLog() {} });
      const via = await open(router, sshd);
      await using _watch = watchFor([CALLERS, "quite wrong"]);
      const to = { via, username: TARGET, password: mine };
      const logs = `${folder.path}/io`;
      const setups = [
        "!use_pty",
        `log_output,log_input,iolog_dir=${logs}`,
        `requiretty,log_output,iolog_dir=${logs}`,
        "use_pty,lecture=always",
        'passprompt_override,passprompt="Wie lautet das Passwort\\? "',
        'passprompt_override,passprompt="%u さんのパスワード： "',
      ];
      for (const setup of setups) {
        await t.step(setup, async () => {
          await rules.sudoers(RULE, `Defaults:${CALLER} ${setup}`);
          await Promise.all([
            works(router.sudo(to)),
            works(router.sudo({ ...to, login: true })),
            refused(
              router.sudo({ via, username: TARGET }),
              "auth",
              /none was given/,
            ),
          ]);
        });
      }
      await t.step("late, and on a terminal", async () => {
        await rules.sudoers(RULE, `Defaults:${CALLER} requiretty`);
        const { late } = await stubs(folder);
        await works(router.sudo({ ...to, sudoPath: late }));
      });
      await t.step("a wrong password on a terminal", async () => {
        await rules.sudoers(RULE, `Defaults:${CALLER} requiretty`);
        await refused(
          router.sudo({ ...to, password: wrong }),
          "auth",
          /did not accept the password/,
        );
      });
      await t.step("no password", async () => {
        await rules.sudoers(`${CALLER} ALL=(${TARGET}) NOPASSWD: ALL`);
        await works(router.sudo({ via, username: TARGET }));
        const never = () => Promise.reject(new Error("asked"));
        await works(router.sudo({ ...to, password: never }));
      });
      await t.step("preserveEnv, setHome and sudoArgs", async () => {
        await rules.sudoers(`${CALLER} ALL=(${TARGET}) NOPASSWD:SETENV: ALL`);
        const from = await router.local({
          via,
          env: { KEPT: "so $ far", HOME: "/tmp" },
        });
        const home = async (options: object) => {
          const context = await router.sudo({
            via: from,
            username: TARGET,
            ...options,
          });
          const seen = await context.call(() => [
            Deno.env.get("KEPT"),
            Deno.env.get("HOME"),
          ]);
          await context.shutdown();
          return seen;
        };
        assertEquals(await home({}), [undefined, target.home]);
        assertEquals(await home({ preserveEnv: true }), ["so $ far", "/tmp"]);
        assertEquals(
          await home({ preserveEnv: true, setHome: true }),
          ["so $ far", target.home],
        );
        assertEquals(
          await home({ sudoArgs: ["--preserve-env=KEPT"] }),
          ["so $ far", target.home],
        );
      });
      await nobodyRuns(TARGET);
    },
  });
}

Deno.test({
  name: "tools that insist on a terminal, or word it otherwise",
  ignore: ignore || await lacking("python3"),
  async fn(t) {
    await using _leaks = await noLeaks();
    await using _caller = await makeUser(CALLER, "/bin/bash", {
      password: CALLERS,
    });
    await using _target = await makeUser(TARGET, "/bin/zsh", {
      password: TARGETS,
    });
    await using _rules = await makeRules({
      sudoers: [RULE, `Defaults:${CALLER} requiretty`],
      doas: [`permit ${CALLER} as ${TARGET}`],
    });
    await using folder = await makeFolder();
    const { strict, rs } = await stubs(folder);
    await using router = new Router({ onLog() {} });
    const via = await router.su({ username: CALLER });
    const to = { via, username: TARGET };
    await t.step("su on a terminal", () =>
      Promise.all([
        works(router.su({ ...to, password: theirs, suPath: strict })),
        refused(
          router.su({ ...to, password: wrong, suPath: strict }),
          "auth",
          /password is wrong/,
        ),
        refused(
          router.su({ ...to, password: new Secret("a\x03b"), suPath: strict }),
          "auth",
          /cannot be typed/,
        ),
      ]).then(() => {}));
    await t.step("in the words of sudo-rs", async () => {
      for (const MTG_RS of [undefined, "authenticate"]) {
        const from = await router.local(MTG_RS ? { env: { MTG_RS } } : {});
        const rsTo = { via: from, sudoPath: rs };
        const context = await router.sudo({
          ...rsTo,
          password: new Secret("right"),
        });
        await carriesBytes(context);
        await refused(
          router.sudo({ ...rsTo, password: wrong }),
          "auth",
          /did not accept/,
        );
        await refused(router.sudo(rsTo), "auth", /none was given/);
        await from.shutdown();
      }
    });
    await t.step("without script, python makes the terminal", async () => {
      await folder.program("script", "#!/bin/sh\nexit 1\n");
      const path = await via.call(() => Deno.env.get("PATH"));
      const from = await router.local({
        via,
        env: { PATH: `${folder.path}:/usr/bin:/bin:${path}` },
      });
      const bare = { ...to, via: from };
      await Promise.all([
        works(router.sudo({ ...bare, password: mine })),
        works(router.su({ ...bare, password: theirs, suPath: strict })),
        works(router.doas({ ...bare, password: mine })),
        refused(
          router.doas({ ...bare, password: wrong }),
          "auth",
          /password is wrong/,
        ),
      ]);
    });
    await t.step("without either, that is said", async () => {
      const empty = `${folder.path}/bin`;
      await Deno.mkdir(empty);
      for (const name of ["sh", "grep", "doas", "env"]) {
        await Deno.symlink(`/usr/bin/${name}`, `${empty}/${name}`);
      }
      const from = await router.local({ via, env: { PATH: empty } });
      await refused(
        router.doas({ ...to, via: from, password: mine }),
        "not-found",
        /neither script of util-linux nor python3/,
      );
    });
    await nobodyRuns(TARGET);
  },
});
