import type { Keepalive } from "../core/mod.ts";

/** When a neighbour that says nothing is taken for lost. */
export interface KeepaliveOptions {
  /** Seconds between signs of life; 0 asks for none. @default {15} */
  keepaliveInterval?: number;
  /** Signs of life that may be missed. @default {3} */
  keepaliveCount?: number;
}

/** @throws {RangeError} on what is no number of seconds, or no count */
export function keepaliveOf(
  options: KeepaliveOptions,
  action = "connect",
): Keepalive {
  const { keepaliveInterval: seconds = 15, keepaliveCount: count = 3 } =
    options;
  if (!(seconds >= 0 && seconds < 1e6)) {
    throw new RangeError(`Cannot ${action}: keepaliveInterval is ${seconds}`);
  }
  if (!(Number.isInteger(count) && count > 0)) {
    throw new RangeError(`Cannot ${action}: keepaliveCount is ${count}`);
  }
  return { interval: seconds * 1000, count };
}

/** Tells a process of this machine that computes from one that stands still. */
export class Activity {
  readonly #pid: number;
  #ticks = 0;

  constructor(pid: number) {
    this.#pid = pid;
  }

  /** Whether it has computed since this was last asked; only known on Linux. */
  isBusy(): boolean {
    try {
      const stat = Deno.readTextFileSync(`/proc/${this.#pid}/stat`);
      // What is behind the name, which may hold anything.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const ticks = Number(fields[11]) + Number(fields[12]);
      const busy = ticks > this.#ticks;
      this.#ticks = ticks;
      return busy;
    } catch {
      return false;
    }
  }
}
