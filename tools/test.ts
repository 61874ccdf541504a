/**
 * Runs the tests, after it has installed what they need where that can be
 * done. Arguments go to `deno test`.
 *
 * `deno test` takes a file of this name for a test module. It must do nothing
 * then, or each run would start the next: hence the guard at the end, beside
 * `test.include` in deno.json.
 *
 * @module
 */
import { dirname } from "@std/path";
import { userInfo } from "node:os";
import { filesIn } from "../tests/fixtures/leaks.ts";
import { exists, prepare } from "./system.ts";

/** One test case in the report, and what became of it. */
const CASE = /<testcase name="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g;

/** A test that failed only through its steps, which are cases of their own. */
const BY_STEPS = /<failure message="\d+ test steps? failed"/;

const ENTITIES: Record<string, string> = {
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  amp: "&",
};

function decode(text: string): string {
  return text.replace(
    /&(\w+);/g,
    (entity, name) => ENTITIES[name] ?? entity,
  );
}

/** Says what will not be run, and why. */
async function announce(): Promise<void> {
  const absent = await prepare();
  if (absent.length > 0) {
    console.error(
      `\nMISSING: ${absent.join(" ")}. As root on Debian they are installed.\n`,
    );
  }
  if (Deno.uid() !== 0) {
    console.error(
      "\nNOT ROOT: tests that start an sshd or make users are not run. They are\nlisted as NOT RUN at the end.\n",
    );
  }
}

/** What bash reads when its user logs in, or sends a command over ssh. */
const PROFILE = [".bash_profile", ".bash_login", ".profile", ".bashrc"];

/** Puts an empty file in the place of others, then runs a command. */
const HIDE = `empty=$1
shift
while [ "$1" != -- ]; do mount --bind "$empty" "$1"; shift; done
shift
exec "$@"`;

/**
 * What goes ahead of a command that is to find no profile of root's own. Tests
 * log in as root, and what others made of that - pyenv's takes a second each
 * time, and a minute when it was ever interrupted - is not what they test.
 */
async function withoutProfile(empty: string): Promise<string[]> {
  if (Deno.uid() !== 0 || Deno.build.os !== "linux") return [];
  const found: string[] = [];
  for (const name of PROFILE) {
    const path = `${userInfo().homedir}/${name}`;
    if (await exists(path)) found.push(path);
  }
  if (found.length === 0) return [];
  await Deno.writeTextFile(empty, "");
  const hide = ["unshare", "--mount", "sh", "-ec", HIDE, "sh", empty];
  const prefix = [...hide, ...found, "--"];
  const [command, ...args] = [...prefix, "true"];
  const { success } = await new Deno.Command(command!, { args }).output()
    .catch(() => ({ success: false }));
  if (success) {
    console.log(`The tests do not see ${found.join(", ")}`);
    return prefix;
  }
  console.error(
    `\nCannot hide ${
      found.join(", ")
    } from the tests: what is in there counts.\n`,
  );
  return [];
}

/** Runs `deno test` and answers its exit code; a signal to us is one to it. */
async function run(report: string, temporary: string): Promise<number> {
  const [command, ...args] = [
    ...await withoutProfile(`${dirname(report)}/profile`),
    Deno.execPath(),
    "test",
    "--allow-all",
    "--check",
    `--junit-path=${report}`,
    ...Deno.args,
  ];
  const child = new Deno.Command(command!, {
    args,
    stdin: "null",
    env: { TMPDIR: temporary },
  }).spawn();
  const signals = ["SIGINT", "SIGTERM"] as const;
  const forward = signals.map((signal) => () => child.kill(signal));
  signals.forEach((signal, i) => Deno.addSignalListener(signal, forward[i]!));
  const { code } = await child.status;
  signals.forEach((signal, i) =>
    Deno.removeSignalListener(signal, forward[i]!)
  );
  return code;
}

/** Counts what is in a JUnit report, and names what was not run. */
function count(junit: string): [passed: number, failed: number, skip: number] {
  let [passed, failed, skipped] = [0, 0, 0];
  for (const [, name, body = ""] of junit.matchAll(CASE)) {
    if (BY_STEPS.test(body)) continue;
    if (body.includes("<failure")) failed++;
    else if (body.includes("<skipped")) {
      skipped++;
      console.log(`NOT RUN: ${decode(name!)}`);
    } else passed++;
  }
  return [passed, failed, skipped];
}

async function main(): Promise<number> {
  await announce();
  // One folder for all that the tests make, so that what they leave is seen.
  const folder = await Deno.makeTempDir({ prefix: "mitogen-tests-" });
  try {
    const temporary = `${folder}/tmp`;
    await Deno.mkdir(temporary);
    // Users that tests make come here too; umask does not apply to chmod.
    await Deno.chmod(folder, 0o755);
    await Deno.chmod(temporary, 0o1777);
    const report = `${folder}/report.xml`;
    let code = await run(report, temporary);
    const junit = await Deno.readTextFile(report).catch(() => "");
    const [passed, failed, skipped] = count(junit);
    const left = filesIn(temporary);
    if (left.length > 0) {
      console.error(`LEFT BEHIND in the temporary folder: ${left.join(" ")}`);
      code ||= 1;
    }
    if (code !== 0 && failed === 0) {
      console.error(
        `No test failed, but the run did, with exit code ${code}: see above`,
      );
    }
    console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
    return code;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) Deno.exit(await main());
