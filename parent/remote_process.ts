import {
  type CallOptions,
  type Context,
  ProcessError,
  type RemoteCommandOptions,
  type RemoteProcess,
} from "../core/mod.ts";
import {
  killProcess,
  resizeProcess,
  type Started,
  startProcess,
} from "./processes.ts";

/** Bytes of what a process printed that an error shows. */
const TAIL = 2000;

/** Starts a process in a context. */
export async function spawn(
  context: Context,
  command: string | URL,
  options: RemoteCommandOptions = {},
  call: CallOptions = {},
): Promise<RemoteProcess> {
  options.signal?.throwIfAborted();
  const started = await context.with(call).call(startProcess, command, options);
  return new Spawned(
    context,
    [String(command), ...options.args ?? []],
    started,
  );
}

/** The last bytes of a stream, as far as an error shows them. */
class Last {
  #bytes: Uint8Array = new Uint8Array(0);

  push(chunk: Uint8Array): void {
    const all = new Uint8Array(
      this.#bytes.length + Math.min(chunk.length, TAIL),
    );
    all.set(this.#bytes);
    all.set(chunk.subarray(-TAIL), this.#bytes.length);
    this.#bytes = all.slice(-TAIL);
  }

  toString(): string {
    return new TextDecoder().decode(this.#bytes).trim();
  }
}

/** A process as whoever started it sees it. */
class Spawned implements RemoteProcess {
  readonly pid: number;
  readonly status: Promise<Deno.CommandStatus>;
  readonly #context: Context;
  readonly #command: string[];
  readonly #started: Started;

  constructor(context: Context, command: string[], started: Started) {
    this.#context = context;
    this.#command = command;
    this.#started = started;
    this.pid = started.pid;
    this.status = this.#wait();
    // Whoever does not ask does not have to be told.
    this.status.catch(() => {});
  }

  async #wait(): Promise<Deno.CommandStatus> {
    const { status } = this.#started;
    const { value } = await status.next();
    await status.next();
    return value!;
  }

  get stdin(): WritableStream<Uint8Array> {
    return this.#started.stdin ?? this.#missing("stdin");
  }

  get stdout(): ReadableStream<Uint8Array> {
    return this.#started.stdout ?? this.#missing("stdout");
  }

  get stderr(): ReadableStream<Uint8Array> {
    return this.#started.stderr ?? this.#missing("stderr");
  }

  #missing(name: string): never {
    throw new TypeError(
      `Cannot get ${name} of ${this.#command[0]}: it is not "piped"`,
    );
  }

  async kill(signal: Deno.Signal = "SIGTERM"): Promise<void> {
    await this.#context.call(killProcess, this.#started.id, signal);
  }

  async resize(columns: number, rows: number): Promise<void> {
    await this.#context.call(resizeProcess, this.#started.id, columns, rows);
  }

  async output(): Promise<Deno.CommandOutput> {
    const [stdout, stderr, { code, success, signal }] = await Promise.all([
      bytesOf(this.#started.stdout),
      bytesOf(this.#started.stderr),
      this.status,
    ]);
    return { code, success, signal, stdout, stderr };
  }

  #failed(status: Deno.CommandStatus, tail: string): ProcessError {
    return new ProcessError({
      command: this.#command,
      path: this.#context.path,
      status,
      tail,
    });
  }

  async text(): Promise<string> {
    const { stdout, stderr, ...status } = await this.output();
    if (status.success) return new TextDecoder().decode(stdout);
    const last = new Last();
    last.push(stderr.length > 0 ? stderr : stdout);
    throw this.#failed(status, String(last));
  }

  async json<T>(): Promise<T> {
    return JSON.parse(await this.text());
  }

  async *lines(): AsyncGenerator<string, void> {
    const { stderr } = this.#started;
    const [errors, output] = [new Last(), new Last()];
    const drained = stderr && drain(stderr, errors);
    // Where the loop is left, nobody waits for it.
    drained?.catch(() => {});
    let over = false;
    try {
      let rest = "";
      const decoder = new TextDecoder();
      for await (const chunk of this.stdout) {
        output.push(chunk);
        const lines = decoder.decode(chunk, { stream: true }).split("\n");
        // What was there already is not searched again.
        lines[0] = rest + lines[0];
        rest = lines.pop()!;
        yield* lines;
      }
      rest += decoder.decode();
      if (rest !== "") yield rest;
      await drained;
      const status = await this.status;
      over = true;
      if (!status.success) {
        throw this.#failed(status, String(errors) || String(output));
      }
    } finally {
      if (!over) await this[Symbol.asyncDispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { stdin, stdout, stderr, status } = this.#started;
    const done = new DOMException("the process was let go of", "AbortError");
    await Promise.allSettled([
      stdin?.abort(done),
      stdout?.cancel(done),
      stderr?.cancel(done),
      // The last thing: leaving it ends the process.
      status.return(undefined),
    ]);
    await this.status.catch(() => {});
  }
}

/** All that a stream holds; nothing where there is none. */
async function bytesOf(
  stream: ReadableStream<Uint8Array> | undefined,
): Promise<Uint8Array<ArrayBuffer>> {
  if (!stream) return new Uint8Array(0);
  return await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>)
    .bytes();
}

/** Reads a stream to its end, and keeps the last of it. */
async function drain(
  stream: ReadableStream<Uint8Array>,
  last: Last,
): Promise<void> {
  for await (const chunk of stream) last.push(chunk);
}
