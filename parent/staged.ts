/**
 * Commands of this context that somebody else starts for it: each waits in a
 * script that only its user can read, and says there which process it became.
 *
 * So its bytes need not go through this context, and yet it is one of this
 * context's: it has its environment, and ends with it.
 *
 * @module
 */
import { current, registerLibrary } from "../core/mod.ts";
import { Parent } from "./parent.ts";
import { quote, quoteAll } from "./quote.ts";
import { PLAIN_PATH, watchdog } from "./watchdog.ts";

/** A command, as a process would be started from it. */
export interface StagedCommand {
  /** Path of the program. */
  program: string;
  args: string[];
  /** Its working directory. */
  cwd: string;
  /** All of its environment. */
  env: Record<string, string>;
}

/** What is tried before SIGKILL, and the milliseconds that each is given. */
const MERCY = [["SIGHUP", 250], ["SIGTERM", 500]] as const;

/** What a shell refuses to set, or cannot. */
const NOT_FOR_SHELLS =
  /^(?:OPTIND|UID|EUID|PPID|GROUPS|SHELLOPTS|BASHOPTS|BASH_VERSINFO)$|^\d|\W|^$/;

/** Those that are under way; each with what lets go of its end. */
const folders = new Map<string, () => void>();

/** Where a command waits, and as whom it has to be started. */
export interface Staged {
  folder: string;
  uid: number | null;
}

/**
 * Writes a command down to be started as `env -i /bin/sh FOLDER/run`.
 *
 * @returns where; `undefined` where this context may not, or cannot
 */
export async function stage(
  command: StagedCommand,
): Promise<Staged | undefined> {
  const { state } = await Deno.permissions.query({ name: "run" });
  if (state !== "granted") return undefined;
  if (Object.keys(command.env).some((name) => NOT_FOR_SHELLS.test(name))) {
    return undefined;
  }
  let folder: string | undefined;
  let uid: number | null;
  try {
    // What cannot be started is for the usual way to explain.
    await Deno.stat(command.program);
    await Deno.stat(command.cwd);
    folder = await Deno.makeTempDir({ prefix: "mitogen-" });
    if (!PLAIN_PATH.test(folder)) throw new Error("it needs quotes");
    await Deno.writeTextFile(`${folder}/run`, scriptOf(folder, command), {
      mode: 0o600,
    });
    ({ uid } = await Deno.lstat(folder));
  } catch {
    if (folder) await remove(folder);
    return undefined;
  }
  const place = folder;
  // It is asked to end when this context is shut down.
  const { closers } = Parent.of(current().router);
  const end = () => unstage(place, true);
  closers.add(end);
  folders.set(place, () => closers.delete(end));
  watchdog.start();
  watchdog.add(place);
  return { folder: place, uid };
}

function scriptOf(folder: string, command: StagedCommand): string {
  const { program, args, cwd, env } = command;
  const lines = [
    // Whoever ends it takes this script away, then reads who it is: one of the
    // two sees the other. What cannot be written is not tried in another way.
    `echo $$ >${folder}/pid || exit 254`,
    `[ -e ${folder}/run ] || exit 254`,
    `umask ${Deno.umask().toString(8)}`,
    // As it is called without links: nobody has told a new process otherwise.
    `cd -P ${quote(cwd)} || exit 254`,
    "unset OLDPWD",
  ];
  for (const [name, value] of Object.entries(env)) {
    lines.push(`export ${name}=${quote(value)}`);
  }
  lines.push(`exec ${quoteAll([program, ...args])}`);
  return lines.join("\n") + "\n";
}

/** The process that a command became, which leads its group. */
async function leader(folder: string): Promise<number | undefined> {
  if (!folders.has(folder)) return undefined;
  const text = await Deno.readTextFile(`${folder}/pid`).catch(() => "");
  const pid = Number(text);
  return Number.isInteger(pid) && pid > 1 ? pid : undefined;
}

/** Whether a command has begun to run; `undefined` if it was ended. */
export async function hasBegun(folder: string): Promise<boolean | undefined> {
  const begun = await leader(folder) !== undefined;
  return folders.has(folder) ? begun : undefined;
}

/**
 * Forgets a command that has ended, or ends it.
 *
 * @param end whether it is to end, with all of its group
 */
export async function unstage(folder: string, end: boolean): Promise<void> {
  const forget = folders.get(folder);
  if (!forget) return;
  await Deno.remove(`${folder}/run`).catch(() => {});
  const pid = await leader(folder);
  if (!folders.delete(folder)) return;
  forget();
  if (pid !== undefined) watchdog.add(pid);
  // Before it is gone: others may put something in its place.
  watchdog.remove(folder);
  await remove(folder);
  if (pid !== undefined) {
    if (end) await endGroup(pid);
    // Those that it has left behind end with this context.
    watchdog.remove(pid);
  }
  await watchdog.rest();
}

/**
 * As if a terminal was closed first, then for good. One after another: the next
 * signal breaks off what is done on the one before.
 */
async function endGroup(pid: number): Promise<void> {
  watchdog.told(pid);
  for (const [signal, time] of MERCY) {
    if (!signalGroup(pid, signal)) return;
    const end = performance.now() + time;
    while (performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      // Signal 0 is none: it only asks.
      if (!signalGroup(pid, 0 as unknown as Deno.Signal)) return;
    }
  }
  signalGroup(pid, "SIGKILL");
}

/** Signals a group; answers whether there is one. */
function signalGroup(pid: number, signal: Deno.Signal): boolean {
  try {
    Deno.kill(-pid, signal);
    return true;
  } catch {
    return false;
  }
}

async function remove(folder: string): Promise<void> {
  await Deno.remove(folder, { recursive: true }).catch(() => {});
}

registerLibrary("mitogen:parent", { stage, hasBegun, unstage });
