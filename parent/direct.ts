/**
 * Ways that a connection has to spare: what opened a context can often start a
 * command at its end as well, whose bytes then need not go through the context.
 *
 * @module
 */
import type { Context } from "../core/mod.ts";

/** Starts commands where a context is, beside its link. */
export interface DirectWay {
  /** Whether it can be used now. */
  ready(): boolean;
  /** The command that runs a script of {@linkcode stage} there. */
  command(script: string): string[];
  /** Whether what it starts is a process of this machine. */
  here: boolean;
  /** How many it can carry at once. */
  limit: number;
}

const ways = new WeakMap<Context, DirectWay>();

/**
 * Notes such a way. Only for contexts that were given leave to run any program:
 * whoever uses it runs what the context says.
 */
export function lendWay(context: Context, way: DirectWay): void {
  ways.set(context, way);
}

/** The direct way to a context, where this process has one. */
export function directWay(context: Context): DirectWay | undefined {
  return ways.get(context);
}
