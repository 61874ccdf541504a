import {
  after,
  CallError,
  checkTime,
  type Context,
  current,
  registerLibrary,
} from "../core/mod.ts";
import { ClientFolder } from "./client_folder.ts";
import { type Door, doorTo, type Start, startBehind, startIn } from "./door.ts";
import { HostEnd } from "./host.ts";
import { loginOf } from "./remote.ts";
import { type Debug, serve } from "./session.ts";

/** How {@linkcode run} runs a program. */
export interface RunOptions {
  /**
   * The context in which the program runs: to copy from there to `dest`, which
   * may be anywhere. Both are called from here, what they say to each other
   * comes by here, and `dest` is open to that context for this and as long as
   * this runs. Default: this one.
   */
  on?: Context;
  /** Ends the program and everything that it has begun elsewhere. */
  signal?: AbortSignal;
  /** The same, after so many milliseconds; `Infinity` is never. Default: never. */
  deadline?: number;
  /** Its working directory. Default: that of this process. */
  cwd?: string | URL;
  /** Variables to add to those of this process. */
  env?: Record<string, string>;
  /** What it reads. @default {"inherit"} */
  stdin?: "inherit" | "null" | Uint8Array | ReadableStream<Uint8Array>;
  /** Where it prints to. The stream is closed at the end. @default {"inherit"} */
  stdout?: "inherit" | "null" | WritableStream<Uint8Array>;
  /** Where its errors go. The stream is closed at the end. @default {"inherit"} */
  stderr?: "inherit" | "null" | WritableStream<Uint8Array>;
}

/** Programs that do not look for ssh in PATH, but take an option. */
const TAKE_OPTION = /^(?:scp|sftp)$/;

/** Milliseconds between SIGTERM and SIGKILL. */
const MERCY = 1000;

/**
 * Runs a program here, whose `ssh` runs its commands in a context: rsync, scp,
 * sftp, git, or a script that calls any of them. Whatever host they name, they
 * reach this context, over the connections that exist.
 *
 * `PATH`, `RSYNC_RSH`, `GIT_SSH` and `GIT_SSH_VARIANT` are set for it, and
 * `{ssh}` in an argument stands for the path of that `ssh`; scp and sftp get it
 * with `-S`. An ssh that is still running when the program has ended is waited
 * for.
 *
 * @param dest where commands run
 * @param argv the program and its arguments
 * @returns how the program ended
 * @throws {TypeError} when `argv` is empty
 * @throws {Deno.errors.NotFound} when there is no such program
 * @throws {DOMException} the signal's reason, or a `TimeoutError` at the deadline
 * @example
 * ```ts
 * import { Router } from "@mitogen/mitogen";
 * import { run } from "@mitogen/mitogen/fakessh";
 * import { assertEquals } from "@std/assert";
 *
 * await using router = new Router();
 * const context = await router.local();
 * const { code } = await run(context, ["sh", "-c", "ssh any-name exit 7"]);
 * assertEquals(code, 7);
 * ```
 */
export async function run(
  dest: Context,
  argv: readonly string[],
  options: RunOptions = {},
): Promise<Deno.CommandStatus> {
  if (argv.length === 0) {
    throw new TypeError("Cannot run a program: expected its name in argv");
  }
  const { signal: given, deadline } = options;
  if (deadline !== undefined) {
    checkTime(`Cannot run ${argv[0]}: deadline`, deadline);
  }
  given?.throwIfAborted();
  const { on } = options;
  if (on && on !== on.router.myself()) {
    return await runOn(on, dest, argv, options);
  }
  const cancel = new AbortController();
  const { signal } = cancel;
  const abort = () => cancel.abort(given!.reason);
  given?.addEventListener("abort", abort);
  const stop = after(deadline ?? Infinity, () => {
    const message = `${argv[0]} has not ended in ${deadline} ms`;
    cancel.abort(new DOMException(message, "TimeoutError"));
  });
  try {
    // The first ssh will ask: by then it is known.
    loginOf(dest).catch(() => {});
    const debug = (message: string) =>
      dest.router.log("debug", `fakessh: ${message}`);
    return await runWith(startIn(dest), argv, options, { signal, debug });
  } finally {
    stop();
    given?.removeEventListener("abort", abort);
  }
}

/** Runs a program in another context than this one. */
async function runOn(
  on: Context,
  dest: Context,
  argv: readonly string[],
  options: RunOptions,
): Promise<Deno.CommandStatus> {
  const { on: _on, signal, deadline, ...rest } = options;
  try {
    return await on.with({
      ...(signal ? { signal } : {}),
      ...(deadline === undefined ? {} : { timeout: deadline }),
    }).call(runBehind, doorTo(dest), argv, rest);
  } catch (error) {
    throw error instanceof CallError ? error.cause ?? error : error;
  }
}

/** Runs a program here for whoever called this and lends a door. */
export async function runBehind(
  door: Door,
  argv: readonly string[],
  options: RunOptions,
): Promise<Deno.CommandStatus> {
  const { signal, router } = current();
  const debug = (message: string) => router.log("debug", `fakessh: ${message}`);
  const running = runWith(startBehind(door), argv, options, { signal, debug });
  // A context that is asked to end waits until nothing of it is left.
  const over = running.then(() => {}, () => {});
  router.ending.add(over);
  void over.then(() => router.ending.delete(over));
  return await running;
}

async function runWith(
  start: Start,
  argv: readonly string[],
  options: RunOptions,
  { signal, debug }: { signal: AbortSignal; debug: Debug },
): Promise<Deno.CommandStatus> {
  const folder = await ClientFolder.temporary();
  let host: HostEnd | undefined;
  try {
    host = new HostEnd(
      folder,
      (invocation) => serve(start, invocation, debug),
    );
    const status = await runTool(argv, folder, options, signal);
    await Promise.race([host.idle(), aborted(signal)]);
    signal.throwIfAborted();
    return status;
  } finally {
    await host?.close();
    await folder.remove();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** The arguments of a program that is to use our ssh. */
function toolArgs(argv: readonly string[], ssh: string): string[] {
  const words = argv.map((word) => word.replaceAll("{ssh}", ssh));
  const [program, ...args] = words as [string, ...string[]];
  const name = program.slice(program.lastIndexOf("/") + 1);
  if (!TAKE_OPTION.test(name) || args.some((word) => word.startsWith("-S"))) {
    return words;
  }
  return [program, "-S", ssh, ...args];
}

/** The variables that make programs use our ssh. */
function toolEnv(
  folder: Pick<ClientFolder, "path" | "ssh">,
  path = Deno.env.get("PATH") ?? "/usr/local/bin:/usr/bin:/bin",
): Record<string, string> {
  return {
    PATH: `${folder.path}:${path}`,
    RSYNC_RSH: folder.ssh,
    GIT_SSH: folder.ssh,
    GIT_SSH_VARIANT: "ssh",
  };
}

/** The command that runs a program with our ssh. */
export function toolCommand(
  argv: readonly string[],
  folder: Pick<ClientFolder, "path" | "ssh">,
  options: RunOptions = {},
): Deno.Command {
  const { stdin = "inherit", stdout = "inherit", stderr = "inherit" } = options;
  const [program, ...args] = toolArgs(argv, folder.ssh);
  const how = (stream: unknown) =>
    stream === "inherit" || stream === "null" ? stream : "piped";
  return new Deno.Command(program!, {
    args,
    env: { ...options.env, ...toolEnv(folder, options.env?.PATH) },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdin: how(stdin),
    stdout: how(stdout),
    stderr: how(stderr),
  });
}

async function runTool(
  argv: readonly string[],
  folder: ClientFolder,
  options: RunOptions,
  signal: AbortSignal,
): Promise<Deno.CommandStatus> {
  const { stdin = "inherit", stdout = "inherit", stderr = "inherit" } = options;
  const child = toolCommand(argv, folder, options).spawn();
  const leave = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const kill = (name: Deno.Signal) => {
    try {
      child.kill(name);
    } catch {
      // It has ended.
    }
  };
  let ended = false;
  const stop = () => {
    if (ended) leave.abort(signal.reason);
    kill("SIGTERM");
    timer = setTimeout(() => kill("SIGKILL"), MERCY);
  };
  signal.addEventListener("abort", stop);
  if (signal.aborted) stop();
  try {
    if (typeof stdin !== "string") {
      const source = stdin instanceof Uint8Array
        ? ReadableStream.from([stdin])
        : stdin;
      // It may end without reading all of it.
      void source.pipeTo(child.stdin).catch(() => {});
    }
    const how = { signal: leave.signal };
    const pipes = Promise.all([
      typeof stdout === "string" ? undefined : child.stdout.pipeTo(stdout, how),
      typeof stderr === "string" ? undefined : child.stderr.pipeTo(stderr, how),
    ]);
    pipes.catch(() => {});
    const status = await child.status;
    ended = true;
    // What it has started may hold them for ever.
    if (signal.aborted) leave.abort(signal.reason);
    await pipes;
    signal.throwIfAborted();
    return status;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

registerLibrary("mitogen:fakessh", { run, runBehind });
