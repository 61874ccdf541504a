/**
 * The remote side: commands run there as sshd would run them.
 *
 * @module
 */
import {
  CallError,
  type Context,
  errorMessage,
  type RemoteCommandOptions,
  type RemoteProcess,
} from "../core/mod.ts";
import type { RunPlan } from "./plan.ts";

/** Who a context is, as its system knows it. */
interface Login {
  user: string;
  home: string;
  shell: string;
  /** Whether the home directory can be entered. */
  hasHome: boolean;
  env: Record<string, string>;
}

/**
 * Looks the user up as login does. Whatever it finds, it prints with NULs
 * between: user, home, shell, whether home is there, then the environment.
 */
const LOGIN = String.raw`
user=$(id -un)
entry=$(getent passwd "$user" 2>/dev/null) ||
  entry=$(grep "^$user:" /etc/passwd 2>/dev/null)
set -f
IFS=:
set -- $entry
unset IFS
home=$6 shell=$7
[ "$entry" ] || home=$HOME shell=$SHELL
there=0
[ -d "$home" ] && [ -x "$home" ] && there=1
printf '%s\0' "$user" "$home" "$shell" "$there"
exec env -0`;

/** What would mislead a command that is to run as if it were logged in. */
const NOT_A_LOGINS =
  /^(?:(?:GIT|RSYNC|SUDO|FAKESSH)_\w+|PWD|OLDPWD|SHLVL|BASH_ENV|ENV|_|TERM|SSH_TTY|SSH_ORIGINAL_COMMAND)$/;

const logins = new WeakMap<Context, Promise<Login>>();

/** Asked for once; a failure is not kept. */
export function loginOf(dest: Context): Promise<Login> {
  let login = logins.get(dest);
  if (!login) {
    logins.set(dest, login = askLogin(dest));
    login.catch(() => logins.delete(dest));
  }
  return login;
}

async function askLogin(dest: Context): Promise<Login> {
  const text = await script(dest, LOGIN, []);
  const [user, home, shell, there, ...pairs] = text.split("\0");
  const env: Record<string, string> = {};
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    const name = pair.slice(0, at);
    if (at > 0 && !NOT_A_LOGINS.test(name)) env[name] = pair.slice(at + 1);
  }
  const login = {
    user: user!,
    home: home || "/",
    shell: shell || "/bin/sh",
    hasHome: there === "1",
    env,
  };
  Object.assign(env, {
    USER: login.user,
    LOGNAME: login.user,
    HOME: login.home,
    SHELL: login.shell,
  });
  // What sshd says where its connection is none over a network.
  env.SSH_CLIENT ??= "UNKNOWN 65535 65535";
  env.SSH_CONNECTION ??= "UNKNOWN 65535 UNKNOWN 65535";
  return login;
}

/** Runs a script of ours and answers what it prints. */
async function script(
  dest: Context,
  source: string,
  args: string[],
): Promise<string> {
  const process = await dest.spawn("/bin/sh", {
    args: ["-c", source, "sh", ...args],
    stderr: "null",
  });
  return await process.text();
}

/** Where sshd has its configuration. */
const SSHD_CONFIG = ["/etc/ssh", "/usr/local/etc/ssh", "/etc/openssh"];

/** Where systems have it: Debian, Alpine and Arch, Fedora, BSD and macOS, NixOS. */
const SFTP_SERVERS = [
  "/usr/lib/openssh/sftp-server",
  "/usr/lib/ssh/sftp-server",
  "/usr/libexec/openssh/sftp-server",
  "/usr/libexec/sftp-server",
  "/usr/libexec/ssh/sftp-server",
  "/usr/lib64/ssh/sftp-server",
  "/usr/lib/misc/sftp-server",
  "/usr/lib/sftp-server",
  "/usr/local/libexec/sftp-server",
  "/run/current-system/sw/libexec/sftp-server",
];

/** Prints the command of a subsystem as sshd's configuration has it. */
const SUBSYSTEM = `
name=$1
shift
for dir do
  for file in "$dir/sshd_config" "$dir"/sshd_config.d/*.conf; do
    [ -r "$file" ] || continue
    while read -r key it program rest; do
      case $key in [Ss][Uu][Bb][Ss][Yy][Ss][Tt][Ee][Mm]) ;; *) continue ;; esac
      [ "$it" = "$name" ] && [ -x "$program" ] || continue
      printf %s "$program $rest"
      exit 0
    done <"$file"
  done
done
exit 0`;

/** Prints the first of its arguments that can be run. */
const FIRST =
  'for file do [ -x "$file" ] && { printf %s "$file"; exit 0; }; done; exit 0';

/**
 * The command of a subsystem.
 *
 * @throws {Error} when there is none
 */
async function subsystem(dest: Context, name: string): Promise<string> {
  const configured = await script(dest, SUBSYSTEM, [name, ...SSHD_CONFIG]);
  if (configured !== "") return configured;
  if (name === "sftp") {
    const found = await script(dest, FIRST, SFTP_SERVERS);
    if (found !== "") return found;
    throw new Error(
      `Cannot start sftp: there is no sftp-server in ${dest.path}; install openssh-sftp-server (Debian, Ubuntu, Alpine), openssh-server (Fedora) or openssh (Arch) there`,
    );
  }
  throw new Error(
    `Cannot start the subsystem "${name}": no sshd_config in ${dest.path} has it`,
  );
}

const subsystems = new WeakMap<Context, Map<string, Promise<string>>>();

function subsystemOf(dest: Context, name: string): Promise<string> {
  let known = subsystems.get(dest);
  if (!known) subsystems.set(dest, known = new Map());
  let command = known.get(name);
  if (!command) {
    known.set(name, command = subsystem(dest, name));
    // It may be installed meanwhile.
    command.catch(() => known.delete(name));
  }
  return command;
}

/** Terminal that a command is given. */
export interface TerminalSize {
  /** Height in lines; 0 when it is not known. */
  rows: number;
  /** Width in characters; 0 when it is not known. */
  columns: number;
  /** What `TERM` is. */
  term: string;
}

/** Runs a command whose bytes are no text: `printf` makes them there. */
function binaryCommand(shell: string, bytes: string): string[] {
  let escaped = "";
  for (const c of bytes) {
    escaped += `\\${c.charCodeAt(0).toString(8).padStart(3, "0")}`;
  }
  return ["-c", `c=$(printf '${escaped}x'); exec "$0" -c "\${c%x}"`, shell];
}

/** How a command is started. */
export interface StartOptions {
  /** The command is no text: each character is a byte. */
  binary: boolean;
  /** The client's terminal. */
  terminal: TerminalSize;
  /** Takes what went wrong and does not matter, for stderr. */
  note: (text: string) => void;
}

/** What is run for a client, as a process. */
export interface Prepared {
  shell: string;
  user: string;
  program: string;
  args: string[];
  cwd: string;
  env: Record<string, string>;
}

/** Finds out how a command is run. */
export async function prepare(
  dest: Context,
  plan: RunPlan,
  { binary, note }: StartOptions,
): Promise<Prepared> {
  const { user, home, shell, hasHome, env } = await loginOf(dest);
  const command = plan.subsystem
    ? await subsystemOf(dest, plan.command)
    : plan.command;
  if (!hasHome) {
    note(
      `Could not chdir to home directory ${home}: No such file or directory\r\n`,
    );
  }
  const bytes = binary && !plan.subsystem && command !== "";
  const commandArgs = command === "" ? ["-l"] : ["-c", command];
  return {
    user,
    shell,
    program: bytes ? "/bin/sh" : shell,
    args: bytes ? binaryCommand(shell, command) : commandArgs,
    cwd: hasHome ? home : "/",
    env: { ...env, ...plan.env },
  };
}

/**
 * Starts a command under the login shell of the context's user, in the home
 * directory.
 *
 * @throws {Error} with a message for the user
 */
export async function start(
  dest: Context,
  plan: RunPlan,
  options: StartOptions,
): Promise<RemoteProcess> {
  const { user, shell, program, ...rest } = await prepare(dest, plan, options);
  const { rows, columns, term } = options.terminal;
  const command: RemoteCommandOptions = {
    ...rest,
    clearEnv: true,
    stdin: "piped",
  };
  if (plan.pty) {
    command.pty = {
      rows: rows || 24,
      columns: columns || 80,
      term: term || "dumb",
    };
    command.env!.TERM = term || "dumb";
  }
  try {
    return await dest.spawn(program, command);
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    throw new Error(
      `Cannot run ${shell}, the shell of ${user}, in ${dest.path}: ${
        errorMessage(error.cause ?? error)
      }`,
      { cause: error },
    );
  }
}
