import {
  type CloseReason,
  LineSplitter,
  type Transport,
  type TransportEvents,
} from "../core/mod.ts";
import { Activity } from "./keepalive.ts";
import { type Child, DETACHED } from "./parent.ts";
import { Tail } from "./tail.ts";
import { within } from "./within.ts";

/** Milliseconds between SIGTERM and SIGKILL. */
const MERCY = 150;

/**
 * Milliseconds that the pipes of a process that has ended are still read.
 * Programs that it started may hold them open for ever.
 */
const GRACE = 50;

/** Bytes that are read at a time. */
const READ_SIZE = 64 * 1024;

/** Up to this many bytes are copied out of the buffer that they were read to. */
const SMALL = 4 * 1024;

/** What to run. */
export interface ProcessOptions {
  command: string;
  args: string[];
  cwd?: string;
  env?: Record<string, string>;
  /** Whether it gets no variables but those. */
  clearEnv?: boolean;
  /**
   * Whether it only leads to the context, which is on another machine: no use
   * without it, and not its parent. @default {false}
   */
  carrier?: boolean;
  /** Whether its context may outlive this one. @default {false} */
  detachable?: boolean;
  /** Called when it has ended. */
  onGone?: () => void;
}

/** A child process: its pipes as a transport, its life, and what it prints. */
export class ProcessChild implements Child, Transport {
  /** Resolves when the process has ended and its pipes are done with. */
  readonly gone: Promise<void>;
  /** The last lines of its error output. */
  readonly tail: Tail = new Tail();
  /** Takes the lines of its error output. */
  onLine: (line: string) => void;
  /** Takes its error output as it comes: a prompt is not a line. */
  onOutput: ((chunk: Uint8Array) => void) | undefined;

  readonly #process: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamBYOBReader;
  #buffer = new Uint8Array(READ_SIZE);
  /** Whether what was read last lies where the next is read to. */
  #lent = false;
  #borrows: TransportEvents["borrows"];
  /** Resolves when there is room for what it sends next. */
  #full: Promise<void> | undefined;
  #rest: Uint8Array = new Uint8Array(0);
  #timers: ReturnType<typeof setTimeout>[] = [];
  #exited: Deno.CommandStatus | undefined;
  #asked = false;
  readonly #activity: Activity;
  #detached = false;
  readonly #options: ProcessOptions;
  readonly #errors: ReadableStreamDefaultReader<Uint8Array>;

  /** @throws {Deno.errors.NotFound} when there is no such program */
  constructor(options: ProcessOptions) {
    this.#options = options;
    const { command, args, cwd, env, clearEnv = false } = options;
    this.#process = new Deno.Command(command, {
      args,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      // A group of its own: it can be ended with all that it started, and a
      // Ctrl-C at the terminal is for the master to act on.
      detached: true,
      clearEnv,
      ...(cwd === undefined ? {} : { cwd }),
      ...(env === undefined ? {} : { env }),
    }).spawn();
    this.#activity = new Activity(this.pid);
    this.#writer = this.#process.stdin.getWriter();
    this.#writer.closed.catch(() => {});
    this.#reader = this.#process.stdout.getReader({ mode: "byob" });
    this.#errors = this.#process.stderr.getReader();
    this.onLine = (line) => this.tail.push(line);
    this.gone = this.#live();
  }

  /** Its process id. */
  get pid(): number {
    return this.#process.pid;
  }

  /** How it ended; `undefined` while it runs. */
  get status(): Deno.CommandStatus | undefined {
    return this.#exited;
  }

  /** Whether it has computed since this was last asked; only known on Linux. */
  isBusy(): boolean {
    return this.#activity.isBusy();
  }

  /** Whether it was asked to end. */
  get asked(): boolean {
    return this.#asked;
  }

  async #live(): Promise<void> {
    const splitter = new LineSplitter((line) => this.onLine(line));
    const reader = this.#errors;
    const printed = drain(reader, (chunk) => {
      splitter.push(chunk);
      this.onOutput?.(chunk);
    });
    this.#exited = await this.#process.status;
    for (const timer of this.#timers.splice(0)) clearTimeout(timer);
    this.#signal("SIGKILL");
    const done = await within(printed, GRACE);
    splitter.flush();
    if (!done) await reader.cancel().catch(() => {});
    // What is being written may stay so, for the same reason.
    await within(this.#writer.abort().catch(() => {}), GRACE);
    this.#options.onGone?.();
  }

  /** The next bytes; `null` at the end. */
  async read(): Promise<Uint8Array | null> {
    this.#lent = false;
    if (this.#rest.length > 0) {
      const rest = this.#rest;
      this.#rest = new Uint8Array(0);
      return rest;
    }
    try {
      const { value, done } = await this.#reader.read(this.#buffer);
      if (done) return null;
      if (value.length > SMALL) {
        this.#lent = this.#borrows?.() === true;
        this.#buffer = this.#lent
          ? new Uint8Array(value.buffer)
          : new Uint8Array(READ_SIZE);
        return value;
      }
      // The large buffer is used again: collecting one for each answer would
      // cost more than all else that a call does.
      this.#buffer = new Uint8Array(value.buffer);
      return value.slice();
    } catch {
      // Cancelled or broken: the same as the end.
      return null;
    }
  }

  /** Gives back bytes that are for who reads next. */
  unread(bytes: Uint8Array): void {
    this.#rest = bytes;
  }

  start(events: TransportEvents): void {
    this.#borrows = events.borrows;
    const read = this.#pump(events);
    void (async () => {
      // Its end is known by its process; a pipe alone can stay open without
      // it, or be closed before it.
      const status = this.#process.status;
      await Promise.race([read, status]);
      // What it has written is still to be taken, where that has to wait for room.
      const all = Promise.all([read, this.gone]);
      while (!await within(all, GRACE * 4) && this.#full) await this.#full;
      events.end(this.reason());
      await this.#reader.cancel().catch(() => {});
    })();
  }

  async #pump(events: TransportEvents): Promise<void> {
    for (;;) {
      const chunk = await this.read();
      if (!chunk) return;
      this.#full = events.data(chunk, this.#lent);
      if (this.#full) await this.#full;
      this.#full = undefined;
    }
  }

  async write(chunk: Uint8Array): Promise<void> {
    try {
      await this.#writer.write(chunk);
    } catch {
      // Broken: its end is noticed by who reads.
    }
  }

  /** Closes its input and sees to it that it ends, by itself if it likes. */
  close(patience = 0): void {
    void this.#writer.close().catch(() => {});
    void this.#reader.cancel().catch(() => {});
    if (this.#detached && !this.#asked && !this.#options.carrier) {
      // It outlives this process, which does not wait for it.
      void this.#errors.cancel().catch(() => {});
      this.#process.unref();
      return;
    }
    // Whoever closes first has no more to say to it: no time to be lost.
    if (!this.#asked) this.reap(patience);
  }

  letGo(): boolean {
    return this.#detached = this.#options.detachable ?? false;
  }

  /** Why it is gone, as far as that is known. */
  reason(): CloseReason {
    const status = this.#exited;
    if (this.#detached && (!status || this.#options.carrier)) return DETACHED;
    if (!status) return { kind: "eof", message: "its connection ended" };
    const { code, signal } = status;
    const last = this.tail.last();
    const said = last ? `: ${last}` : "";
    return signal
      ? {
        kind: "signal",
        message: `its process was ended by ${signal}${said}`,
        code,
        signal,
      }
      : {
        kind: "exit",
        message: `its process exited with code ${code}${said}`,
        code,
      };
  }

  reap(timeout: number): void {
    if (this.#exited || this.#asked) return;
    this.#asked = true;
    this.#timers.push(
      setTimeout(() => this.#signal("SIGTERM"), timeout),
      setTimeout(() => this.#signal("SIGKILL"), timeout + MERCY),
    );
  }

  /** Signals the whole group where that is allowed, else the process. */
  #signal(signal: Deno.Signal): void {
    try {
      return Deno.kill(-this.pid, signal);
    } catch {
      // Not allowed, or nobody left.
    }
    try {
      if (!this.#exited) this.#process.kill(signal);
    } catch {
      // It has ended meanwhile.
    }
  }
}

async function drain(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  take: (chunk: Uint8Array) => void,
): Promise<void> {
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      take(value);
    }
  } catch {
    // Cancelled or broken: the same as the end.
  }
}
