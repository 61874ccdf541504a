/**
 * What a context needs to open others: the first stage, the ways in, ids,
 * routes, modules for those below.
 *
 * Needs the permission to run programs. It is sent to a context when that must
 * open others.
 *
 * @module
 */
import type { Router } from "../core/mod.ts";
import { Parent } from "./parent.ts";

export * from "./connect.ts";
export * from "./connect_spec.ts";
export * from "./first_stage.ts";
export * from "./parent.ts";
export * from "./permissions.ts";
export * from "./processes.ts";
export * from "./quote.ts";
export * from "./remote_process.ts";
export * from "./spec.ts";
export { doasArgs } from "./methods/doas.ts";
export { sshArgs } from "./methods/ssh.ts";
export { suArgs } from "./methods/su.ts";
export { sudoArgs } from "./methods/sudo.ts";

/** Ends all contexts that a router opened. */
export function shutdown(router: Router): Promise<void> {
  return Parent.of(router).shutdown();
}
