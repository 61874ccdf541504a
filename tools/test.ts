/**
 * Runs the tests, after it has installed what they need where that can be
 * done. Arguments go to `deno test`.
 *
 * @module
 */
import { prepare } from "./system.ts";

const absent = await prepare();
if (absent.length > 0) {
  console.error(
    `\nMISSING: ${absent.join(" ")}. As root on Debian they are installed.\n`,
  );
}
if (Deno.uid() !== 0) {
  console.error(
    "\nNOT ROOT: tests that start an sshd or make users are not run. They are\nlisted as ignored below.\n",
  );
}

const report = await Deno.makeTempFile({ prefix: "mitogen-junit-" });
const { code } = await new Deno.Command(Deno.execPath(), {
  args: [
    "test",
    "--allow-all",
    "--check",
    `--junit-path=${report}`,
    ...Deno.args,
  ],
  stdin: "null",
}).spawn().status;

const junit = await Deno.readTextFile(report);
await Deno.remove(report);

/** One test case in the report, and what became of it. */
const CASE = /<testcase name="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g;
let [passed, failed, skipped] = [0, 0, 0];
for (const [, name, body = ""] of junit.matchAll(CASE)) {
  if (body.includes("<failure")) failed++;
  else if (body.includes("<skipped")) {
    skipped++;
    console.log(`NOT RUN: ${name}`);
  } else passed++;
}
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
Deno.exit(code);
