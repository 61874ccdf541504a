import type { DockerOptions } from "../../core/mod.ts";
import { flag, type Reason, type Tool, word } from "../containers.ts";

/** What Docker says, and Podman after it. */
const REASONS: Reason[] = [
  [
    /permission denied while trying to connect|pull access denied|unauthorized:|authentication required/i,
    "auth",
  ],
  [
    /Cannot connect to the (Docker|Podman) |no such (container|image)|no container with name|container \S+ is not running|can only create exec sessions on running|unable to find (user|group) |no matching entries in passwd|Unable to find image|manifest unknown|did not resolve to|invalid reference format/i,
    "not-found",
  ],
];

/** Docker, or what takes its command line. */
export function dockerLike(
  program: (options: DockerOptions) => string,
): Tool<DockerOptions> {
  return {
    place: ({ container, image }) => container ?? image!,
    argv(options, sh) {
      const { container, image, username } = options;
      if ((container === undefined) === (image === undefined)) {
        throw new TypeError(
          "Cannot connect: give either the container or the image",
        );
      }
      const user = flag("--user", "user name", username);
      if (container !== undefined) {
        const name = word("container", container);
        return [program(options), "exec", "--interactive", ...user, "--"]
          .concat(name, sh);
      }
      // What the image would run by itself must not come before us.
      const [entry, ...args] = sh;
      return [program(options), "run", "--interactive", "--rm", ...user]
        .concat(`--entrypoint=${entry}`, "--", word("image", image!), args);
    },
    reasons: REASONS,
  };
}

/** A container of Docker. */
export const docker: Tool<DockerOptions> = dockerLike(
  ({ dockerPath = "docker" }) => dockerPath,
);
