import type { Context, DoasOptions } from "../../core/mod.ts";
import type { Attempt } from "../connect.ts";
import { checkUser, connectPrivileged } from "../privilege.ts";

/** Opens a context under another user with doas. */
export function connectDoas(
  attempt: Attempt,
  options: DoasOptions,
): Promise<Context> {
  const username = checkUser(options.username ?? "root");
  return connectPrivileged(attempt, options, {
    name: "doas",
    path: options.doasPath ?? "doas",
    username,
    password: options.password,
    asks: "tty",
    asksWithout: false,
    args: (script) => [...doasArgs(options), "sh", "-c", script],
  });
}

/** doas's arguments up to the command. */
export function doasArgs(options: DoasOptions): string[] {
  const { username = "root" } = options;
  return ["-u", username, ...options.doasArgs ?? [], "--"];
}
