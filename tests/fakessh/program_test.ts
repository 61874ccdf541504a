/**
 * The program, as the binary has it: bundled into one file, with exactly its
 * flags, no other file of this project present.
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { dirname, fromFileUrl, join } from "@std/path";
import { ENTRY, FLAGS } from "../../tools/compile.ts";
import { noLeaks } from "../fixtures/leaks.ts";

const ROOT = dirname(dirname(dirname(fromFileUrl(import.meta.url))));

interface Program extends AsyncDisposable {
  folder: string;
  /** Runs a script in which `fakessh` is the program. */
  sh(script: string): Promise<{ code: number; out: string; err: string }>;
}

async function makeProgram(): Promise<Program> {
  const folder = await Deno.makeTempDir({ prefix: "mitogen-program-" });
  const file = join(folder, "fakessh.js");
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--platform=deno", "--output", file, ENTRY],
    cwd: ROOT,
  }).output();
  assertEquals(success, true, new TextDecoder().decode(stderr));
  await Deno.mkdir(join(folder, "bin"));
  const words = [Deno.execPath(), "run", "-q", ...FLAGS, file];
  await Deno.writeTextFile(
    join(folder, "bin/fakessh"),
    `#!/bin/sh\nexec ${words.map((w) => `'${w}'`).join(" ")} "$@"\n`,
    { mode: 0o755 },
  );
  await Deno.mkdir(join(folder, "run"), { mode: 0o700 });
  await Deno.mkdir(join(folder, "config/fakessh"), { recursive: true });
  return {
    folder,
    async sh(script) {
      const { code, stdout, stderr } = await new Deno.Command("sh", {
        args: ["-c", script],
        cwd: folder,
        stdin: "null",
        env: {
          PATH: `${folder}/bin:${Deno.env.get("PATH")}`,
          XDG_RUNTIME_DIR: `${folder}/run`,
          XDG_CONFIG_HOME: `${folder}/config`,
        },
      }).output();
      const text = new TextDecoder();
      return { code, out: text.decode(stdout), err: text.decode(stderr) };
    },
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

Deno.test("the program does what its help says", async (t) => {
  await using _leaks = await noLeaks();
  await using program = await makeProgram();
  const { folder } = program;

  await t.step("runs a program over a chain", async () => {
    assertEquals(
      await program.sh(
        "fakessh --via local: --via local: -- sh -c 'ssh any \"echo hi; exit 3\"'",
      ),
      { code: 3, out: "hi\n", err: "" },
    );
  });

  await t.step("is ssh over a chain, and says each hop with -v", async () => {
    const { code, out, err } = await program.sh(
      "echo in | fakessh -v --via local: any 'cat; echo err >&2; exit 4'",
    );
    assertEquals([code, out], [4, "in\n"]);
    assertMatch(
      err,
      /^fakessh: connecting local:\r\nfakessh: master\/local\.1 is there, in \d+ ms\r\nerr\n$/,
    );
  });

  await t.step("keeps a chain open, for rsync -e and the rest", async () => {
    await Deno.writeTextFile(
      `${folder}/config/fakessh/config.json`,
      JSON.stringify({ names: { hop: "local:", two: ["hop", "local:"] } }),
    );
    await Deno.mkdir(`${folder}/tree`);
    await Deno.writeTextFile(`${folder}/tree/file`, "content\n");
    const { code, out, err } = await program.sh(`set -e
      fakessh --open two
      fakessh two 'echo over; exit 5' || echo code $?
      rsync -a -e fakessh ${folder}/tree/ two:${folder}/copy/
      scp -q -S "$(command -v fakessh)" two:${folder}/copy/file ${folder}/scp
      cmp tree/file scp
      fakessh --via two -- sh -c 'ssh any cat ${folder}/copy/file'
      fakessh --list --json
      fakessh --open two || echo code $?
      fakessh --close two
      fakessh --list
      fakessh --close two || echo code $?
      ls run/fakessh`);
    assertEquals(code, 0, err);
    const [before, json, after] = out.split(/^(\[[^]*?^\])\n/m);
    assertEquals(before, "over\ncode 5\ncontent\n");
    const [{ pid, since, ...tree }] = JSON.parse(json!);
    assertEquals(tree, {
      name: "two",
      via: ["local:", "local:"],
      path: "master/local.1/local.1",
      idle: 0,
      running: 0,
      served: 4,
    });
    assertEquals(typeof pid + typeof since, "numbernumber");
    assertEquals(after, "code 255\nNAME  PID  RUNNING  VIA\ncode 255\n");
    assertStringIncludes(err, "it is open already, as master/local.1/local.1");
    assertStringIncludes(err, "nothing of this name is open");
  });

  await t.step("a chain that is idle, or killed, is gone", async () => {
    const { out, err } = await program.sh(`
      fakessh --open idle --via local: --idle 2
      fakessh idle true; echo $?
      while [ -e run/fakessh/idle ]; do sleep 0.05; done
      fakessh --open killed --via local:
      kill -KILL $(sed -n 's/.*"pid": \\([0-9]*\\).*/\\1/p' <<E
$(fakessh --list --json)
E
)
      fakessh killed true; echo $?
      fakessh --open killed --via local: && fakessh --close killed`);
    assertEquals(out, "0\n255\n");
    assertMatch(
      err,
      /^fakessh: Cannot find "killed": nothing of this name is open, .*\r\n$/,
    );
  });

  await t.step("is the runtime of what it opens, and no more", async () => {
    const module = (code: string) =>
      `data:application/javascript,${encodeURIComponent(code)}`;
    const ask = `console.log(["read","run","net"].map((name) =>
      Deno.permissions.querySync({ name }).state).join(" ")); Deno.exit(6)`;
    assertEquals(
      await program.sh(`fakessh run -q --allow-net '${module(ask)}'`),
      { code: 6, out: "prompt prompt granted\n", err: "" },
    );
    const { code, err } = await program.sh(
      `fakessh run -q --allow-read=/etc '${module(ask)}'`,
    );
    assertEquals(code, 1);
    assertStringIncludes(err, "a compiled program can give up all of a kind");
  });

  await t.step("is the client that a tool calls", async () => {
    const { code, out } = await program.sh(`
      fakessh --open c --via local:
      FAKESSH_CLIENT=run/fakessh/c fakessh any 'echo as client; exit 8'
      echo $?; fakessh --close c`);
    assertEquals([code, out], [0, "as client\n8\n"]);
  });

  await t.step("asks at the terminal, unseen", async () => {
    const url = new URL("../../fakessh/program/ask.ts", import.meta.url).href;
    await Deno.writeTextFile(
      `${folder}/ask.ts`,
      `import { askAtTerminal } from "${url}";
      const secret = await askAtTerminal(() => {})!("What\\x1b[2J is it? ");
      console.log("got", secret.reveal().length);`,
    );
    const { code, out } = await program.sh(`touch log
      { until grep -q 'it?' log; do sleep 0.02; done; echo open-sesame; } |
      script -qfec '${Deno.execPath()} run -A ask.ts </dev/null | cat' log`);
    assertEquals(code, 0);
    assertEquals(out, "What [2J is it? \r\ngot 11\r\n");
  });

  await t.step("says what is wrong", async () => {
    const lines: [args: string, says: string][] = [
      ["", "Missing hostname; see fakessh --help"],
      ["--wrong", "there is no such option"],
      ["--via", "expected a value after it"],
      ["--via local: --", "expected one after --"],
      ["--open ../x --via local:", "Cannot use the name"],
      ["--open x --close y", "at once"],
      ["--list extra", 'Cannot use "extra" with --list'],
      ["--idle 5 host", "Cannot use --idle here"],
      ["--open x --via local: --idle no", "expected a number of seconds"],
      ["nowhere true", 'Cannot find "nowhere"'],
      ["--via bad:thing x true", "Cannot read the spec"],
      ["--via ssh:127.0.0.1:1 x true", "Cannot connect to master/ssh"],
    ];
    for (const [args, says] of lines) {
      const { code, out, err } = await program.sh(`fakessh ${args}`);
      assertEquals([code, out], [255, ""], args);
      assertStringIncludes(err, says);
    }
    await Deno.chmod(`${folder}/run/fakessh`, 0o755);
    const { code, err } = await program.sh("fakessh --list");
    assertEquals(code, 255);
    assertStringIncludes(err, "a folder of yours that nobody else may enter");
  });
});
