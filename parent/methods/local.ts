import { type Context, type LocalOptions } from "../../core/mod.ts";
import type { Attempt } from "../connect.ts";
import { firstStage } from "../first_stage.ts";
import { permissionFlags, resolvePermissions } from "../permissions.ts";
import { connectProcess } from "../process_context.ts";

/** Opens a child process on this machine, under the same user. */
export function connectLocal(
  attempt: Attempt,
  options: LocalOptions,
): Promise<Context> {
  const script = firstStage({
    path: options.deno?.path ?? Deno.execPath(),
    flags: permissionFlags(resolvePermissions(options.permissions)),
  });
  return connectProcess(attempt, options, {
    command: "sh",
    args: ["-c", script],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
    name: attempt.parent.serial("local"),
    eager: true,
  });
}
