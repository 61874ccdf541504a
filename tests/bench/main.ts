/**
 * This library, its peers and the floor, side by side in one run.
 *
 * ```sh
 * deno task bench              # all figures, five rounds
 * deno task bench p50 echo     # some of them
 * deno task bench many         # 200 contexts at once, alone
 * deno task bench --quick      # one round
 * ```
 *
 * A figure is measured in rounds in which all take turns, so that whatever else
 * the machine does hits all alike, and what one figure leaves behind is gone by
 * the second round of the next. Timing never fails: goals are reported as reached
 * or not.
 *
 * @module
 */
import {
  type Contender,
  type Figure,
  floor,
  ours,
  python,
} from "./contenders.ts";
import { measureMany, showMany } from "./many.ts";

const FIGURES: Record<Figure, [what: string, unit: string, more: boolean]> = {
  connect: ["connect (floor: an empty `deno run`)", "ms", false],
  first: ["connect and first call of a user's function", "ms", false],
  p50: ["no-op call, p50", "us", false],
  p99: ["no-op call, p99", "us", false],
  pipelined: ["calls per second, 2,000 in flight", "/s", true],
  echo: ["1 MiB of random bytes, echoed", "MiB/s", true],
  resident: ["memory of a child", "MiB", false],
  hops: ["three hops: connect and first call", "ms", false],
  hops_p50: ["three hops: no-op call, p50", "us", false],
  stream: ["256 MiB one way (floor: a pipe)", "MiB/s", true],
  stream_hops: ["256 MiB one way through three hops", "MiB/s", true],
  stream_ssh: ["256 MiB one way over ssh (floor: `ssh cat`)", "MiB/s", true],
  stream_ssh_deno: [
    "256 MiB one way over ssh (floor: a bare Deno at both ends)",
    "MiB/s",
    true,
  ],
  idle_p50: ["three hops, idle: no-op call, p50", "us", false],
  loaded_p50: ["three hops, 50 MB/s: no-op call, p50", "us", false],
  loaded_p99: ["three hops, 50 MB/s: no-op call, p99", "us", false],
  tree: ["5,000 small files over ssh (floor: tar | ssh tar)", "ms", false],
  file: ["256 MiB in a file over ssh (floor: ssh 'cat >file')", "MiB/s", true],
  // Last: the pages that so many processes leave behind are cold, and a pipe
  // that they are used for takes up to three times as much of the kernel's time.
  fifty: ["50 contexts connected and called", "s", false],
};

/** Figures that goals hold against each other: they have their rounds in common. */
const TOGETHER: Figure[][] = [
  ["stream", "stream_hops"],
  ["idle_p50", "loaded_p50", "loaded_p99"],
];

const quick = Deno.args.includes("--quick");
const many = Deno.args.includes("many");
const named = Deno.args.filter((arg) => arg in FIGURES) as Figure[];
const figures = named.length > 0 || many
  ? named
  : Object.keys(FIGURES) as Figure[];

const contenders: Contender[] = [ours(), floor()];
for (
  const [name, module] of [["python3-mitogen", "mitogen"], [
    "python3-execnet",
    "execnet",
  ]]
) {
  const peer = await python(name!, module!);
  if (peer) contenders.push(peer);
  else console.log(`${name} is not here: apt-get install ${name}`);
}

/** So many that what the machine does to two or three of them does not decide. */
const ROUNDS = 5;

const results = new Map<string, number[]>();
const key = (figure: Figure, { name }: Contender) => `${figure} ${name}`;

async function measure(figure: Figure, round: number): Promise<void> {
  // Who comes first pays for memory that the machine has to find, and for what
  // the figure before has left to be cleared away: all take turns.
  const first = round % contenders.length;
  const order = [...contenders.slice(first), ...contenders.slice(0, first)];
  for (const contender of order) {
    const value = await contender.measure(figure);
    if (value === undefined) continue;
    const values = results.get(key(figure, contender)) ?? [];
    results.set(key(figure, contender), [...values, value]);
  }
}

const groups = new Set(
  figures.map((figure) => TOGETHER.find((t) => t.includes(figure)) ?? [figure]),
);
for (const group of groups) {
  for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
    for (const figure of group) {
      if (figures.includes(figure)) await measure(figure, round);
    }
  }
}

function of(figure: Figure, name: string): number | undefined {
  const values = results.get(`${figure} ${name}`);
  return values?.sort((a, b) => a - b)[values.length >> 1];
}

function shown(value: number | undefined): string {
  if (value === undefined) return "-";
  return value >= 100
    ? Math.round(value).toLocaleString("en")
    : value.toPrecision(3);
}

const names = contenders.map(({ name }) => name);
const [us, , ...peers] = names;

function row(figure: Figure): string {
  const [what, unit] = FIGURES[figure];
  const mine = of(figure, us!);
  const ratio = (name: string) => {
    const other = of(figure, name);
    return mine === undefined || other === undefined
      ? "-"
      : `${(mine / other).toFixed(2)}x`;
  };
  return `| ${what}, ${unit} | ${
    names.map((name) => shown(of(figure, name))).join(" | ")
  } | ${["floor", ...peers].map(ratio).join(" | ")} |`;
}

if (figures.length > 0) {
  console.log(
    `\n| figure | ${names.join(" | ")} | ${
      ["floor", ...peers].map((name) => `against ${name}`).join(" | ")
    } |`,
  );
  console.log(`|${"---|".repeat(2 * names.length)}`);
  for (const figure of figures) console.log(row(figure));
}

/** `a / b`, in the sense that less is better. */
function against(figure: Figure, name: string): number | undefined {
  const [mine, other] = [of(figure, us!), of(figure, name)];
  if (mine === undefined || other === undefined) return undefined;
  return FIGURES[figure][2] ? other / mine : mine / other;
}

const GOALS: [goal: string, figure: Figure, name: string, limit: number][] = [
  ["no-op p50 at most 1.6 times the floor", "p50", "floor", 1.6],
  ["no-op p50 below python3-mitogen", "p50", "python3-mitogen", 1],
  ["no-op p50 below python3-execnet", "p50", "python3-execnet", 1],
  ["pipelined above python3-mitogen", "pipelined", "python3-mitogen", 1],
  ["pipelined above python3-execnet", "pipelined", "python3-execnet", 1],
  [
    "1 MiB echo at least 5 times python3-mitogen",
    "echo",
    "python3-mitogen",
    0.2,
  ],
  ["connect at most twice an empty `deno run`", "connect", "floor", 2],
  ["50 contexts faster than python3-mitogen", "fifty", "python3-mitogen", 1],
  ["a stream at least 0.8 of a bare pipe", "stream", "floor", 1 / 0.8],
  ["a stream above python3-execnet", "stream", "python3-execnet", 1],
  ["over ssh at least 0.9 of `ssh cat`", "stream_ssh", "floor", 1 / 0.9],
  ["over ssh as fast as a bare Deno", "stream_ssh_deno", "floor", 1],
  ["5,000 files at least as fast as tar | ssh tar", "tree", "floor", 1],
];
console.log("");
for (const [goal, figure, name, limit] of GOALS) {
  const ratio = against(figure, name);
  if (ratio === undefined) continue;
  console.log(
    `- ${ratio <= limit ? "reached" : "NOT reached"}: ${goal} (${
      ratio.toFixed(2)
    }, limit ${limit})`,
  );
}
/** Goals that compare two figures of our own. */
const INNER: [goal: string, a: Figure, b: Figure, limit: number][] = [
  ["three hops at least a third of one", "stream", "stream_hops", 3],
  ["a call under load below ten times idle", "loaded_p50", "idle_p50", 10],
];
for (const [goal, a, b, limit] of INNER) {
  const [first, second] = [of(a, us!), of(b, us!)];
  if (first === undefined || second === undefined) continue;
  const ratio = first / second;
  console.log(
    `- ${ratio <= limit ? "reached" : "NOT reached"}: ${goal} (${
      ratio.toFixed(2)
    }, limit ${limit})`,
  );
}
for (const contender of contenders) await contender[Symbol.asyncDispose]();
if (many || named.length === 0) {
  console.log(`\n${showMany(await measureMany(quick ? 50 : 200))}`);
}
