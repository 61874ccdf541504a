/** rsync into another user's account, where only sudo with a password and a terminal leads. */
import { assertEquals } from "@std/assert";
import { run } from "../../fakessh/mod.ts";
import { Router } from "../../mod.ts";
import { lacking } from "../../tools/system.ts";
import { noLeaks } from "../fixtures/leaks.ts";
import {
  CALLER,
  CALLERS,
  makeRules,
  mine,
  nobodyRuns,
  RULE,
  TARGET,
} from "../fixtures/privilege.ts";
import { makeUser } from "../fixtures/users.ts";

Deno.test({
  name:
    "rsync through a sudo that wants a terminal and a password, there and back",
  ignore: await lacking("root", "sudo", "script", "rsync"),
  async fn() {
    await using _leaks = await noLeaks();
    await using _caller = await makeUser(CALLER, "/bin/bash", {
      password: CALLERS,
    });
    await using target = await makeUser(TARGET, "/bin/bash");
    await using _rules = await makeRules({
      sudoers: [RULE, `Defaults:${CALLER} requiretty`],
    });
    const folder = await Deno.makeTempDir();
    try {
      const bytes = crypto.getRandomValues(new Uint8Array(60_000));
      await Deno.mkdir(`${folder}/there/sub dir`, { recursive: true });
      await Deno.writeFile(`${folder}/there/sub dir/all bytes`, bytes);
      await Deno.symlink("sub dir", `${folder}/there/link`);
      await using router = new Router({ onLog() {} });
      const via = await router.su({ username: CALLER });
      const dest = await router.sudo({
        via,
        username: TARGET,
        password: mine,
      });
      const rsync = async (from: string, to: string) => {
        const { code } = await run(dest, ["rsync", "-a", from, to]);
        assertEquals(code, 0);
      };
      await rsync(`${folder}/there/`, "any:tree/");
      const { stdout } = await (await dest.spawn("stat", {
        args: ["-c", "%U", `${target.home}/tree/sub dir/all bytes`],
      })).output();
      assertEquals(new TextDecoder().decode(stdout), `${TARGET}\n`);
      await rsync("any:tree/", `${folder}/back/`);
      assertEquals(await Deno.readFile(`${folder}/back/link/all bytes`), bytes);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
    await nobodyRuns(TARGET);
  },
});
