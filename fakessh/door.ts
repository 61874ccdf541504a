/**
 * A way to start commands in a context that whoever uses it may not call: its
 * owner may, and hands out this and nothing more.
 *
 * @module
 */
import type { Context, RemoteProcess } from "../core/mod.ts";
import type { RunPlan } from "./plan.ts";
import { type Direct, type DirectOptions, startDirect } from "./direct.ts";
import { start, type StartOptions } from "./remote.ts";

/** What serves a client: a {@linkcode RemoteProcess}, or what stands for one. */
export type Served =
  & Pick<
    RemoteProcess,
    "stdin" | "stdout" | "stderr" | "status" | "kill" | "resize"
  >
  & AsyncDisposable;

/** Starts a command. */
export interface Start {
  (plan: RunPlan, options: StartOptions): Promise<Served>;
  /** Has the client start it, where that can be. */
  direct?: (
    plan: RunPlan,
    options: DirectOptions,
  ) => Promise<Direct | undefined>;
}

/** What may be done to a command. */
export type Order = ["kill", Deno.Signal] | ["resize", number, number];

/** A command as it comes through a door. */
export interface Passed {
  /** Its input. */
  stdin: WritableStream<Uint8Array>;
  /** What it prints. */
  stdout: ReadableStream<Uint8Array>;
  /** What it prints to its error output, unless it has a terminal. */
  stderr: ReadableStream<Uint8Array> | undefined;
  /** Gives one value: how it ended. */
  ended: AsyncGenerator<Deno.CommandStatus>;
  /** What is to be said before its own output; for stderr. */
  notes: string[];
}

/** Starts a command; it goes when its orders end. */
export type Door = (
  plan: RunPlan,
  options: Omit<StartOptions, "note">,
  orders: ReadableStream<Order>,
) => Promise<Passed>;

/** Starts commands in a context that may be called from here. */
export function startIn(dest: Context): Start {
  const starter: Start = (plan, options) => start(dest, plan, options);
  starter.direct = (plan, options) => startDirect(dest, plan, options);
  return starter;
}

/** A door into a context that may be called from here. */
export function doorTo(dest: Context): Door {
  return async (plan, options, orders) => {
    const notes: string[] = [];
    const note = (text: string) => notes.push(text);
    const process = await start(dest, plan, { ...options, note });
    obey(process, orders).catch(() => {});
    return {
      stdin: process.stdin,
      stdout: process.stdout,
      stderr: plan.pty ? undefined : process.stderr,
      ended: (async function* () {
        yield await process.status;
      })(),
      notes,
    };
  };
}

async function obey(
  process: RemoteProcess,
  orders: ReadableStream<Order>,
): Promise<void> {
  try {
    for await (const order of orders) {
      if (order[0] === "kill") await process.kill(order[1]);
      else await process.resize(order[1], order[2]);
    }
  } catch {
    // Whoever gave them is gone, or the command is.
  } finally {
    await process[Symbol.asyncDispose]();
  }
}

/** Starts commands behind a door. */
export function startBehind(door: Door): Start {
  return async (plan, { note, ...options }) => {
    const { readable, writable } = new TransformStream<Order, Order>();
    const orders = writable.getWriter();
    orders.closed.catch(() => {});
    const passed = await door(plan, options, readable);
    for (const text of passed.notes) note(text);
    const status = passed.ended.next().then(({ value }) => value!);
    status.catch(() => {});
    return {
      stdin: passed.stdin,
      stdout: passed.stdout,
      stderr: passed.stderr!,
      status,
      kill: (signal = "SIGTERM") => orders.write(["kill", signal]),
      resize: (columns, rows) => orders.write(["resize", columns, rows]),
      async [Symbol.asyncDispose]() {
        await orders.close().catch(() => {});
        await passed.ended.return(undefined).catch(() => {});
      },
    };
  };
}
