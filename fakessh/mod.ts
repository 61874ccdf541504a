/**
 * The ssh stand-in: rsync, scp, sftp, git and scripts that call ssh, over the
 * connections that exist.
 *
 * Needs the permissions `run`, `env` and `net` (for a Unix socket), and `read`
 * and `write` of the folder for temporary files.
 *
 * @module
 */
export * from "./command_line.ts";
export type { Door, Order, Passed } from "./door.ts";
export type { RunPlan } from "./plan.ts";
export type { StartOptions, TerminalSize } from "./remote.ts";
export { run, runBehind, type RunOptions } from "./run.ts";
