/**
 * The ssh stand-in against the real ssh with a ControlMaster, over the same
 * sshd into the same account; and against a bare local shell.
 *
 * ```sh
 * deno task bench:fakessh            # four rounds
 * deno task bench:fakessh --quick    # two
 * ```
 *
 * Rounds are interleaved. Timing never fails: goals are reported as reached or
 * not.
 *
 * @module
 */
import { type Context, Router } from "../../mod.ts";
import { run } from "../../fakessh/mod.ts";
import { makeWorld, sh } from "../fixtures/fakessh.ts";

const quick = Deno.args.includes("--quick");
const MIB = 512;
const FILES = 5000;

await using world = await makeWorld();
const { folder, sshd, user, remote } = world;
await using router = new Router();
const local = await router.local();

/** The account over a ControlMaster that is up. */
const master = `ssh -F ${sshd.configFile} -l ${user.name} -S ${folder}/control`;
/** Runs what ssh would run elsewhere in a shell here. */
const bare = `${folder}/bare`;
await Deno.writeTextFile(
  bare,
  '#!/bin/sh\nwhile case $1 in -l) shift 2;; -*) shift;; *) false;; esac; do :; done\nshift\nexec sh -c "$*"\n',
  { mode: 0o755 },
);
const there = `${folder}/there`;
await Deno.mkdir(there);
await Deno.chmod(there, 0o777);
await execute(sh(
  `head -c ${MIB}M /dev/urandom >${folder}/big
  mkdir ${folder}/many
  head -c $((4096 * ${FILES})) /dev/urandom | split -a 4 -b 4096 - ${folder}/many/
  ${master} -M -N -f loopback`,
));

async function execute(argv: string[]): Promise<void> {
  const { success } = await new Deno.Command(argv[0]!, {
    args: argv.slice(1),
    stdin: "null",
    stderr: "null",
  }).spawn().status;
  if (!success) throw new Error(`${argv.join(" ")} failed`);
}

/** Seconds that something takes. */
async function timed(what: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await what();
  return (performance.now() - begin) / 1000;
}

const fake = async (dest: Context, argv: string[]) => {
  const { code } = await run(dest, argv, { stdin: "null", stderr: "null" });
  if (code !== 0) throw new Error(`${argv.join(" ")} failed`);
};

interface Row {
  what: string;
  /** Worth so much of the reference at least. */
  goal: number;
  reference: string;
  /** What a time in seconds is shown as; more is better. */
  rate: (seconds: number) => number;
  unit: string;
  ours: () => Promise<unknown>;
  theirs: () => Promise<unknown>;
  before: string;
}

const big = `${folder}/big`;
const rsync = (...args: string[]) => ["rsync", "-a", "--whole-file", ...args];
const calls = (ssh: string) =>
  sh(`for i in $(seq 50); do ${ssh} loopback true; done`);
// A virtual machine gives memory back that it does not use: without what is
// written first, whoever comes first would wait for all that it takes.
const clear = `rm -rf ${there}/big ${there}/many ${folder}/back
head -c $((2 * ${MIB}))M /dev/zero >${there}/warm; rm ${there}/warm`;

function rows(): Row[] {
  const control = {
    reference: "ControlMaster",
    before: clear,
  };
  const bytes = { rate: (s: number) => MIB / s, unit: "MiB/s" };
  const many = `${folder}/many`;
  return [
    {
      ...control,
      ...bytes,
      what: `rsync of ${MIB} MiB, push`,
      goal: 0.8,
      ours: () => fake(remote, rsync(big, `any:${there}/big`)),
      theirs: () => execute(rsync("-e", master, big, `loopback:${there}/big`)),
    },
    {
      ...control,
      ...bytes,
      what: `rsync of ${MIB} MiB, pull`,
      goal: 0.8,
      ours: () => fake(remote, rsync(`any:${big}`, `${folder}/back`)),
      theirs: () =>
        execute(rsync("-e", master, `loopback:${big}`, `${folder}/back`)),
    },
    {
      ...control,
      what: `rsync of ${FILES} files of 4 KiB`,
      goal: 0.9,
      rate: (s) => FILES / s,
      unit: "files/s",
      ours: () => fake(remote, rsync(many, `any:${there}/`)),
      theirs: () => execute(rsync("-e", master, many, `loopback:${there}/`)),
    },
    {
      ...control,
      what: "`ssh true`, one after another",
      goal: 0.25,
      rate: (s) => 50 / s,
      unit: "/s",
      ours: () => fake(remote, calls("ssh")),
      theirs: () => execute(calls(master)),
    },
    {
      ...bytes,
      before: clear,
      what: `rsync of ${MIB} MiB over local()`,
      goal: 0.5,
      reference: "a bare shell",
      ours: () => fake(local, rsync(big, `any:${there}/big`)),
      theirs: () => execute(rsync("-e", bare, big, `any:${there}/big`)),
    },
  ];
}

/** Of an even number of values. */
const median = (values: number[]) => {
  const [low, high] = values.sort((a, b) => a - b).slice(values.length / 2 - 1);
  return (low! + high!) / 2;
};
const table = rows();
const times = table.map(() => ({
  ours: [] as number[],
  theirs: [] as number[],
}));
// The first round does not count, and they take turns.
for (let round = 0; round <= (quick ? 2 : 4); round++) {
  const order = ["ours", "theirs"] as const;
  for (const [i, row] of table.entries()) {
    for (const who of round % 2 ? order : order.toReversed()) {
      await execute(sh(row.before));
      const time = await timed(row[who]);
      if (round > 0) times[i]![who].push(time);
    }
  }
}
await execute(sh(`${master} -O exit loopback`));

if (Deno.args.includes("--all")) console.log(times);
console.log("\n| figure | fakessh | reference | of it | goal |");
console.log("|---|---|---|---|---|");
for (const [i, { what, goal, reference, rate, unit }] of table.entries()) {
  const mine = rate(median(times[i]!.ours));
  const other = rate(median(times[i]!.theirs));
  const share = mine / other;
  console.log(
    `| ${what}, ${unit} | ${mine.toFixed(0)} | ${
      other.toFixed(0)
    } (${reference}) | ${share.toFixed(2)} | ${goal}: ${
      share >= goal ? "reached" : "NOT reached"
    } |`,
  );
}
