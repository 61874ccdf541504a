/**
 * The program `fakessh`, without what it gets from the outside: the router of
 * the user's program and the way to start itself.
 *
 * @module
 */
import { join } from "node:path";
import { errorMessage } from "../../core/mod.ts";
import { runClient } from "../client.ts";
import { parseSshArgs, UsageError } from "../command_line.ts";
import { run, toolCommand } from "../run.ts";
import {
  ArgumentError,
  HELP,
  type OpenTask,
  parseArguments,
  type Task,
} from "./arguments.ts";
import { askAtTerminal } from "./ask.ts";
import { readConfig, resolveHops } from "./config.ts";
import {
  describeFailure,
  type MakeRouter,
  openChain,
  type Teller,
  tellerOnStderr,
} from "./connect.ts";
import { keepTree, openTree } from "./keep.ts";
import { closeTree, findTree, listTrees, treeAt } from "./trees.ts";

/** What the program is given. */
export interface Surroundings {
  /** Makes a router of the master's kind. */
  makeRouter: MakeRouter;
  /** The command that starts this program again. */
  self: (args: string[]) => [command: string, args: string[]];
  version: string;
}

/** Failures of its own: the code that ssh has for them. */
const FAILED = 255;

/** Runs the program and answers its exit code. */
export async function program(
  args: readonly string[],
  surroundings: Surroundings,
): Promise<number> {
  if (args[0] === "--keep" && args.length === 2) {
    const task = JSON.parse(args[1]!) as OpenTask;
    return await keepTree(task, surroundings.makeRouter);
  }
  let teller = tellerOnStderr(false);
  try {
    const task = parseArguments(args);
    if ("verbose" in task && task.verbose) teller = tellerOnStderr(true);
    return await perform(task, teller, surroundings);
  } catch (error) {
    teller.line(
      error instanceof ArgumentError ? error.message : describeFailure(error),
    );
    return FAILED;
  }
}

function print(text: string): number {
  Deno.stdout.writeSync(new TextEncoder().encode(text));
  return 0;
}

async function perform(
  task: Task,
  teller: Teller,
  surroundings: Surroundings,
): Promise<number> {
  switch (task.kind) {
    case "help":
      return print(HELP);
    case "version":
      return print(
        `fakessh ${surroundings.version} (Deno ${Deno.version.deno})\n`,
      );
    case "list":
      return await list(task.json);
    case "close":
      if (await closeTree(task.name)) return 0;
      throw new ArgumentError(
        `Cannot close "${task.name}": nothing of this name is open`,
      );
    case "open":
      return await open(task, teller, surroundings);
    case "run":
      return await runThrough(task.via, task.argv, teller, surroundings);
    case "ssh":
      return await ssh(task, teller, surroundings);
  }
}

async function list(json: boolean): Promise<number> {
  const trees = await listTrees();
  if (json) return print(JSON.stringify(trees, null, 2) + "\n");
  const rows = trees.map(({ name, pid, running, via }) => [
    name,
    String(pid),
    String(running),
    via.join(" "),
  ]);
  rows.unshift(["NAME", "PID", "RUNNING", "VIA"]);
  const widths = rows[0]!.map((_, i) =>
    Math.max(...rows.map((row) => row[i]!.length))
  );
  return print(
    rows.map((row) =>
      row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ").trimEnd() + "\n"
    ).join(""),
  );
}

async function open(
  task: OpenTask,
  teller: Teller,
  { self }: Surroundings,
): Promise<number> {
  const names = await readConfig();
  const via = resolveHops(task.via.length > 0 ? task.via : [task.name], names);
  const [command, args] = self([
    "--keep",
    JSON.stringify({ ...task, via }),
  ]);
  return await openTree(
    task,
    new Deno.Command(command, {
      args,
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
      detached: true,
    }),
    teller,
    askAtTerminal(() => teller.progress("")),
  );
}

/** Runs a program over a chain, or over a tree when that is all of the chain. */
async function runThrough(
  via: string[],
  argv: string[],
  teller: Teller,
  surroundings: Surroundings,
): Promise<number> {
  const controller = new AbortController();
  const { signal } = controller;
  const stop = () =>
    controller.abort(new Error(`${argv[0]} was ended with this program`));
  // A Ctrl-C is for the program that runs; it decides what comes of it.
  const ignore = () => {};
  Deno.addSignalListener("SIGINT", ignore);
  Deno.addSignalListener("SIGQUIT", ignore);
  Deno.addSignalListener("SIGTERM", stop);
  Deno.addSignalListener("SIGHUP", stop);
  const tree = via.length === 1 && !via[0]!.includes(":")
    ? await findTree(via[0]!)
    : undefined;
  if (tree) {
    const command = toolCommand(argv, {
      path: tree.folder,
      ssh: join(tree.folder, "ssh"),
    });
    return (await command.spawn().status).code;
  }
  const hops = resolveHops(via, await readConfig());
  await using router = surroundings.makeRouter(() => {});
  const context = await openChain(
    router,
    hops,
    askAtTerminal(() => teller.progress("")),
    teller,
  );
  return (await run(context, argv, { signal })).code;
}

async function ssh(
  { via, args, verbose }: { via: string[]; args: string[]; verbose: boolean },
  teller: Teller,
  surroundings: Surroundings,
): Promise<number> {
  if (via.length > 0) {
    return await runThrough(via, ["{ssh}", ...args], teller, surroundings);
  }
  let host: string;
  try {
    ({ host } = parseSshArgs(args));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    teller.line(`${errorMessage(error)}; see fakessh --help`);
    return FAILED;
  }
  if (host === "") {
    return print(
      `fakessh ${surroundings.version}, which stands in for OpenSSH\n`,
    );
  }
  const tree = /^[\w.@+-]+$/.test(host) ? await findTree(host) : undefined;
  if (tree) return await runClient(await treeAt(tree.folder), args);
  void verbose;
  return await runThrough([host], ["{ssh}", ...args], teller, surroundings);
}
