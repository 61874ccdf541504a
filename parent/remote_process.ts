import {
  atMost,
  type CallOptions,
  type Context,
  ProcessError,
  type RemoteCommandOptions,
  type RemoteProcess,
} from "../core/mod.ts";
import {
  endProcess,
  killProcess,
  resizeProcess,
  type Started,
  startProcess,
} from "./processes.ts";

/** Bytes of what a process printed that an error shows. */
const TAIL = 2000;

/**
 * Milliseconds that who lets go of a process waits for its end. One that belongs
 * to another user may be out of reach, and a context that computes does not
 * answer.
 */
const PATIENCE = 2000;

/**
 * Milliseconds of those in which it can still print: what it says at its end
 * must not make its end a broken pipe. One that waits for a reader gets none.
 */
const LAST_WORDS = 200;

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
    let at = 0;
    if (this.#bytes.length === TAIL) {
      // It may begin in the middle of a character.
      while (at < 3 && (this.#bytes[at]! & 0xc0) === 0x80) at++;
    }
    return new TextDecoder().decode(this.#bytes.subarray(at)).trim();
  }
}

/** A process as whoever started it sees it. */
class Spawned implements RemoteProcess {
  readonly pid: number;
  readonly status: Promise<Deno.CommandStatus>;
  readonly #context: Context;
  readonly #command: string[];
  readonly #started: Started;
  #over = false;
  #released: Promise<void> | undefined;
  /** Who reads all that it prints. */
  #reader: string | undefined;

  constructor(context: Context, command: string[], started: Started) {
    this.#context = context;
    this.#command = command;
    this.#started = started;
    this.pid = started.pid;
    this.status = this.#wait();
    // Whoever does not ask does not have to be told.
    const over = () => {
      this.#over = true;
    };
    this.status.then(over, over);
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

  /**
   * What it prints can be read once, by one reader: the next one would find
   * nothing, and take that for all.
   *
   * @throws {TypeError} when somebody reads it already, or it was let go of
   */
  #claim(reader: string): void {
    const { stdout, stderr } = this.#started;
    const why = this.#reader
      ? `${this.#reader}() has what it prints`
      : stdout?.locked || stderr?.locked
      ? "another reader has what it prints"
      : this.#released && "it was let go of";
    if (why) {
      throw new TypeError(
        `Cannot use ${reader}() of ${this.#command[0]}: ${why}`,
      );
    }
    this.#reader = reader;
  }

  async output(): Promise<Deno.CommandOutput> {
    return await this.#output("output");
  }

  async #output(reader: string): Promise<Deno.CommandOutput> {
    this.#claim(reader);
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
    return await this.#text("text");
  }

  async #text(reader: string): Promise<string> {
    const { stdout, stderr, ...status } = await this.#output(reader);
    if (status.success) return new TextDecoder().decode(stdout);
    const last = new Last();
    last.push(stderr.length > 0 ? stderr : stdout);
    throw this.#failed(status, String(last));
  }

  async json<T>(): Promise<T> {
    return JSON.parse(await this.#text("json"));
  }

  async *lines(): AsyncGenerator<string, void> {
    const { stdout } = this;
    this.#claim("lines");
    const [errors, output] = [new Last(), new Last()];
    const stderr = this.#started.stderr?.getReader();
    const drained = stderr && drain(stderr, errors);
    // Where the loop is left, nobody waits for it.
    drained?.catch(() => {});
    let over = false;
    try {
      let rest = "";
      const decoder = new TextDecoder();
      // Where the loop is left, it is ended first: it would be the broken pipe
      // that its status told of.
      for await (const chunk of stdout.values({ preventCancel: true })) {
        output.push(chunk);
        const lines = decoder.decode(chunk, { stream: true }).split("\n");
        // What was there already is not searched again.
        lines[0] = rest + lines[0];
        rest = lines.pop()!;
        // A terminal ends them so.
        for (const line of lines) {
          yield line.endsWith("\r") ? line.slice(0, -1) : line;
        }
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
      if (!over) {
        await this[Symbol.asyncDispose]();
        await stderr?.cancel().catch(() => {});
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#released ??= atMost(PATIENCE, this.#release());
  }

  /** Its status tells how that ended it: the far end is asked, not left. */
  async #release(): Promise<void> {
    const { stdin, stdout, stderr, id } = this.#started;
    const done = new DOMException("the process was let go of", "AbortError");
    // Ahead of its streams: the end of its input could pass for all of it.
    if (!this.#over) {
      await this.#context.call(endProcess, id).catch(() => {});
      await atMost(LAST_WORDS, this.status.catch(() => {}));
    }
    await Promise.allSettled([
      stdin?.abort(done),
      stdout?.cancel(done),
      stderr?.cancel(done),
      this.status,
    ]);
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
  reader: ReadableStreamDefaultReader<Uint8Array>,
  last: Last,
): Promise<void> {
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    last.push(value);
  }
}
