import { errorMessage } from "../core/mod.ts";
import { within } from "../parent/mod.ts";
import type { Direct } from "./direct.ts";
import type { Served, Start } from "./door.ts";
import type { Invocation } from "./host.ts";
import { planFor, type RunPlan } from "./plan.ts";
import { type Control, Frame, writeAll } from "./wire.ts";

/** What ssh exits with when the failure is its own. */
const FAILED = 255;

/** Milliseconds that a context takes at most to be gone. */
const ENDING = 5000;

/** Milliseconds that a command has for its end when its client is gone. */
const HANGUP = 250;

/** `r` */
const REFUSED = 0x72;

/** Bytes that are read from a client at a time. */
const CHUNK = 128 * 1024;

const encoder = new TextEncoder();

/** Takes what may be of interest when something is looked into. */
export type Debug = (message: string) => void;

/**
 * Does what one client asks for. Resolves when the client is gone.
 *
 * @param start starts its command
 */
export async function serve(
  start: Start,
  invocation: Invocation,
  debug: Debug = () => {},
): Promise<void> {
  const { control, data } = invocation;
  const plan = planFor(invocation);
  let code = FAILED;
  const cleared: Promise<void>[] = [];
  if (plan.kind === "answer") {
    if (plan.stderr) await control.say(plan.stderr);
    if (plan.stdout) {
      await writeAll((await data).conn, encoder.encode(plan.stdout))
        .catch(() => {});
    }
    code = plan.code;
  } else {
    for (const note of plan.notes) await control.say(note);
    if (plan.ignored.length > 0) {
      debug(`means nothing here: ${plan.ignored.join(" ")}`);
    }
    try {
      code = await attach(start, plan, invocation, cleared);
    } catch (error) {
      await control.say(`fakessh: ${errorMessage(error)}\r\n`);
    }
  }
  await leave(invocation, code);
  await Promise.all(cleared);
}

/** Tells the client how it ended, and waits until it is gone. */
async function leave(
  { control, data }: Invocation,
  code: number,
): Promise<void> {
  try {
    const { conn } = await data;
    await conn.closeWrite().catch(() => {});
    await control.send(Frame.EXIT, new Uint8Array([code]));
    // It may have output to write still.
    while (await control.read());
  } catch {
    // It is gone already.
  }
}

/**
 * Runs a command for a client, and answers what ssh would exit with.
 *
 * @param cleared takes what has to be done when the client has its answer
 */
async function attach(
  start: Start,
  plan: RunPlan,
  { binary, control, data, rows, columns, env, terminals, uid }: Invocation,
  cleared: Promise<void>[],
): Promise<number> {
  const options = {
    binary,
    terminal: { rows, columns, term: env.TERM ?? "" },
    note: (text: string) => void control.say(text),
  };
  const direct = await start.direct?.(plan, { ...options, terminals, uid });
  if (direct) {
    const code = await runByClient(direct, control, cleared);
    if (code !== undefined) return code;
  }
  const process = await start(plan, options);
  try {
    return await new Attached(process, control, plan).run(await data);
  } finally {
    await process[Symbol.asyncDispose]();
  }
}

/**
 * Has the client run a command by itself, and answers what it exited with;
 * `undefined` when that way is not there after all, and nothing has run.
 */
async function runByClient(
  direct: Direct,
  control: Control,
  cleared: Promise<void>[],
): Promise<number | undefined> {
  let ended = false;
  try {
    const words = [direct.flags, ...direct.argv].join("\0");
    await control.send(Frame.RUN, encoder.encode(words));
    const done = await Promise.race([doneWith(control), direct.lost]);
    ended = true;
    const { code, refused } = done;
    // Who carried it says the same when it could not.
    if (code !== FAILED) return code;
    const begun = await direct.hasBegun();
    if (begun) return code;
    if (refused) {
      direct.refuse();
      return undefined;
    }
    // A context that is shutting down has ended it, and is gone soon.
    if (begun === undefined) {
      await within(direct.lost, ENDING);
      return code;
    }
    // Its input may have been read: it is not to be run without its beginning.
    throw new Error("the command could not be started");
  } finally {
    // A context that is lost has ended it by itself.
    cleared.push(direct.done(!ended).catch(() => {}));
  }
}

/** The exit code of what the client runs, and whether its session was refused. */
async function doneWith(
  control: Control,
): Promise<{ code: number; refused: boolean }> {
  for (;;) {
    const frame = await control.read();
    if (!frame) throw new Error("the client is gone");
    if (frame[0] !== Frame.DONE) continue;
    const [code = FAILED, why] = frame[1];
    return { code, refused: why === REFUSED };
  }
}

/** A client and the process that runs for it. */
class Attached {
  readonly #process: Served;
  readonly #control: Control;
  readonly #plan: RunPlan;
  readonly #output: ReadableStreamDefaultReader<Uint8Array>;

  constructor(process: Served, control: Control, plan: RunPlan) {
    this.#process = process;
    this.#control = control;
    this.#plan = plan;
    this.#output = process.stdout.getReader();
  }

  /** Carries all there is, and answers what ssh would exit with. */
  async run(data: { conn: Deno.Conn; rest: Uint8Array }): Promise<number> {
    const { pty, nullInput } = this.#plan;
    if (nullInput) {
      await this.#control.send(Frame.STOP);
      void this.#process.stdin.close().catch(() => {});
    } else {
      await this.#control.send(Frame.GO, encoder.encode(pty ? "r" : ""));
      void this.#up(data.conn, data.rest);
    }
    const done = Promise.all([
      this.#process.status,
      this.#down(data.conn),
      pty ? undefined : this.#errors(),
    ]);
    const [{ code, signal }] = await Promise.race([done, this.#listen()]);
    // ssh is told of signals, and does not know what to do with them.
    return signal ? FAILED : code;
  }

  /** What the client has to say beside its input. Ends when it is gone. */
  async #listen(): Promise<never> {
    for (;;) {
      const frame = await this.#control.read();
      if (!frame) break;
      const [kind, bytes] = frame;
      if (kind === Frame.DEAF) void this.#output.cancel().catch(() => {});
      if (kind === Frame.SIZE && this.#plan.pty) {
        const [rows, columns] = new TextDecoder().decode(bytes).split(" ");
        await this.#process.resize(Number(columns), Number(rows))
          .catch(() => {});
      }
    }
    // Its command goes too, with all of its group: as if a terminal was closed
    // first, then for good.
    await this.#process.kill("SIGHUP").catch(() => {});
    // The next signal would break off what it does on this one.
    await within(this.#process.status.catch(() => {}), HANGUP);
    throw new Error("the client is gone");
  }

  async #up(conn: Deno.Conn, rest: Uint8Array): Promise<void> {
    const writer = this.#process.stdin.getWriter();
    let open = true;
    // Nobody reads it any more: whoever writes to the client is to know.
    writer.closed.catch(() => {
      if (open) void this.#control.send(Frame.STOP).catch(() => {});
    });
    try {
      if (rest.length > 0) await writer.write(rest);
      const buffer = new Uint8Array(CHUNK);
      for (;;) {
        const count = await conn.read(buffer);
        if (count === null) break;
        await writer.write(buffer.subarray(0, count));
      }
      open = false;
      await writer.close();
    } catch {
      // One of the two is gone, which the other side is told elsewhere.
    }
  }

  async #down(conn: Deno.Conn): Promise<void> {
    let broken = false;
    for (;;) {
      const { value, done } = await this.#output.read();
      if (done) break;
      if (broken) continue;
      try {
        await writeAll(conn, value);
      } catch {
        broken = true;
        void this.#output.cancel().catch(() => {});
      }
    }
    await conn.closeWrite().catch(() => {});
  }

  async #errors(): Promise<void> {
    for await (const chunk of this.#process.stderr) {
      await this.#control.send(Frame.STDERR, chunk).catch(() => {});
    }
  }
}
