import type { LxcOptions } from "../../core/mod.ts";
import { type Tool, word } from "../containers.ts";

/** A container of classic LXC. */
export const lxc: Tool<LxcOptions> = {
  place: ({ container }) => container,
  argv: ({ lxcAttachPath = "lxc-attach", container }, sh) => [
    lxcAttachPath,
    "--clear-env",
    `--name=${word("container", container)}`,
    "--",
    ...sh,
  ],
  reasons: [
    [/Insufficient privileges|Permission denied|not permitted/i, "auth"],
    [/Failed to get init pid|doesn't exist|is not running/i, "not-found"],
  ],
};
