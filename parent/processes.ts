/**
 * The processes of this context that others have started; what runs here for
 * `context.spawn()`.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import {
  current,
  registerLibrary,
  type RemoteCommandOptions,
} from "../core/mod.ts";
import { LoggedOutput } from "./process_log.ts";
import { outputOf } from "./process_output.ts";
import {
  inTerminal,
  openTerminal,
  resizeTerminal,
  type Terminal,
} from "./terminal.ts";
import { watchdog } from "./watchdog.ts";

/** Milliseconds between SIGTERM and SIGKILL when a process is not wanted any more. */
const MERCY = 500;

/** A process as whoever started it gets it. */
export interface Started {
  /** What it is called in {@linkcode killProcess} and {@linkcode resizeProcess}. */
  id: number;
  pid: number;
  stdin: WritableStream<Uint8Array> | undefined;
  stdout: ReadableStream<Uint8Array> | undefined;
  stderr: ReadableStream<Uint8Array> | undefined;
  /**
   * Gives one value: how it ended. Leaving it ends the process, but then nobody
   * hears how: that is for who has lost the call. See {@linkcode endProcess}.
   */
  status: AsyncGenerator<Deno.CommandStatus>;
}

const running = new Map<number, Running>();
let ids = 0;

/** A process that has not ended. */
class Running {
  readonly id: number = ++ids;
  readonly process: Deno.ChildProcess;
  readonly status: Promise<Deno.CommandStatus>;
  terminal: Terminal | undefined;
  /** Why it was ended, where that is not what its status says. */
  failed: { error: unknown } | undefined;
  /** What makes log records of its outputs. */
  readonly logs: LoggedOutput[] = [];
  #over = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(process: Deno.ChildProcess) {
    this.process = process;
    watchdog.add(process.pid);
    running.set(this.id, this);
    this.status = this.#live();
  }

  /** The process that leads its group. */
  get pid(): number {
    return this.terminal?.leader ?? this.process.pid;
  }

  async #live(): Promise<Deno.CommandStatus> {
    const status = await this.process.status;
    this.#over = true;
    clearTimeout(this.#timer);
    if (this.terminal) watchdog.remove(this.terminal.leader);
    watchdog.remove(this.process.pid);
    running.delete(this.id);
    // Ahead of the news that it has ended.
    await Promise.all(this.logs.map((log) => log.rest()));
    await rest();
    return status;
  }

  /** Ends when a signal fires. */
  obey(signal: AbortSignal): void {
    const end = () => this.end();
    if (signal.aborted) return end();
    signal.addEventListener("abort", end);
    void this.status.then(() => signal.removeEventListener("abort", end));
  }

  /** Gives it the terminal that was made for it. */
  enter(terminal: Terminal): void {
    this.terminal = terminal;
    watchdog.add(terminal.leader);
    // script(1) hands on what it is told, and ends by itself.
    watchdog.told(this.process.pid);
  }

  /** What it prints to one of its outputs. */
  output(stream: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
    return outputOf(stream, () => this.#timer !== undefined, this.status);
  }

  /** Signals all of its group, as long as its leader lives. */
  kill(signal: Deno.Signal): void {
    // script(1) notices by itself that the session it has made is over.
    this.#signal(this.pid, signal);
  }

  #signal(group: number, signal: Deno.Signal): void {
    if (this.#over) return;
    try {
      Deno.kill(-group, signal);
    } catch (error) {
      // It has ended meanwhile.
      if (error instanceof Deno.errors.NotFound) return;
      if (!(error instanceof Deno.errors.NotCapable)) throw error;
      // Who may not run any program may signal no group, but its own child.
      this.process.kill(signal);
    }
  }

  /** What it was to read has failed. */
  fail(error: unknown): void {
    this.failed ??= { error };
    this.end();
  }

  /** It is not wanted any more. */
  end(): void {
    if (this.#over || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#force(this.pid, "SIGKILL");
      if (!this.terminal) return;
      // What was printed to a terminal may have no reader: script(1) would wait
      // for one for ever.
      const { pid } = this.process;
      this.#timer = setTimeout(() => this.#force(pid, "SIGKILL"), MERCY);
    }, MERCY);
    this.#force(this.pid, "SIGTERM");
    watchdog.told(this.pid);
  }

  #force(group: number, signal: Deno.Signal): void {
    try {
      this.#signal(group, signal);
    } catch {
      // Not allowed: nothing more can be done about it.
    }
  }
}

const KINDS = { piped: "piped", null: "null", log: "piped" } as const;

/** The options that `Deno.Command` takes as they are, as far as they are given. */
function plain(options: RemoteCommandOptions): Partial<Deno.CommandOptions> {
  const { cwd, env, clearEnv, uid, gid } = options;
  const all = { cwd, env, clearEnv, uid, gid };
  return Object.fromEntries(
    Object.entries(all).filter(([, value]) => value !== undefined),
  );
}

function pathOf(command: string | URL): string {
  return command instanceof URL ? fileURLToPath(command) : command;
}

/**
 * Starts a process.
 *
 * @throws {Deno.errors.NotFound} when there is no such program or directory
 */
export async function startProcess(
  command: string | URL,
  options: RemoteCommandOptions,
): Promise<Started> {
  const { stdin = "null", stdout = "piped", stderr = "piped", pty } = options;
  const setup = pty
    ? inTerminal(pathOf(command), options, pty === true ? {} : pty)
    : { command, args: options.args ?? [], env: options.env };
  // Ahead of the process, so that there is no moment without it.
  watchdog.start();
  let child: Running;
  try {
    child = new Running(
      new Deno.Command(setup.command, {
        ...plain({ ...options, ...(setup.env ? { env: setup.env } : {}) }),
        args: setup.args,
        stdin: stdin === "null" ? "null" : "piped",
        stdout: KINDS[stdout],
        stderr: pty ? "piped" : KINDS[stderr],
        // A group of its own, which is ended as a whole.
        detached: true,
      }).spawn(),
    );
  } catch (error) {
    await rest();
    throw error;
  }
  const { process } = child;
  const { router, signal } = current();
  child.obey(signal);
  if (options.signal) child.obey(options.signal);
  router.ending.add(child.status);
  void child.status.then(() => router.ending.delete(child.status));
  if (pty) {
    try {
      child.enter(await openTerminal(process, () => child.end()));
    } catch (error) {
      if (stdin !== "null") await process.stdin.abort().catch(() => {});
      throw error;
    }
  } else {
    const log = (name: "stdout" | "stderr") =>
      child.logs.push(new LoggedOutput(process[name], name, router));
    if (stdout === "log") log("stdout");
    if (stderr === "log") log("stderr");
  }
  const input = stdin === "null" ? undefined : inputOf(child);
  if (typeof stdin === "object") void feed(child, stdin, input!);
  return {
    id: child.id,
    pid: child.pid,
    stdin: stdin === "piped" ? input : undefined,
    stdout: stdout === "piped"
      ? child.output(child.terminal?.output ?? process.stdout)
      : undefined,
    stderr: stderr === "piped" && !pty
      ? child.output(process.stderr)
      : undefined,
    status: statusOf(child),
  };
}

/** The watchdog has nothing to do when no process is left. */
async function rest(): Promise<void> {
  if (running.size === 0) await watchdog.rest();
}

/** The input of a process, which breaks when the process ends. */
function inputOf(child: Running): WritableStream<Uint8Array> {
  const writer = child.process.stdin.getWriter();
  let fail = (_error: unknown) => {};
  // A program that it started may hold the pipe, and read nothing from it.
  const orEnded = (done: Promise<void>) =>
    new Promise<void>((resolve, reject) => {
      fail = reject;
      done.then(resolve, reject);
    });
  return new WritableStream({
    start(controller) {
      // Who waits to write learns of the end without a write.
      void child.status.then(() => {
        const error = new Deno.errors.BrokenPipe("the process has ended");
        controller.error(error);
        fail(error);
        return writer.abort();
      }).catch(() => {});
    },
    write: (chunk) => orEnded(writer.write(chunk)),
    close: () => orEnded(writer.close()),
    // There is no other way to tell a process than the end of its input.
    abort: () => writer.close(),
  });
}

/** Gives a process what it is to read. */
async function feed(
  child: Running,
  from: Uint8Array | ReadableStream<Uint8Array>,
  input: WritableStream<Uint8Array>,
): Promise<void> {
  const writer = input.getWriter();
  // It may end without reading all of it; whether that is wrong, it says itself.
  const ignore = () => {};
  writer.closed.catch(ignore);
  if (from instanceof Uint8Array) {
    await writer.write(from).catch(ignore);
    return await writer.close().catch(ignore);
  }
  const reader = from.getReader();
  void writer.closed.catch((error) => reader.cancel(error)).catch(ignore);
  for (;;) {
    let step: ReadableStreamReadResult<Uint8Array>;
    try {
      step = await reader.read();
    } catch (error) {
      // Half of its input must not pass for all of it.
      return child.fail(error);
    }
    if (step.done) return await writer.close().catch(ignore);
    await writer.write(step.value).catch(ignore);
  }
}

async function* statusOf(child: Running): AsyncGenerator<Deno.CommandStatus> {
  const status = await child.status;
  if (child.failed) throw child.failed.error;
  yield status;
}

/** Signals the group of a process that was started here. */
export function killProcess(id: number, signal: Deno.Signal): void {
  running.get(id)?.kill(signal);
}

/** A process that was started here is not wanted any more. */
export function endProcess(id: number): void {
  running.get(id)?.end();
}

/** Changes the size of the terminal of a process that was started here. */
export async function resizeProcess(
  id: number,
  columns: number,
  rows: number,
): Promise<void> {
  const child = running.get(id);
  if (!child) return;
  if (!child.terminal) {
    throw new TypeError("Cannot change its size: the process has no terminal");
  }
  await resizeTerminal(child.terminal.path, columns, rows);
}

registerLibrary("mitogen:parent", {
  startProcess,
  killProcess,
  endProcess,
  resizeProcess,
});
