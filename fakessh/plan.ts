import {
  parseSshArgs,
  type SshCommandLine,
  UsageError,
} from "./command_line.ts";
import type { Hello } from "./wire.ts";

/** What is to be done for a command line of ssh. */
export type Plan =
  | { kind: "answer"; stdout: string; stderr: string; code: number }
  | RunPlan;

/** A command is to be run. */
export interface RunPlan {
  /** Tells it from an answer that needs no command. */
  kind: "run";
  /** For the login shell, none to log in; or the name of a subsystem. */
  command: string;
  /** Whether `command` is the name of a subsystem. */
  subsystem: boolean;
  /** Whether it gets a terminal. */
  pty: boolean;
  /** Whether its input is empty. */
  nullInput: boolean;
  /** Variables that the client asked to be set. */
  env: Record<string, string>;
  /** What is to be said before; for stderr. */
  notes: string[];
  /** What of the command line means nothing here; for the log. */
  ignored: string[];
}

/** Options that would make ssh do something else than run a command. */
const REFUSED: Record<string, string> = {
  D: "a proxy",
  L: "the forwarding of a port",
  R: "the forwarding of a port",
  W: "a connection to another host",
  w: "a tunnel",
  N: "no command at all",
  f: "to go to the background",
};

/** The same as `-o`. */
const REFUSED_SETTINGS: Record<string, string> = {
  dynamicforward: "D",
  localforward: "L",
  remoteforward: "R",
};

/** Variables that `SendEnv` and `SetEnv` may set; what sshd takes on Debian, and git's. */
const ACCEPTED = /^(?:LANG|LC_\w+|COLORTERM|NO_COLOR|GIT_PROTOCOL)$/;

function refuse(option: string): never {
  throw new Error(
    `Cannot do what -${option} asks for: it wants ${
      REFUSED[option]
    }, and there is only a command to be run over a connection that exists; leave it out, or call the real ssh`,
  );
}

function failure(message: string): Plan {
  return {
    kind: "answer",
    stdout: "",
    stderr: `fakessh: ${message}\r\n`,
    code: 255,
  };
}

const isYes = (value: string | undefined) =>
  value !== undefined && /^(yes|true)$/i.test(value);

/** Decides what to do for what a client was called with. */
export function planFor(hello: Hello): Plan {
  try {
    return plan(parseSshArgs(hello.args), hello);
  } catch (error) {
    const { message } = error as Error;
    return error instanceof UsageError
      ? failure(
        `${message}\r\nusage: ssh [options] destination [command [argument ...]]`,
      )
      : failure(message);
  }
}

function plan(line: SshCommandLine, hello: Hello): Plan {
  const { settings } = line;
  const answer = (stdout: string): Plan => ({
    kind: "answer",
    stdout,
    stderr: "",
    code: 0,
  });
  if (line.flags.includes("V")) {
    return {
      ...answer(""),
      stderr: "fakessh, which stands in for OpenSSH\r\n",
    } as Plan;
  }
  if (line.flags.includes("G")) return answer(describe(line));
  for (const [option, value] of line.options) {
    // Questions to a ControlMaster: the connection is there, and stays.
    if (option === "O" && value === "check") {
      return { ...answer(""), stderr: "Master running\r\n" } as Plan;
    }
    if (option === "O") return failure(`Cannot do what -O ${value} asks for`);
    if (option === "Q") {
      return failure("Cannot do what -Q asks for: there are no ciphers here");
    }
  }
  checkRefused(line);
  let { command } = line;
  const remote = settings.get("remotecommand");
  if (command === undefined && remote !== undefined && remote !== "none") {
    command = remote;
  }
  // As for ssh, an empty one is none.
  command ??= "";
  const notes: string[] = [];
  return {
    kind: "run",
    command,
    subsystem: line.subsystem || settings.get("sessiontype") === "subsystem",
    pty: wantsPty(line, command === "", hello, notes),
    nullInput: line.nullInput || isYes(settings.get("stdinnull")),
    env: environment(line, hello),
    notes,
    ignored: [
      ...line.flags.map((flag) => `-${flag}`),
      ...line.options.map(([option, value]) => `-${option} ${value}`),
      ...[...settings].map(([key, value]) => `-o ${key}=${value}`),
    ],
  };
}

function checkRefused({ flags, options, settings }: SshCommandLine): void {
  const asked = [...flags, ...options.map(([option]) => option)];
  for (const option of asked) {
    if (Object.hasOwn(REFUSED, option)) refuse(option);
  }
  if (settings.get("sessiontype") === "none") refuse("N");
  if (isYes(settings.get("forkafterauthentication"))) refuse("f");
  const tunnel = settings.get("tunnel");
  if (tunnel !== undefined && tunnel !== "no") refuse("w");
  if (isYes(settings.get("clearallforwardings"))) return;
  for (const [key, option] of Object.entries(REFUSED_SETTINGS)) {
    if (settings.has(key)) refuse(option);
  }
}

/**
 * As ssh decides it: to log in or asked for, and where there is a terminal; or
 * asked for twice.
 */
function wantsPty(
  line: SshCommandLine,
  login: boolean,
  { terminals }: Hello,
  notes: string[],
): boolean {
  let wanted = line.tty;
  if (wanted === 0) {
    const request = line.settings.get("requesttty")?.toLowerCase();
    if (request === "force") wanted = 2;
    else if (isYes(request) || (login && request !== "no")) wanted = 1;
  }
  if (wanted < 1) return false;
  if (terminals[0] || wanted > 1) return true;
  if (!line.quiet) {
    notes.push(
      "Pseudo-terminal will not be allocated because stdin is not a terminal.\r\n",
    );
  }
  return false;
}

function environment(
  { settings }: SshCommandLine,
  hello: Hello,
): Record<string, string> {
  const env: Record<string, string> = {};
  const patterns = (settings.get("sendenv") ?? "").split(/\s+/)
    .filter((pattern) => pattern !== "" && !pattern.startsWith("-"))
    .map((pattern) =>
      new RegExp(
        `^${
          pattern.replace(/[^\w*?]/g, "\\$&").replace(/\*/g, ".*")
            .replace(/\?/g, ".")
        }$`,
      )
    );
  for (const [name, value] of Object.entries(hello.env)) {
    if (ACCEPTED.test(name) && patterns.some((p) => p.test(name))) {
      env[name] = value;
    }
  }
  const set = settings.get("setenv") ?? "";
  for (const [, name, quoted, plain] of set.matchAll(SET_ENV)) {
    if (ACCEPTED.test(name!)) env[name!] = quoted ?? plain!;
  }
  return env;
}

const SET_ENV = /(\w+)=(?:"([^"]*)"|(\S*))/g;

/** What `-G` prints, as far as it is known here. */
function describe({ host, user, port }: SshCommandLine): string {
  const lines = [`host ${host}`, `hostname ${host}`];
  if (user !== undefined) lines.push(`user ${user}`);
  lines.push(`port ${port ?? 22}`);
  return lines.join("\n") + "\n";
}
