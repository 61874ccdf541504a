import { type Context, type LocalOptions } from "../../core/mod.ts";
import type { Attempt } from "../connect.ts";
import { type DirectWay, lendWay } from "../direct.ts";
import { firstStage } from "../first_stage.ts";
import { permissionFlags, resolvePermissions } from "../permissions.ts";
import { connectProcess } from "../process_context.ts";

/** Opens a child process on this machine, under the same user. */
export async function connectLocal(
  attempt: Attempt,
  options: LocalOptions,
): Promise<Context> {
  const { deno } = options;
  const path = ownPath(options);
  const permissions = resolvePermissions(options.permissions);
  const script = firstStage({
    ...(path === undefined ? {} : { path }),
    deno,
    flags: permissionFlags(permissions),
  });
  const context = await connectProcess(attempt, options, {
    command: "sh",
    args: ["-c", script],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
    name: attempt.parent.serial("local"),
    near: true,
    eager: (path ?? deno?.path) !== undefined,
  });
  if (permissions.run === true) lendWay(context, HERE);
  return context;
}

/** What such a context can start, can be started from here. */
const HERE: DirectWay = {
  ready: () => true,
  command: (script) => ["env", "-i", "/bin/sh", script],
  here: true,
  limit: Infinity,
};

/** The Deno that this process runs on, unless another is asked for. */
function ownPath({ deno }: LocalOptions): string | undefined {
  if (deno?.path !== undefined) return deno.path;
  // What a compiled program runs on is the program.
  if (deno?.ship === "always" || Deno.build.standalone) return undefined;
  if (deno?.version !== undefined && deno.version !== Deno.version.deno) {
    return undefined;
  }
  const path = Deno.execPath();
  // What Linux says of an executable that was deleted, as `cacheDir: null` does.
  // It can be run as long as this process does.
  return path.endsWith(" (deleted)") ? `/proc/${Deno.pid}/exe` : path;
}
