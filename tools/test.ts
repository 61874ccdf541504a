/**
 * Runs the tests, after it has installed what they need where that can be
 * done. Arguments that are files or folders say which tests; others go to
 * `deno test`.
 *
 * As root on Linux each file of tests runs in a place of its own, and as many
 * of them at a time as there are processors. Elsewhere all run in one go.
 *
 * `deno test` takes a file of this name for a test module. It must do nothing
 * then, or each run would start the next: hence the guard at the end, beside
 * `test.include` in deno.json.
 *
 * @module
 */
import { filesIn } from "../tests/fixtures/leaks.ts";
import { apart, canBeApart, rootsProfile } from "./apart.ts";
import { prepare } from "./system.ts";

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

/** What takes longest begins first, so that the others fill what is left. */
const LONGEST = [
  "conformance/conformance",
  "fakessh/like_ssh",
  "privilege_targets",
  "hostile",
  "privilege_setups",
  "fakessh/life",
];

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

/** The files of tests that paths stand for, what takes longest first. */
function testFiles(paths: string[]): string[] {
  const within = (path: string): string[] =>
    Deno.statSync(path).isFile ? [path] : [...Deno.readDirSync(path)].flatMap(
      ({ name, isDirectory }) =>
        isDirectory || name.endsWith("_test.ts")
          ? within(`${path}/${name}`)
          : [],
    );
  const rank = (file: string) => {
    const found = LONGEST.findIndex((name) => file.endsWith(`${name}_test.ts`));
    return found < 0 ? LONGEST.length : found;
  };
  const files = paths.map((path) => path.replace(/\/+$/, "")).flatMap(within);
  return [...new Set(files)].sort().sort((a, b) => rank(a) - rank(b));
}

/** What became of some tests. */
interface Outcome {
  code: number;
  passed: number;
  failed: number;
  /** Names of tests that were not run. */
  skipped: string[];
}

/** Counts what is in a JUnit report. */
function count(junit: string): Omit<Outcome, "code"> {
  const outcome = { passed: 0, failed: 0, skipped: [] as string[] };
  for (const [, name, body = ""] of junit.matchAll(CASE)) {
    if (BY_STEPS.test(body)) continue;
    if (body.includes("<failure")) outcome.failed++;
    else if (body.includes("<skipped")) outcome.skipped.push(decode(name!));
    else outcome.passed++;
  }
  return outcome;
}

/** Everything that is running, to be ended with us. */
const running = new Set<Deno.ChildProcess>();

/**
 * Runs `deno test` with what it may leave nothing in, and prints what it
 * prints: at once, or all of it when it is over, since others run beside it.
 */
async function run(
  args: string[],
  temporary: string,
  prefix: string[],
  atOnce: boolean,
): Promise<Outcome> {
  // One folder for all that the tests make, so that what they leave is seen.
  // Paths of sockets are short: it stands for itself, with the rest beside it.
  const [homes, report] = [`${temporary}.home`, `${temporary}.xml`];
  for (const path of [temporary, homes]) await Deno.mkdir(path);
  // Users that tests make come here too; umask does not apply to chmod.
  await Deno.chmod(homes, 0o755);
  await Deno.chmod(temporary, 0o1777);
  const [command, ...rest] = [
    ...prefix,
    ...[Deno.execPath(), "test", "--allow-all", "--no-check"],
    ...[`--junit-path=${report}`, ...args],
  ];
  const child = new Deno.Command(command!, {
    args: rest,
    stdin: "null",
    stdout: atOnce ? "inherit" : "piped",
    stderr: atOnce ? "inherit" : "piped",
    env: { TMPDIR: temporary },
  }).spawn();
  running.add(child);
  const output = atOnce ? undefined : await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  let { code } = await child.status;
  running.delete(child);
  const counts = count(await Deno.readTextFile(report).catch(() => ""));
  // A filter leaves most files without a test.
  const nothing = code === 0 && counts.passed === 0;
  if (output !== undefined && !nothing) console.log(output.join("").trim());
  const left = [...filesIn(temporary), ...filesIn(homes)];
  if (left.length > 0) {
    console.error(`LEFT BEHIND by ${args.join(" ")}: ${left.join(" ")}`);
    code ||= 1;
  }
  if (code !== 0 && counts.failed === 0) {
    console.error(
      `No test failed, but the run did, with exit code ${code}: see above`,
    );
  }
  for (const path of [temporary, homes]) {
    await Deno.remove(path, { recursive: true });
  }
  return { code, ...counts };
}

/** Runs files side by side, each in a place of its own. */
async function runApart(
  files: string[],
  options: string[],
  folder: string,
): Promise<Outcome[]> {
  const hidden = await rootsProfile();
  const lanes = Math.min(navigator.hardwareConcurrency, files.length);
  console.log(
    `Each file runs with /etc and processes of its own, ${lanes} at a time`,
  );
  if (hidden.length > 0) console.log(`Nor do they see ${hidden.join(", ")}`);
  const outcomes: Outcome[] = [];
  const queue = [...files.entries()];
  await Promise.all(Array.from({ length: lanes }, async () => {
    for (let next; (next = queue.shift()) !== undefined;) {
      const [serial, file] = next;
      const own = `${folder}/${serial}`;
      const prefix = apart(`${own}.etc`, serial, hidden);
      outcomes.push(await run([...options, file], own, prefix, lanes === 1));
    }
  }));
  return outcomes;
}

/** Runs all in one process, where there is nothing to keep runs apart. */
async function runTogether(
  files: string[],
  options: string[],
  folder: string,
): Promise<Outcome[]> {
  const seen = await rootsProfile();
  if (seen.length > 0) {
    console.error(
      `\nCannot hide ${
        seen.join(", ")
      } from the tests: what is in there counts.\n`,
    );
  }
  return [await run([...options, ...files], `${folder}/0`, [], true)];
}

async function main(): Promise<number> {
  await announce();
  const named = await Promise.all(
    Deno.args.map((path) => Deno.stat(path).then(() => true, () => false)),
  );
  const paths = Deno.args.filter((_, i) => named[i]);
  const files = testFiles(paths.length > 0 ? paths : ["tests"]);
  const options = Deno.args.filter((_, i) => !named[i]);
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["check", "--quiet", ...files],
    stdin: "null",
  }).spawn().status;
  if (code !== 0) return code;
  const folder = await Deno.makeTempDir({ prefix: "mitogen-tests-" });
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, async () => {
      // The init of a namespace is killed with what stands ahead of it.
      for (const child of running) child.kill("SIGKILL");
      await Promise.all([...running].map((child) => child.status));
      await Deno.remove(folder, { recursive: true });
      Deno.exit(130);
    });
  }
  try {
    await Deno.chmod(folder, 0o755);
    const all = await canBeApart(folder)
      ? await runApart(files, options, folder)
      : await runTogether(files, options, folder);
    const sum = (count: (outcome: Outcome) => number) =>
      all.reduce((total, outcome) => total + count(outcome), 0);
    for (const { skipped } of all) {
      for (const name of skipped) console.log(`NOT RUN: ${name}`);
    }
    console.log(
      `${sum((o) => o.passed)} passed, ${sum((o) => o.failed)} failed, ${
        sum((o) => o.skipped.length)
      } skipped`,
    );
    return all.find(({ code }) => code !== 0)?.code ?? 0;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) Deno.exit(await main());
