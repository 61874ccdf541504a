import { LineSplitter, type LogLevel } from "./logs.ts";
import { type CloseReason, errorMessage, errorName } from "./errors.ts";
import type { Router } from "./router.ts";
import type { Port } from "./transport.ts";

const utf8 = new TextEncoder();

/**
 * Makes the ways in which user code can end a Worker, or speak past it, those
 * of a process: `Deno.exit`, errors that nobody catches, and what is printed.
 */
export function tameWorker(router: Router, port: Port): void {
  const end = (reason: CloseReason) => {
    port.postMessage(reason);
    globalThis.close();
  };
  Deno.exit = (code = 0): never => {
    end({ kind: "exit", message: `its Worker exited with code ${code}`, code });
    // What comes after an exit does not run; the Worker closes behind it.
    // A wait without an end could not be interrupted.
    const cell = new Int32Array(new SharedArrayBuffer(4));
    for (;;) Atomics.wait(cell, 0, 0, 10);
  };
  const fatal = (event: Event, error: unknown) => {
    event.preventDefault();
    const message = `its Worker ended with an error: ${describe(error)}`;
    end({ kind: "exit", message, code: 1 });
  };
  addEventListener("error", (event) => fatal(event, event.error));
  addEventListener(
    "unhandledrejection",
    (event) => fatal(event, event.reason),
  );
  captureStdio(router);
}

function describe(error: unknown): string {
  const message = errorMessage(error);
  try {
    return error instanceof Error ? `${errorName(error)}: ${message}` : message;
  } catch {
    return message;
  }
}

/**
 * Turns what is printed here into log records. A process with a parent needs
 * nothing of the kind: its descriptors lead there.
 *
 * A Worker shares the descriptors of its process, and a process that was
 * detached loses its own, so what it prints is caught where it is printed: in
 * `console`, `Deno.stdout` and `Deno.stderr`, and in
 * the programs that it starts.
 */
export function captureStdio(router: Router): void {
  const capture = (logger: string, level: LogLevel) =>
    new LineSplitter((message) =>
      router.onRecord({
        level,
        logger,
        message,
        contextId: router.id,
        path: router.path,
        time: Date.now(),
      })
    );
  const out = capture("stdout", "info");
  const err = capture("stderr", "info");

  const streams = [
    [Deno.stdout, out, ["log", "info", "debug"]],
    [Deno.stderr, err, ["error", "warn"]],
  ] as const;
  for (const [stream, splitter, methods] of streams) {
    const write = (chunk: Uint8Array) => {
      splitter.push(chunk);
      return chunk.length;
    };
    Object.defineProperties(stream, {
      writeSync: { value: write },
      write: { value: (chunk: Uint8Array) => Promise.resolve(write(chunk)) },
      writable: {
        get: () =>
          new WritableStream<Uint8Array>({ write: (c) => void write(c) }),
      },
    });
    for (const method of methods) {
      console[method] = (...args: unknown[]) =>
        void write(utf8.encode(format(args) + "\n"));
    }
  }

  const Real = Deno.Command;
  const pump = async (from: ReadableStream<Uint8Array>, to: LineSplitter) => {
    for await (const chunk of from) to.push(chunk);
    to.flush();
  };
  Deno.Command = class extends Real {
    readonly #inherits: boolean[];

    constructor(command: string | URL, options: Deno.CommandOptions = {}) {
      super(command, options);
      const given = [options.stdout, options.stderr];
      this.#inherits = given.map((s) => (s ?? "inherit") === "inherit");
      // `output()` pipes what is not named; only `spawn()` would inherit.
      this.#piped = new Real(command, {
        ...options,
        stdin: !options.stdin || options.stdin === "inherit"
          ? "null"
          : options.stdin,
        stdout: this.#inherits[0] ? "piped" : options.stdout!,
        stderr: this.#inherits[1] ? "piped" : options.stderr!,
      });
    }

    readonly #piped: Deno.Command;

    override spawn(): Deno.ChildProcess {
      const child = this.#piped.spawn();
      if (this.#inherits[0]) void pump(child.stdout, capture("stdout", "info"));
      if (this.#inherits[1]) void pump(child.stderr, capture("stderr", "info"));
      if (this.#inherits.includes(true)) {
        // The runtime's own would read what is read here already.
        child.output = async () => {
          const [status, stdout, stderr] = await Promise.all([
            child.status,
            this.#inherits[0] ? undefined : collect(child.stdout),
            this.#inherits[1] ? undefined : collect(child.stderr),
          ]);
          return { ...status, stdout, stderr } as Deno.CommandOutput;
        };
      }
      return child;
    }
  };
}

function collect(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>)
    .bytes();
}

/** As the console prints: a first string may hold placeholders; enough of them. */
function format(args: unknown[]): string {
  return args.map((arg) => typeof arg === "string" ? arg : Deno.inspect(arg))
    .join(" ");
}
