/**
 * Runs the tests, after it has installed what they need where that can be
 * done. Arguments are files or folders, and options of `deno test`.
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
import { apart, canBeApart, MAX_PLACES, rootsProfile } from "./apart.ts";
import { count, type Outcome } from "./junit.ts";
import { prepare } from "./system.ts";

/** What `deno test` takes for a file of tests. */
const TESTS = /(^|[._])test\.(m?[jt]s|[jt]sx)$/;

/** What takes longest begins first, so that the others fill what is left. */
const LONGEST = [
  "conformance/conformance",
  "fakessh/like_ssh",
  "privilege_targets",
  "hostile",
  "privilege_setups",
  "fakessh/life",
];

/** Options with which `deno test` does not just run tests, or not once. */
const OTHERWISE = /^--(coverage|doc|help|inspect|no-run|watch)|^-h$/;

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

/** Tells paths from options: only `--filter` has its value apart. */
function parse(args: readonly string[]): [paths: string[], options: string[]] {
  const [paths, options]: [string[], string[]] = [[], []];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--filter") options.push(`--filter=${args[++i] ?? ""}`);
    else if (arg.startsWith("-")) options.push(arg);
    else paths.push(arg);
  }
  return [paths, options];
}

/**
 * The files of tests that paths stand for, what takes longest first.
 *
 * @throws {Deno.errors.NotFound} where there is none
 */
function testFiles(paths: string[]): string[] {
  const within = (path: string): string[] =>
    Deno.statSync(path).isFile ? [path] : [...Deno.readDirSync(path)].flatMap(
      ({ name, isDirectory }) =>
        isDirectory || TESTS.test(name) ? within(`${path}/${name}`) : [],
    );
  const rank = (file: string) => {
    const found = LONGEST.findIndex((name) => file.endsWith(`${name}_test.ts`));
    return found < 0 ? LONGEST.length : found;
  };
  const files = paths.map((path) => path.replace(/\/+$/, "")).flatMap(within);
  if (files.length === 0) {
    throw new Deno.errors.NotFound(`no file of tests in ${paths.join(", ")}`);
  }
  return [...new Set(files)].sort().sort((a, b) => rank(a) - rank(b));
}

/** Takes what a process prints as it comes. */
async function collect(
  stream: ReadableStream<Uint8Array>,
  take: (text: string) => void,
): Promise<void> {
  const text = new TextDecoder();
  for await (const chunk of stream) take(text.decode(chunk, { stream: true }));
}

/** One `deno test`. */
class Run {
  /** Its exit code; 1 if something else is wrong with it. */
  code = 0;
  outcome: Outcome = { passed: 0, failed: 0, skipped: [] };
  readonly files: string[];
  #child: Deno.ChildProcess | undefined;

  constructor(files: string[]) {
    this.files = files;
  }

  /**
   * Runs to its end.
   *
   * @param temporary the folder for all that the tests make, so that what they
   * leave is seen. Paths of sockets are short: it stands for itself, with what
   * else belongs to the run beside it.
   * @param prefix what goes ahead of the command
   * @param atOnce whether what is printed is to be seen at once: nothing runs
   * beside it
   */
  async run(
    options: string[],
    temporary: string,
    prefix: string[],
    atOnce: boolean,
  ): Promise<void> {
    const [homes, report] = [`${temporary}.home`, `${temporary}.xml`];
    for (const path of [temporary, homes]) await Deno.mkdir(path);
    // Users that tests make come here too; umask does not apply to chmod.
    await Deno.chmod(homes, 0o755);
    await Deno.chmod(temporary, 0o1777);
    const [command, ...args] = [
      ...prefix,
      ...[Deno.execPath(), "test", "--allow-all", "--no-check"],
      ...[`--junit-path=${report}`, ...options, ...this.files],
    ];
    const stdio = atOnce ? "inherit" : "piped";
    const child = this.#child = new Deno.Command(command!, {
      args,
      stdin: "null",
      stdout: stdio,
      stderr: stdio,
      env: { TMPDIR: temporary },
    }).spawn();
    let printed = "";
    const take = (text: string) => void (printed += text);
    if (!atOnce) {
      const { stdout, stderr } = child;
      await Promise.all([collect(stdout, take), collect(stderr, take)]);
    }
    this.code = (await child.status).code;
    this.#child = undefined;
    const junit = await Deno.readTextFile(report).catch(() => undefined);
    this.outcome = count(junit ?? "");
    const { passed, failed, skipped } = this.outcome;
    const cases = passed + failed + skipped.length;
    // Where a filter lets nothing through, there is nothing to say.
    const seen = this.code !== 0 || passed > 0 || cases === 0;
    if (seen && !atOnce) console.log(printed.trim());
    if (this.code !== 0 && failed === 0) {
      this.#wrong(`no test failed, but the run did, with ${this.code}`);
    } else if (junit === undefined) {
      this.#wrong("there is no report of its end");
    } else if (cases === 0) this.#wrong("there is no test in it");
    const left = [...filesIn(temporary), ...filesIn(homes)];
    if (left.length > 0) this.#wrong(`it has left ${left.join(" ")}`);
    for (const what of ["", ".home", ".xml", ".etc"]) {
      await Deno.remove(temporary + what, { recursive: true }).catch(() => {});
    }
  }

  #wrong(what: string): void {
    console.error(`WRONG with ${this.files.join(" ")}: ${what}`);
    this.code ||= 1;
  }

  /** Ends it before its time, if it runs. */
  async kill(signal: Deno.Signal): Promise<void> {
    const child = this.#child;
    if (!child) return;
    console.error(`ENDED while it ran: ${this.files.join(" ")}`);
    try {
      child.kill(signal);
    } catch {
      // It has ended by itself.
    }
    await child.status;
  }
}

/** All the runs there are. */
class Runs {
  readonly all: Run[] = [];
  #over = false;
  readonly #folder: string;
  #apart = false;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async run(files: string[], options: string[]): Promise<void> {
    this.#apart = await canBeApart(this.#folder);
    if (this.#apart) await this.#side(files, options);
    else await this.#together(files, options);
  }

  /** Runs files side by side, each in a place of its own. */
  async #side(files: string[], options: string[]): Promise<void> {
    const hidden = await rootsProfile();
    const cores = Math.min(navigator.hardwareConcurrency, MAX_PLACES);
    const places = Math.min(cores, files.length);
    console.log(
      `Each file runs with /etc and processes of its own, ${places} at a time`,
    );
    if (hidden.length > 0) console.log(`Nor do they see ${hidden.join(", ")}`);
    const queue = [...files.entries()];
    await Promise.all(Array.from({ length: places }, async (_, place) => {
      for (let next; !this.#over && (next = queue.shift());) {
        const [serial, file] = next;
        const own = `${this.#folder}/${serial}`;
        const run = new Run([file]);
        this.all.push(run);
        const prefix = apart(`${own}.etc`, place, hidden);
        await run.run(options, own, prefix, places === 1);
      }
    }));
  }

  /** Runs all in one process, where there is nothing to keep runs apart. */
  async #together(files: string[], options: string[]): Promise<void> {
    const seen = await rootsProfile();
    if (seen.length > 0) {
      console.error(
        `\nCannot hide ${
          seen.join(", ")
        } from the tests: what is in there counts.\n`,
      );
    }
    const run = new Run(files);
    this.all.push(run);
    await run.run(options, `${this.#folder}/0`, [], true);
  }

  /** Ends what runs; what has not begun does not. */
  async end(signal: Deno.Signal): Promise<void> {
    this.#over = true;
    // The init of a namespace is killed with what stands ahead of it.
    const how = this.#apart ? "SIGKILL" : signal;
    await Promise.all(this.all.map((run) => run.kill(how)));
  }

  /** Says what became of all, and answers the exit code. */
  report(): number {
    const sum = (of: (outcome: Outcome) => number) =>
      this.all.reduce((total, { outcome }) => total + of(outcome), 0);
    for (const { outcome } of this.all) {
      for (const name of outcome.skipped) console.log(`NOT RUN: ${name}`);
    }
    console.log(
      `${sum((o) => o.passed)} passed, ${sum((o) => o.failed)} failed, ${
        sum((o) => o.skipped.length)
      } skipped`,
    );
    return this.all.find(({ code }) => code !== 0)?.code ?? 0;
  }
}

/** Runs Deno as it is told, and answers its exit code. */
async function deno(...args: string[]): Promise<number> {
  const { code } = await new Deno.Command(Deno.execPath(), {
    args,
    stdin: "null",
  }).spawn().status;
  return code;
}

async function main(): Promise<number> {
  const [paths, options] = parse(Deno.args);
  if (options.some((option) => OTHERWISE.test(option))) {
    return await deno("test", "--allow-all", ...Deno.args);
  }
  let files: string[];
  try {
    files = testFiles(paths.length > 0 ? paths : ["tests"]);
  } catch (error) {
    console.error(`Cannot find the tests: ${(error as Error).message}`);
    return 1;
  }
  await announce();
  const wrong = await deno("check", "--quiet", ...files);
  if (wrong !== 0) return wrong;
  const folder = await Deno.makeTempDir({ prefix: "mitogen-tests-" });
  await Deno.chmod(folder, 0o755);
  const runs = new Runs(folder);
  const signals = ["SIGINT", "SIGTERM"] as const;
  const ended = new Promise<number>((resolve) => {
    for (const signal of signals) {
      Deno.addSignalListener(signal, () => {
        void runs.end(signal).then(() => resolve(130));
      });
    }
  });
  try {
    const all = runs.run(files, options).then(() => runs.report());
    return await Promise.race([all, ended]);
  } finally {
    await runs.end("SIGKILL");
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) Deno.exit(await main());
