/** Other users of a machine: sudo, su and doas as they are, with real users. */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { type ConnectError, type LogRecord, Router, Secret } from "../mod.ts";
import { lacking } from "../tools/system.ts";
import { noLeaks } from "./fixtures/leaks.ts";
import {
  CALLER,
  CALLERS,
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
  whoami,
  works,
  wrong,
} from "./fixtures/privilege.ts";
import { startSshd } from "./fixtures/sshd.ts";
import { makeUser } from "./fixtures/users.ts";

const ignore = await lacking("root", "sudo", "su", "doas", "script");

for (const [where, open] of WAYS) {
  Deno.test({
    name: `right, wrong and missing passwords, ${where}`,
    ignore,
    async fn() {
      await using _leaks = await noLeaks();
      await using _caller = await makeUser(CALLER, "/bin/bash", {
        password: CALLERS,
      });
      await using _target = await makeUser(TARGET, "/bin/dash", {
        password: TARGETS,
      });
      await using _rules = await makeRules({
        sudoers: [RULE],
        doas: [`permit ${CALLER} as ${TARGET}`],
      });
      await using sshd = await startSshd();
      const records: LogRecord[] = [];
      await using router = new Router({ onLog: (r) => records.push(r) });
      const via = await open(router, sshd);
      const to = { via, username: TARGET };
      const hop = (error: ConnectError, name: string) =>
        assertEquals(error.hop, `${via.path}/${name}`);
      {
        await using watch = watchFor([CALLERS, TARGETS, "quite wrong"]);
        let asked = 0;
        const ask = (secret: Secret) => async () => {
          asked++;
          // Late: not before something else has gone there and back.
          await via.ping();
          return secret;
        };
        await Promise.all([
          works(router.sudo({ ...to, password: ask(mine) })),
          works(router.su({ ...to, password: ask(theirs) })),
          works(router.doas({ ...to, password: ask(mine) })),
        ]);
        assertEquals(asked, 3, "each is asked for once");
        await Promise.all([
          refused(router.sudo(to), "auth", /none was given: set `password`/),
          refused(router.su(to), "auth", /none was given: set `password`/),
          refused(router.doas(to), "auth", /set `password`/),
          refused(
            router.sudo({ ...to, password: wrong }),
            "auth",
            /sudo did not accept the password/,
          ).then((error) => hop(error, `sudo.${TARGET}`)),
          refused(
            router.su({ ...to, password: wrong }),
            "auth",
            /Authentication failure.*password is wrong/,
          ).then((error) => hop(error, `su.${TARGET}`)),
          refused(
            router.doas({ ...to, password: wrong }),
            "auth",
            /Authentication failed.*password is wrong/,
          ).then((error) => hop(error, `doas.${TARGET}`)),
          refused(
            router.sudo({ via, username: "nobody", password: mine }),
            "auth",
            /not allowed.*See sudoers/,
          ),
          refused(
            router.doas({ via, username: "nobody", password: mine }),
            "auth",
            /not permitted.*See doas.conf/,
          ),
          refused(
            router.sudo({ via, username: "no-such-user", password: mine }),
            "not-found",
            /no-such-user/,
          ),
          refused(
            router.su({ via, username: "no-such-user", password: mine }),
            "not-found",
            /no-such-user/,
          ),
          refused(
            router.sudo({ ...to, sudoPath: "no-such-sudo" }),
            "not-found",
            /no-such-sudo/,
          ),
          refused(
            router.sudo({
              ...to,
              password: () => Promise.reject(new Error("no idea")),
            }),
            "auth",
            /no idea/,
          ),
          refused(
            router.su({ ...to, password: new Secret("two\nlines") }),
            "auth",
            /cannot be typed/,
          ),
          refused(
            router.doas({
              ...to,
              connectTimeout: 1000,
              password: () => new Promise(() => {}),
            }),
            "timeout",
            /1000 ms/,
          ),
        ]);
        assert(watch.looks > 10);
      }
      // What they left of themselves: nothing. All calls still work.
      assertEquals(await whoami(via), CALLER);
      const text = JSON.stringify(records);
      for (const secret of [CALLERS, TARGETS]) {
        assert(!text.includes(JSON.stringify(secret).slice(1, -1)));
      }
      await nobodyRuns(TARGET);
    },
  });
}

Deno.test("names that a tool would misread are refused before it runs", async () => {
  await using router = new Router({ onLog() {} });
  for (const username of ["", "-s", "two words", "a\nb", "a:b", "a\0b"]) {
    await assertRejects(() => router.sudo({ username }), TypeError);
    await assertRejects(() => router.su({ username }), TypeError);
    await assertRejects(() => router.doas({ username }), TypeError);
  }
  const error = await assertRejects(
    () => router.su({ env: { A: "line\nbreak" } }),
    TypeError,
  );
  assertStringIncludes(error.message, "line break");
});
