/** What becomes of what a process prints. */
export type ProcessOutput = "piped" | "null" | "log";

/** A terminal that is made for a process. */
export interface PtyOptions {
  /** Width in characters. @default {80} */
  columns?: number;
  /** Height in lines. @default {24} */
  rows?: number;
  /** What `TERM` is there. @default {"xterm"} */
  term?: string;
}

/** How a process is started; the names are those of `Deno.CommandOptions`. */
export interface RemoteCommandOptions {
  /** Its arguments, as they are: no shell sees them. @default {[]} */
  args?: string[];
  /** Its working directory. Default: that of the context. */
  cwd?: string | URL;
  /** Variables beside those of the context. */
  env?: Record<string, string>;
  /** Whether it gets no other variables than those of `env`. @default {false} */
  clearEnv?: boolean;
  /** The user that it runs as. The context must be root's. */
  uid?: number;
  /** The group that it runs as. The context must be root's. */
  gid?: number;
  /**
   * Its input: `"piped"` for {@linkcode RemoteProcess.stdin}, or what it reads.
   *
   * @default {"null"}
   */
  stdin?: "piped" | "null" | Uint8Array | ReadableStream<Uint8Array>;
  /**
   * What it prints: `"piped"` for {@linkcode RemoteProcess.stdout}, `"log"` for
   * a log record for each line. What is piped must be read: a process that
   * prints more than some 200 KiB waits for its reader.
   *
   * @default {"piped"}
   */
  stdout?: ProcessOutput;
  /** The same for what it prints to its error output. @default {"piped"} */
  stderr?: ProcessOutput;
  /** Ends the process when it fires, as {@linkcode RemoteProcess.kill} does. */
  signal?: AbortSignal;
  /**
   * Whether it has a terminal. What it prints to its error output comes with
   * the rest then.
   *
   * @default {false}
   */
  pty?: boolean | PtyOptions;
}

/**
 * A process that runs in a context; the shape of `Deno.ChildProcess`. Disposal
 * ends it, and waits for that, though not for longer than two seconds.
 */
export interface RemoteProcess extends AsyncDisposable {
  /** Its process id over there. It leads a process group of this number. */
  readonly pid: number;
  /** Where its input goes. Closing it is the end of its input. */
  readonly stdin: WritableStream<Uint8Array>;
  /** What it prints. */
  readonly stdout: ReadableStream<Uint8Array>;
  /** What it prints to its error output. */
  readonly stderr: ReadableStream<Uint8Array>;
  /**
   * How it ended, also when it was let go of. Rejects with a
   * `DisconnectedError` when its context is lost, with the reason of the call
   * when that was cancelled, and with what its input has failed with.
   */
  readonly status: Promise<Deno.CommandStatus>;
  /**
   * Sends a signal to its process group. Does nothing when it has ended.
   *
   * @param signal `"SIGTERM"` by default
   */
  kill(signal?: Deno.Signal): Promise<void>;
  /** Changes the size of its terminal. */
  resize(columns: number, rows: number): Promise<void>;
  /**
   * Everything that it prints, when it has ended. Fails as `status` does. This,
   * `text()`, `json()` and `lines()` read what it prints: one of them, once.
   *
   * @throws {TypeError} when somebody reads it already, or it was let go of
   */
  output(): Promise<Deno.CommandOutput>;
  /**
   * What it prints, as text.
   *
   * @throws {ProcessError} when it does not end with code 0
   */
  text(): Promise<string>;
  /**
   * What it prints, line by line, without the ends of lines: `\n` or `\r\n`.
   * Leaving the loop ends it.
   *
   * @throws {ProcessError} when it does not end with code 0
   */
  lines(): AsyncGenerator<string, void>;
  /**
   * What it prints, as JSON.
   *
   * @throws {ProcessError} when it does not end with code 0
   * @throws {SyntaxError} when that is no JSON
   */
  json<T = unknown>(): Promise<T>;
}

/** What a {@linkcode ProcessError} is made of. */
export interface ProcessErrorFields {
  /** The command and its arguments. */
  command: string[];
  /** The context in which it ran. */
  path: string;
  /** How it ended. */
  status: Deno.CommandStatus;
  /** The last of what it printed to its error output, or else printed. */
  tail: string;
}

/** A process did not end with code 0. */
export class ProcessError extends Error implements ProcessErrorFields {
  /** `ProcessError`. */
  override name = "ProcessError";
  /** The command and its arguments. */
  command: string[];
  /** The context in which it ran. */
  path: string;
  /** How it ended. */
  status: Deno.CommandStatus;
  /** The last of what it printed to its error output, or else printed. */
  tail: string;

  /** Says how it ended, and the last of what it said. */
  constructor({ command, path, status, tail }: ProcessErrorFields) {
    const how = status.signal
      ? `was ended by ${status.signal}`
      : `exited with code ${status.code}`;
    super(`${command[0]} in ${path} ${how}${tail ? `: ${tail}` : ""}`);
    this.command = command;
    this.path = path;
    this.status = status;
    this.tail = tail;
  }
}
