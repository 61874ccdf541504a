import type { BuildahOptions } from "../../core/mod.ts";
import { flag, type Tool, word } from "../containers.ts";

/** A working container of Buildah. */
export const buildah: Tool<BuildahOptions> = {
  place: ({ container }) => container,
  argv({ buildahPath = "buildah", container, username }, sh) {
    const user = flag("--user", "user name", username);
    return [buildahPath, "run", ...user, "--", word("container", container)]
      .concat(sh);
  },
  reasons: [
    [/permission denied|operation not permitted/i, "auth"],
    [
      /container not known|no such container|unable to find (user|group) |error looking up user/i,
      "not-found",
    ],
  ],
};
