/** Users as machines have them: any shell, a profile that prints, any HOME. */
import { assertEquals } from "@std/assert";
import { Router } from "../mod.ts";
import { lacking } from "../tools/system.ts";
import { noLeaks } from "./fixtures/leaks.ts";
import {
  CALLER,
  CALLERS,
  carriesBytes,
  makeRules,
  mine,
  nobodyRuns,
  TARGETS,
  theirs,
  WAYS,
  whoami,
} from "./fixtures/privilege.ts";
import { run } from "./fixtures/programs.ts";
import { startSshd } from "./fixtures/sshd.ts";
import { makeUser } from "./fixtures/users.ts";

const ignore = await lacking("root", "sudo", "su", "doas", "script");

/**
 * What a HOME may be, which is `$1`: how it is made so, and what takes that
 * away again. In this order: the last two stay as they are.
 */
const HOMES: Record<string, [make: string, undo: string]> = {
  "as it was made": ["true", "true"],
  // Its profiles are there, and no byte more has room.
  full: [
    `t=$(mktemp -d); cp -a "$1/." "$t"
mount -t tmpfs -o size=128k none "$1"; cp -a "$t/." "$1"; rm -r "$t"
! cat /dev/zero >"$1/full"`,
    'umount "$1"',
  ],
  "read-only": [
    'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"',
    'umount "$1"',
  ],
  "of another": ['chown root "$1"; chmod 555 "$1"', "true"],
  "not there": ['rm -r "$1"', "true"],
};

for (const [at, [where, open]] of WAYS.entries()) {
  Deno.test({
    name: `any shell, a profile that prints, any HOME, ${where}`,
    ignore,
    async fn(t) {
      await using _leaks = await noLeaks();
      await using _caller = await makeUser(CALLER, "/bin/bash", {
        password: CALLERS,
      });
      await using _rules = await makeRules({
        sudoers: [`${CALLER} ALL=(ALL) ALL`],
        doas: [`permit ${CALLER}`],
      });
      await using sshd = await startSshd();
      await using router = new Router({ onLog() {} });
      const via = await open(router, sshd);
      const env = { QUOTED: `it's "so" $HOME \\ ! % é` };
      for (const shell of ["dash", "bash", "zsh", "fish", "tcsh"]) {
        const username = `mtg-${shell}`;
        await using user = await makeUser(username, `/bin/${shell}`, {
          password: TARGETS,
          profile: 'echo "Password: MITO000"\necho -n "password:"\n',
        });
        const to = { via, username, env };
        for (const [home, [make, undo]] of Object.entries(HOMES)) {
          // Each with each the first time. On other ways each is met once: what
          // is between does not see them.
          if (at > 0 && shell !== "bash" && make !== "true") continue;
          await t.step(`${shell}, HOME is ${home}`, async () => {
            await run("sh", "-ec", make, "sh", user.home);
            try {
              const contexts = await Promise.all([
                router.su({ ...to, password: theirs }),
                router.su({ ...to, password: theirs, login: true }),
                router.sudo({ ...to, password: mine }),
                router.sudo({ ...to, password: mine, login: true }),
                router.doas({ ...to, password: mine }),
              ]);
              for (const context of contexts) {
                assertEquals(await whoami(context), username);
                const quoted = await context.call(() => Deno.env.get("QUOTED"));
                assertEquals(quoted, env.QUOTED);
                await carriesBytes(context);
              }
              await Promise.all(contexts.map((each) => each.shutdown()));
              await nobodyRuns(username);
            } finally {
              await run("sh", "-ec", undo, "sh", user.home);
            }
          });
        }
      }
    },
  });
}
