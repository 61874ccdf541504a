/**
 * Many contexts at once: what one costs must not depend on how many there are,
 * and nothing may be left of them.
 *
 * @module
 */
import { type Context, pool, Router } from "../../mod.ts";
import { noop } from "./tasks.ts";

/** How the first and the last contexts of a run compare. */
export interface Many {
  count: number;
  /** Milliseconds per connect: after the tenth, and at the end. */
  connect: [first: number, last: number];
  /** KiB of the master for each context: over the first half, and over the second. */
  master: [first: number, last: number];
  /** Private MiB of a child: the tenth, and the last. */
  child: [first: number, last: number];
  /** Descriptors of the master: before, with all, after. */
  descriptors: [before: number, during: number, after: number];
  /** Children of the master: before, with all, after. */
  processes: [before: number, during: number, after: number];
}

function descriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/** Processes whose parent is this one, zombies as well. */
function children(): number {
  let count = 0;
  for (const { name } of Deno.readDirSync("/proc/self/task")) {
    const list = Deno.readTextFileSync(`/proc/self/task/${name}/children`);
    count += list.split(" ").filter((pid) => pid !== "").length;
  }
  return count;
}

/** MiB that only this process has. */
function privateMemory(pid: number): number {
  const rollup = Deno.readTextFileSync(`/proc/${pid}/smaps_rollup`);
  let kib = 0;
  for (const [, size] of rollup.matchAll(/^Private_\w+: +(\d+) kB$/gm)) {
    kib += Number(size);
  }
  return kib / 1024;
}

/** Connects so many local contexts, ten at a time, and measures on the way. */
export async function measureMany(
  count: number,
): Promise<Many> {
  // What the runtime keeps for good from its first processes on is not counted.
  for (let i = 0; i < 2; i++) {
    await using router = new Router({ onLog() {} });
    await (await router.local()).call(noop);
  }
  const before = { descriptors: descriptors(), processes: children() };
  const router = new Router({ onLog() {} });
  const contexts: Context[] = [];
  const times: number[] = [];
  const memory: number[] = [];
  const connected = pool(
    Array(count).keys(),
    () => router.local(),
    { concurrency: 10 },
  );
  for await (const result of connected) {
    if (result.status === "rejected") throw result.reason;
    await result.value.call(noop);
    contexts.push(result.value);
    times.push(performance.now());
    memory.push(Deno.memoryUsage().rss / 1024);
  }
  const pids = await Promise.all(
    [contexts[9]!, contexts.at(-1)!].map((c) => c.call(() => Deno.pid)),
  );
  const during = { descriptors: descriptors(), processes: children() };
  const child = pids.map(privateMemory);
  await router.shutdown();
  const after = { descriptors: descriptors(), processes: children() };

  const window = Math.min(50, Math.floor((count - 10) / 2));
  const half = 10 + Math.floor((count - 10) / 2);
  const slope = (values: number[], from: number, to: number) =>
    (values[to]! - values[from]!) / (to - from);
  return {
    count,
    connect: [
      slope(times, 9, 9 + window),
      slope(times, count - 1 - window, count - 1),
    ],
    master: [slope(memory, 9, half), slope(memory, half, count - 1)],
    child: [child[0]!, child[1]!],
    descriptors: [before.descriptors, during.descriptors, after.descriptors],
    processes: [before.processes, during.processes, after.processes],
  };
}

/** The figures as a table, and whether the goals are reached. */
export function showMany(many: Many): string {
  const rows: [string, number, number][] = [
    ["connect and first call, ms each", ...many.connect],
    ["memory of the master, KiB each", ...many.master],
    ["private memory of a child, MiB", ...many.child],
  ];
  const flat = (first: number, last: number) =>
    `${last <= first * 1.5 ? "reached" : "NOT reached"}: flat (${
      (last / first).toFixed(2)
    }, limit 1.50)`;
  const back = ([before, during, after]: [number, number, number]) =>
    `${
      before === after ? "reached" : "NOT reached"
    }: ${before} before, ${during} with all, ${after} after`;
  return [
    `| ${many.count} local contexts, 10 at a time | from the 10th | to the ${many.count}th |`,
    "|---|---|---|",
    ...rows.map(([what, first, last]) =>
      `| ${what} | ${first.toFixed(1)} | ${last.toFixed(1)} |`
    ),
    "",
    ...rows.map(([what, first, last]) => `- ${what}: ${flat(first, last)}`),
    `- descriptors: ${back(many.descriptors)}`,
    `- processes: ${back(many.processes)}`,
  ].join("\n");
}
