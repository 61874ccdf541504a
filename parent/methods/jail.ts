import type { JailOptions } from "../../core/mod.ts";
import { type Tool, word } from "../containers.ts";

/** A jail of FreeBSD. */
export const jail: Tool<JailOptions> = {
  place: ({ container }) => container,
  argv: ({ jexecPath = "jexec", container, username }, sh) => [
    jexecPath,
    ...(username === undefined ? [] : ["-U", word("user name", username)]),
    word("container", container),
    ...sh,
  ],
  reasons: [
    [/not permitted|permission denied/i, "auth"],
    [/jail .* not found|no such user|unknown jail/i, "not-found"],
  ],
};
