/** Debian's own rsync, scp, sftp and git over contexts that are there. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { run } from "../../fakessh/mod.ts";
import type { Context } from "../../mod.ts";
import {
  makeWorld,
  type Outcome,
  sh,
  type World,
} from "../fixtures/fakessh.ts";
import { noLeaks } from "../fixtures/leaks.ts";

const ignore = Deno.uid() !== 0;

/** Makes a tree with all that scp can carry. */
const PLAIN_TREE = `
mkdir -p "$1/sub dir/deeper" && cd "$1"
printf 'plain\\n' >plain
printf 'x' >"it's \\"quoted\\" \\$HOME * ?"
printf 'z' >'-starts with a dash'
printf 'u' >'grüße 漢字'
head -c 100000 /dev/urandom >"sub dir/deeper/random"
: >empty
find . -type f -exec touch -d '2011-11-11 11:11:11' {} +
chmod 640 plain; chmod 751 "sub dir/deeper/random"; chmod 700 "sub dir"
touch -d '2001-02-03 04:05:06' plain "sub dir/deeper/random"
touch -d '1999-12-31 23:59:59' "sub dir"`;

/** The rest of what rsync can. */
const WHOLE_TREE = `${PLAIN_TREE}
printf 'y' >"$(printf 'two\\nlines')"
ln plain hard; ln -s '../no where' "sub dir/dangling"; ln -s plain soft
truncate -s 5M sparse; printf end >>sparse
mkfifo pipe
touch -d '2001-02-03 04:05:06.789' plain
touch -d '1999-12-31 23:59:59' "sub dir"`;

/** Prints all that there is to know of a tree. */
const DESCRIBE = `
cd "$1" && find . -mindepth 1 \\( -type l -printf '%p %y %l\\0' -o -type p -printf '%p %y %m\\0' -o -type d -printf '%p %y %m %Ts\\0' -o -printf '%p %y %m %s %n %T@\\0' \\) | sort -z | tr '\\0' '|'
find . -type f -print0 | sort -z | xargs -0 cksum
[ ! -e sparse ] || [ $(du -k sparse | cut -f1) -gt 1000 ] || echo sparse`;

async function check(outcome: Promise<Outcome>): Promise<string> {
  const { code, stderr, stdout } = await outcome;
  assertEquals([code, stderr], [0, ""]);
  return stdout;
}

/** Makes a tree here, and answers what it is like. */
async function makeTree(
  world: World,
  path: string,
  script: string,
): Promise<string> {
  await check(world.real(sh(script, path)));
  return await describe(world, path);
}

function describe(world: World, path: string): Promise<string> {
  return check(world.real(sh(DESCRIBE, path)));
}

Deno.test({
  name: "trees arrive as they are",
  ignore,
  async fn(t) {
    await using _leaks = await noLeaks();
    await using world = await makeWorld();
    const { folder, router, remote } = world;
    const places: [[string, Context], [string, Context], [string, Context]] = [
      ["a local context", await router.local()],
      ["a context over ssh", remote],
      ["a context behind one over ssh", await router.local({ via: remote })],
    ];
    const there = `${folder}/there`;
    await Deno.mkdir(there);
    await Deno.chmod(there, 0o777);
    const back = `${folder}/back`;

    const whole = `${folder}/whole`;
    const tree = await makeTree(world, whole, WHOLE_TREE);
    assertStringIncludes(tree, "\nsparse\n");
    for (const [place, dest] of places) {
      await t.step(`rsync into and out of ${place}`, async () => {
        const args = ["rsync", "-aHS", "--no-o", "--no-g"];
        const path = `any:${there}/to d`;
        await check(world.fake([...args, `${whole}/`, path], {}, dest));
        await check(world.fake([...args, `${path}/`, back], {}, dest));
        assertEquals(await describe(world, back), tree);
        await check(
          world.fake(sh(`ssh any "rm -r '${there}/to d'"`), {}, dest),
        );
        await Deno.remove(back, { recursive: true });
      });
    }

    await t.step("rsync from one context to another", async () => {
      const [[, other], [, on]] = places;
      const args = ["rsync", "-aHS", "--no-o", "--no-g"];
      const path = `${there}/from one`;
      await check(world.fake([...args, `${whole}/`, `any:${path}`]));
      // It runs in the one over ssh, and reaches the local one.
      const copied = `${there}/to another`;
      await check(
        world.fake([...args, `${path}/`, `any:${copied}`], { on }, other),
      );
      assertEquals(await describe(world, copied), tree);
      await check(
        world.fake(sh(`ssh any "rm -r '${path}' '${copied}'"`), {}, other),
      );
    });

    await t.step("rsync run by a context into one below it", async () => {
      const [, [, above], [, below]] = places;
      const status = await above.call(
        run,
        below,
        ["rsync", "-a", "/etc/hostname", `any:${there}/name`],
      );
      assertEquals(status.code, 0);
      assertEquals(
        await Deno.readTextFile(`${there}/name`),
        await Deno.readTextFile("/etc/hostname"),
      );
    });

    const plain = `${folder}/plain`;
    const files = await makeTree(world, plain, PLAIN_TREE);
    for (const [name, flags] of [["scp", []], ["scp -O", ["-O"]]] as const) {
      for (const [place, dest] of places.slice(0, 2)) {
        await t.step(`${name} into and out of ${place}`, async () => {
          const args = ["scp", ...flags, "-rpq"];
          const path = `any:${there}/scp`;
          await check(world.fake([...args, plain, path], {}, dest));
          await check(world.fake([...args, path, back], {}, dest));
          assertEquals(await describe(world, back), files);
          await check(world.fake(sh(`ssh any rm -r ${there}/scp`), {}, dest));
          await Deno.remove(back, { recursive: true });
        });
      }
    }

    await t.step("sftp with a batch", async () => {
      const batch = new TextEncoder().encode(
        `put -rp ${plain} batch\nget -rp batch ${back}\nls batch\nbye\n`,
      );
      const { code, stdout } = await world.fake(
        ["sftp", "-q", "-b", "-", "any"],
        { stdin: batch },
      );
      assertEquals(code, 0);
      assertStringIncludes(stdout, "batch/plain");
      assertEquals(await describe(world, back), files);
      await Deno.remove(back, { recursive: true });
    });

    await t.step("sftp at a terminal", async () => {
      const { code, stdout } = await world.fake(
        ["script", "-qefc", "sftp -q -S {ssh} any", "/dev/null"],
        { stdin: new TextEncoder().encode("pwd\nls batch\nbye\n") },
      );
      assertEquals(code, 0, stdout);
      assertStringIncludes(stdout, world.user.home);
      assertStringIncludes(stdout, "batch/plain");
    });

    await t.step("a subsystem that is not there", async () => {
      const { code, stderr } = await world.fake(["ssh", "-s", "any", "gopher"]);
      assertEquals(code, 255);
      assertStringIncludes(stderr, 'the subsystem "gopher": no sshd_config in');
    });
  },
});

Deno.test({
  name: "git clones, pushes and fetches",
  ignore,
  async fn() {
    await using _leaks = await noLeaks();
    await using world = await makeWorld();
    const script = `set -e
cd "$1"
export GIT_CONFIG_GLOBAL="$1/gitconfig"
git config --global user.name Tester
git config --global user.email tester@example.com
git config --global init.defaultBranch main
git config --global advice.detachedHead false
ssh any 'git init -q --bare -b main lib.git && git init -q --bare -b main "a repo.git"'
git clone -q any:lib.git lib 2>/dev/null
(cd lib && echo lib >lib && git add lib && git commit -qm lib && git push -q origin main)
git clone -q 'any:a repo.git' one 2>/dev/null
(cd one && seq 100000 >file && git add file && git submodule --quiet add any:lib.git lib && git commit -qm first && git push -q origin main)
git clone -q --recurse-submodules ssh://any:2222/~/"a repo.git" two
(cd one && echo more >>file && git commit -qam second && git push -q)
(cd two && git pull -q && git log --format=%s && tail -1 file && cat lib/lib)
GIT_TRACE_PACKET=1 git -C two -c protocol.version=2 fetch 2>&1 | grep -o 'version 2' | head -1`;
    const { code, stdout, stderr } = await world.fake(
      sh(script, world.folder),
    );
    assertEquals([code, stderr], [0, ""]);
    assertEquals(stdout, "second\nfirst\nmore\nlib\nversion 2\n");
  },
});
