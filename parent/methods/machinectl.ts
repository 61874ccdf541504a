import type { MachinectlOptions } from "../../core/mod.ts";
import { flag, type Tool, word } from "../containers.ts";

/**
 * A machine that systemd-machined knows. `machinectl shell` itself puts a
 * terminal in between, which bytes do not survive: `systemd-run` asks the same
 * machine for the same, over pipes.
 */
export const machinectl: Tool<MachinectlOptions> = {
  place: ({ container }) => container,
  argv: (options, [sh, ...args]) => [
    options.systemdRunPath ?? "systemd-run",
    `--machine=${word("container", options.container)}`,
    ...flag("--uid", "user name", options.username ?? "root"),
    "--quiet",
    "--collect",
    "--wait",
    "--pipe",
    "--",
    `/bin/${sh}`,
    // A service manager sets in variables; two of these stand for one.
    ...args.map((arg) => arg.replaceAll("$", "$$$$")),
  ],
  reasons: [
    [/Access denied|Interactive authentication|not permitted/i, "auth"],
    [
      /No machine|Failed to (get|find) machine|Failed to connect|Failed to determine user|does not exist|Unknown user/i,
      "not-found",
    ],
  ],
};
