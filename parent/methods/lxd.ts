import type { ConnectOptions, LxdOptions } from "../../core/mod.ts";
import { type Reason, type Tool, word } from "../containers.ts";

/** What LXD says, and Incus after it. */
const REASONS: Reason[] = [
  [/permission denied|not authorized|Forbidden/i, "auth"],
  [
    /not found|isn't running|is not running|is the (LXD|Incus) daemon running|Can't connect to|no such file or directory|connection refused|doesn't exist/i,
    "not-found",
  ],
];

/** LXD, or what takes its command line. Without a terminal: that has limits. */
export function lxdLike<O extends ConnectOptions & { container: string }>(
  program: (options: O) => string,
): Tool<O> {
  return {
    place: ({ container }) => container,
    argv: (options, sh) => [
      program(options),
      "exec",
      "--mode=non-interactive",
      word("container", options.container),
      "--",
      ...sh,
    ],
    reasons: REASONS,
  };
}

/** An instance of LXD. */
export const lxd: Tool<LxdOptions> = lxdLike(
  ({ lxcPath = "lxc" }: LxdOptions) => lxcPath,
);
