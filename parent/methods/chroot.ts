import type { ChrootOptions, Context } from "../../core/mod.ts";
import type { Attempt } from "../connect.ts";
import { placeName, type Reason } from "../containers.ts";
import { enter, type User } from "../enter.ts";

const REASONS: Reason[] = [
  [/chroot: .*(not permitted|Permission denied)/i, "auth"],
  [
    /chroot: (cannot change root directory|can't change root|.*: No such file)/i,
    "not-found",
  ],
];

/** chroot's command line up to the program that is to run there. */
export function chrootArgs(
  { chrootPath = "chroot", path }: ChrootOptions,
  user?: User,
): string[] {
  if (typeof path !== "string" || path === "" || path.includes("\0")) {
    throw new TypeError(
      `Cannot connect: the path ${
        JSON.stringify(path)
      } is no text, empty, or holds a NUL`,
    );
  }
  return [
    chrootPath,
    // By number: the names of this machine mean nothing there.
    ...(user ? [`--userspec=${user.uid}:${user.gid}`, "--groups="] : []),
    path.startsWith("-") ? `./${path}` : path,
  ];
}

/** Opens a context under another root directory. */
export function connectChroot(
  attempt: Attempt,
  options: ChrootOptions,
): Promise<Context> {
  const [path] = chrootArgs(options).slice(-1);
  // What cannot be a name is shown as _; whoever minds gives a name.
  // deno-lint-ignore no-control-regex
  const place = path!.replace(/[\x00-\x1f\x7f]/g, "_");
  return enter(attempt, options, {
    name: placeName("chroot", place.replace(/^\/(?=.)/, "")),
    username: options.username,
    argv: (user) => chrootArgs(options, user),
    reasons: REASONS,
  });
}
