/**
 * Prints what it costs to start a context, and fails when that is over budget.
 *
 * @module
 */
import { corePack } from "../master/pack.ts";
import { bootCommandLine, preamble } from "../parent/first_stage.ts";

const config = {
  id: 1,
  path: "master/ssh.example.com",
  parentIds: [0],
  ids: [1000, 2000] as [number, number],
};

const ROWS: [what: string, bytes: number, budget: number][] = [
  ["command line over ssh", bootCommandLine().length, 2048],
  ["sent to boot", preamble(corePack(), config).length, 30_000],
];

let over = false;
for (const [what, bytes, budget] of ROWS) {
  over ||= bytes > budget;
  console.log(
    `${what.padEnd(22)} ${String(bytes).padStart(6)} of ${budget} bytes${
      bytes > budget ? "  OVER BUDGET" : ""
    }`,
  );
}
if (over) Deno.exit(1);
