import {
  ConnectError,
  type Context,
  type SetnsKind,
  type SetnsOptions,
} from "../../core/mod.ts";
import { ask } from "../ask.ts";
import type { Attempt } from "../connect.ts";
import { explainWith, placeName, type Reason, word } from "../containers.ts";
import { enter, type User } from "../enter.ts";
import { childPath } from "../process_context.ts";
import { Tail } from "../tail.ts";
import { docker } from "./docker.ts";
import { lxc } from "./lxc.ts";
import { lxd } from "./lxd.ts";
import { machinectl } from "./machinectl.ts";

const REASONS: Reason[] = [
  [/nsenter: .*(not permitted|Permission denied)/i, "auth"],
  [/nsenter: .*No such (file or directory|process)/i, "not-found"],
  [
    /nsenter: set[ug]id failed: Invalid argument/,
    "not-found",
    "the user namespace has no number for that user",
  ],
];

/** How to ask for the first process of a container. */
interface Leader {
  program(options: SetnsOptions): string;
  args(name: string): string[];
  /** Finds the number in what is said. */
  pattern: RegExp;
  reasons: Reason[];
}

const inspect = (name: string) => [
  "inspect",
  "--type=container",
  "--format={{.State.Pid}}",
  "--",
  name,
];
const PID = /^\s*(?:PID:\s*)?(\d+)\s*$/im;

const LEADERS: Record<SetnsKind, Leader> = {
  docker: {
    program: ({ dockerPath = "docker" }) => dockerPath,
    args: inspect,
    pattern: PID,
    reasons: docker.reasons,
  },
  podman: {
    program: ({ podmanPath = "podman" }) => podmanPath,
    args: inspect,
    pattern: PID,
    reasons: docker.reasons,
  },
  lxc: {
    program: ({ lxcInfoPath = "lxc-info" }) => lxcInfoPath,
    args: (name) => [`--name=${name}`, "--pid"],
    pattern: PID,
    reasons: lxc.reasons,
  },
  lxd: {
    program: ({ lxcPath = "lxc" }) => lxcPath,
    args: (name) => ["info", name],
    pattern: PID,
    reasons: lxd.reasons,
  },
  incus: {
    program: ({ incusPath = "incus" }) => incusPath,
    args: (name) => ["info", name],
    pattern: PID,
    reasons: lxd.reasons,
  },
  machinectl: {
    program: ({ machinectlPath = "machinectl" }) => machinectlPath,
    args: (name) => ["show", "--property=Leader", "--", name],
    pattern: /^Leader=(\d+)$/m,
    reasons: machinectl.reasons,
  },
};

/** The command line that asks for the process of a container. */
export function leaderArgs(options: SetnsOptions): string[] {
  const { container, kind } = options;
  if (container === undefined || !kind || !Object.hasOwn(LEADERS, kind)) {
    throw new TypeError(
      `Cannot connect: give the pid, or the container and its kind: ${
        Object.keys(LEADERS).join(", ")
      }`,
    );
  }
  const { program, args } = LEADERS[kind];
  return [program(options), ...args(word("container", container))];
}

/** nsenter's command line up to the program that is to run there. */
export function nsenterArgs(
  { nsenterPath = "nsenter" }: SetnsOptions,
  pid: number,
  user?: User,
): string[] {
  return [
    nsenterPath,
    `--target=${pid}`,
    // Those that are the same are left out; its root may be another still.
    "--all",
    "--root",
    ...(user ? [`--setgid=${user.gid}`, `--setuid=${user.uid}`] : []),
    "--",
  ];
}

/** Opens a context in the namespaces of a process. */
export async function connectSetns(
  attempt: Attempt,
  options: SetnsOptions,
): Promise<Context> {
  const { container, pid, kind } = options;
  if (pid === undefined) leaderArgs(options);
  else if (container !== undefined || !Number.isInteger(pid) || pid < 1) {
    throw new TypeError(
      `Cannot connect: give either the container or the pid, a whole number from 1; the pid is ${pid}`,
    );
  }
  const name = placeName("setns", container ?? String(pid));
  const target = pid ?? await leader(attempt, { name, ...options }, kind!);
  return await enter(attempt, options, {
    name,
    username: options.username,
    argv: (user) => nsenterArgs(options, target, user),
    reasons: REASONS,
  });
}

/** Asks a tool for the first process of a container. */
async function leader(
  attempt: Attempt,
  options: SetnsOptions & { name: string },
  kind: SetnsKind,
): Promise<number> {
  const { pattern, reasons } = LEADERS[kind];
  const path = childPath(attempt.parent, options.name);
  const [command, ...args] = leaderArgs(options);
  const text = await ask(attempt, {
    path,
    command: command!,
    args,
    explain: explainWith(reasons),
  });
  const pid = Number(text.match(pattern)?.[1] ?? 0);
  if (pid < 1) {
    throw new ConnectError(
      `Cannot connect to ${path}: the container "${options.container}" has no process: start it first`,
      {
        kind: "not-found",
        hop: path,
        command: [command, ...args].join(" "),
        tail: Tail.of(text),
      },
    );
  }
  return pid;
}
