/**
 * The ways into places of this machine that no container tool stands before:
 * `setns` and `chroot`.
 *
 * A program of this machine goes there as root and runs the `sh` of the place.
 * Its environment does not go along: the place may belong to somebody else.
 *
 * @module
 */
import {
  ConnectError,
  type ConnectOptions,
  type Context,
} from "../core/mod.ts";
import { ask } from "./ask.ts";
import type { Attempt } from "./connect.ts";
import { explainWith, type Reason, script, word } from "./containers.ts";
import { childPath, connectProcess } from "./process_context.ts";
import { Tail } from "./tail.ts";

/** How a place is entered. */
export interface Entrance {
  /** Name of the context. */
  name: string;
  /** User of the place, by name. */
  username: string | undefined;
  /** The command line up to the `sh` of the place, for a user where one is given. */
  argv(user?: User): string[];
  /** What its messages mean. */
  reasons: Reason[];
}

/** A user, as the place knows it. */
export interface User {
  uid: string;
  gid: string;
  home: string;
  shell: string;
}

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Finds a user with nothing but `sh`: the place need not have more. */
const LOOKUP =
  'while IFS=: read -r n p u g c h s;do [ "$n" = "$1" ]||continue;echo "$u:$g:$h:$s";exit;done </etc/passwd;exit 3';

/** Opens a context in a place that is entered. */
export async function enter(
  attempt: Attempt,
  options: ConnectOptions,
  entrance: Entrance,
): Promise<Context> {
  const { username, reasons } = entrance;
  const explain = explainWith(reasons);
  const name = options.name ?? entrance.name;
  const user = username === undefined
    ? undefined
    : await lookUp(attempt, childPath(attempt.parent, name), entrance);
  const [command, ...args] = entrance.argv(user);
  const login = username ?? "root";
  return await connectProcess(attempt, options, {
    command: command!,
    args: [
      ...args,
      "sh",
      "-c",
      script({ ...options, cwd: options.cwd ?? "/" }),
    ],
    clearEnv: true,
    env: {
      PATH,
      HOME: user?.home ?? "/root",
      SHELL: user?.shell || "/bin/sh",
      USER: login,
      LOGNAME: login,
    },
    name,
    eager: false,
    explain,
  });
}

async function lookUp(
  attempt: Attempt,
  path: string,
  { username, argv, reasons }: Entrance,
): Promise<User> {
  const name = word("user name", username!);
  const [command, ...args] = argv();
  const explain = explainWith(reasons);
  const fail = (message: string) => ({ kind: "not-found", message } as const);
  const text = await ask(attempt, {
    path,
    command: command!,
    args: [...args, "sh", "-c", LOOKUP, "sh", name],
    clearEnv: true,
    env: { PATH },
    explain: (tail, { code }) =>
      explain(tail) ??
        (code === 3 ? fail(`there is no user "${name}" there`) : undefined),
  });
  // Whoever owns the place wrote this: it is used only where it fits.
  const match = text.match(
    /^(\d{1,10}):(\d{1,10}):(\/[^:\0\n]*)?:([^:\0\n]*)\n/,
  );
  if (!match) {
    throw new ConnectError(
      `Cannot connect to ${path}: what /etc/passwd there says of "${name}" cannot be read`,
      {
        kind: "bootstrap",
        hop: path,
        command: command!,
        tail: Tail.of(text),
      },
    );
  }
  const [, uid, gid, home = "/", shell] = match;
  return { uid: uid!, gid: gid!, home, shell: shell! };
}
