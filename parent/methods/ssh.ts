import {
  ConnectError,
  type Context,
  errorMessage,
  type OnPrompt,
  type SshOptions,
} from "../../core/mod.ts";
import { Askpass } from "../askpass.ts";
import type { Attempt } from "../connect.ts";
import { once } from "../dialogue.ts";
import { ControlSocket } from "../control_socket.ts";
import { lendWay } from "../direct.ts";
import { loginCommand } from "../first_stage.ts";
import { permissionFlags, resolvePermissions } from "../permissions.ts";
import type { ProcessChild } from "../process_child.ts";
import { childPath, connectProcess, type Failure } from "../process_context.ts";

/** ssh's own exit code: the remote command was not reached, or it said so itself. */
const SSH_FAILED = 255;

/** Opens a context on another machine with the system's OpenSSH. */
export async function connectSsh(
  attempt: Attempt,
  options: SshOptions,
): Promise<Context> {
  const mayRun = resolvePermissions(options.permissions).run === true;
  // Whoever would use it is at the top; below, a killed context would leave it.
  const control =
    attempt.parent.router.id === 0 && mayRun && !sharesOther(options)
      ? ControlSocket.make()
      : undefined;
  try {
    const context = await connectOver(control, attempt, options);
    if (control) lendWay(context, control.way("ssh"));
    return context;
  } catch (error) {
    control?.remove();
    // One that is confined may not make it where this program may.
    if (control && error instanceof ConnectError && MUX.test(error.tail)) {
      return await connectOver(undefined, attempt, options);
    }
    throw error;
  }
}

/** What ssh says when it cannot make the socket. */
const MUX = /^(?:unix_listener|.*mux listener|ControlPath|ControlSocket)/m;

/** `-M` and `-S`, perhaps behind flags that take no argument. */
const SHARING_FLAG = /^-[46AaCfGgKkNnqsTtVvXxYy]*[MS]/;
/** The same as options. */
const SHARING_OPTION = /control(?:master|path)/i;

/**
 * Whether the user says how the connection is shared, or which ssh it is that
 * would have to share it: that may be no OpenSSH, or run elsewhere.
 */
function sharesOther(
  { controlMaster, sshPath, sshArgs = [] }: SshOptions,
): boolean {
  return controlMaster === true || sshPath !== undefined ||
    sshArgs.some((arg) => SHARING_FLAG.test(arg) || SHARING_OPTION.test(arg));
}

async function connectOver(
  control: ControlSocket | undefined,
  attempt: Attempt,
  options: SshOptions,
): Promise<Context> {
  const args = sshArgs(options, control?.path);
  const command = loginCommand({
    deno: options.deno,
    flags: permissionFlags(resolvePermissions(options.permissions)),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
  });
  await using askpass = canAnswer(options)
    ? await startAskpass(attempt, options, args)
    : undefined;
  return await connectProcess(attempt, options, {
    command: options.sshPath ?? "ssh",
    args: [...args, command],
    ...(control ? { onGone: () => control.remove() } : {}),
    ...(askpass ? { env: askpass.env } : {}),
    name: sshName(options),
    eager: false,
    clean: (line) => askpass?.clean(line) ?? line,
    ...(askpass ? { begin: stopOnRepeat(askpass) } : {}),
    explain: (tail, status) => explain(tail, status, askpass?.declined ?? []),
    carrier: true,
  });
}

/** ssh on a host on the way asks as often as that host lets it. */
function stopOnRepeat(
  askpass: Askpass,
): (child: ProcessChild) => Promise<void> {
  return (child) => {
    askpass.onRepeat = () => {
      if (askpass.declined.length === 0) {
        askpass.declined.push("the same again: the answer was not accepted");
      }
      child.close();
    };
    return Promise.resolve();
  };
}

function canAnswer({ password, onPrompt }: SshOptions): boolean {
  return password !== undefined || onPrompt !== undefined;
}

async function startAskpass(
  { parent }: Attempt,
  options: SshOptions,
  args: string[],
): Promise<Askpass> {
  const path = childPath(parent, options.name ?? sshName(options));
  const answer = await answers(options, args);
  try {
    return await Askpass.start(answer, path);
  } catch (cause) {
    throw new ConnectError(
      `Cannot connect to ${path}: ${errorMessage(cause)}`,
      { kind: "bootstrap", hop: path, cause },
    );
  }
}

/** Answers with the password what asks for it, and asks the caller the rest. */
async function answers(
  options: SshOptions,
  args: string[],
): Promise<OnPrompt> {
  const { onPrompt } = options;
  const password = once(options.password);
  let given = false;
  const isOurs = password ? await askerOf(options, args) : () => false;
  return async (prompt) => {
    if (password && prompt.kind === "password" && isOurs(prompt.text)) {
      if (!given) {
        given = true;
        return await password();
      }
      if (!onPrompt) throw new Error("the password was not accepted");
    }
    if (onPrompt) return await onPrompt(prompt);
    throw new Error("there is no answer to that, set `onPrompt`");
  };
}

/**
 * Tells the prompts of the host itself from those of hosts on the way to it,
 * which must not get its password: by what ssh makes of its configuration.
 */
async function askerOf(
  options: SshOptions,
  args: string[],
): Promise<(prompt: string) => boolean> {
  const values = await sshValues(options.sshPath ?? "ssh", args);
  const self = `${values.get("user")}@${values.get("hostname")}`.toLowerCase();
  const direct = !values.has("proxyjump") && !values.has("proxycommand");
  return (prompt) => {
    // "user@host's password: ", or "(user@host) Password: " where the host asks.
    const asker = prompt.match(/^([^\s']+@\S+)'s |^\((\S+@\S+)\) /);
    const who = asker?.[1] ?? asker?.[2];
    if (who === undefined || values.size === 0) return direct;
    return who.toLowerCase() === self;
  };
}

/** What `ssh -G` says of its configuration for a host; nothing if it cannot. */
async function sshValues(
  command: string,
  args: string[],
): Promise<Map<string, string>> {
  const values = new Map<string, string>();
  try {
    const { stdout } = await new Deno.Command(command, {
      args: ["-G", ...args],
      stdin: "null",
      stderr: "null",
    }).output();
    for (const line of new TextDecoder().decode(stdout).split("\n")) {
      const [name, ...rest] = line.split(" ");
      if (name) values.set(name.toLowerCase(), rest.join(" "));
    }
  } catch {
    // Running it for real says what is wrong.
  }
  return values;
}

/** `ssh.host`, with what tells it from other contexts on that host. */
function sshName({ hostname, port }: SshOptions): string {
  return `ssh.${hostname}${port === undefined || port === 22 ? "" : `:${port}`}`
    .replace(/[\/\\]/g, "_");
}

/**
 * ssh's arguments up to and including the host. ssh keeps the first value that
 * it gets for an option: what the caller asked for by name comes first, then
 * the caller's own arguments, then our defaults.
 *
 * @param control path of a socket that others of ssh may share it by
 * @throws {TypeError} on a host or user that ssh would take for an option
 */
export function sshArgs(options: SshOptions, control?: string): string[] {
  const { hostname, username, port, identityFile, checkHostKeys } = options;
  const named: [string, string | undefined][] = [
    ["hostname", hostname],
    ["username", username],
  ];
  for (const [name, value] of named) {
    // deno-lint-ignore no-control-regex
    if (value !== undefined && /^-|^$|[\x00-\x20\x7f]/.test(value)) {
      throw new TypeError(
        `Cannot connect: the ${name} ${
          JSON.stringify(value)
        } is empty, begins with "-", or holds a blank or a control character`,
      );
    }
  }
  const args: string[] = ["-T"];
  const set = (name: string, value: string | number) =>
    args.push("-o", `${name}=${value}`);
  if (username !== undefined) args.push("-l", username);
  if (port !== undefined) args.push("-p", String(port));
  if (identityFile !== undefined) {
    args.push("-i", identityFile);
    set("IdentitiesOnly", "yes");
  }
  if (checkHostKeys === "ignore") {
    set("StrictHostKeyChecking", "no");
    set("UserKnownHostsFile", "/dev/null");
    set("GlobalKnownHostsFile", "/dev/null");
  } else if (checkHostKeys !== undefined) {
    set(
      "StrictHostKeyChecking",
      checkHostKeys === "enforce" ? "yes" : checkHostKeys,
    );
  }
  if (options.compression !== undefined) {
    set("Compression", options.compression ? "yes" : "no");
  }
  args.push(...options.sshArgs ?? []);
  if (canAnswer(options)) {
    // What is asked twice was answered wrong.
    set("BatchMode", "no");
    set("NumberOfPasswordPrompts", 1);
  } else {
    // Nobody can answer: what would be asked is refused, and said.
    set("BatchMode", "yes");
  }
  set("StrictHostKeyChecking", "yes");
  set("Compression", "no");
  // Banners may say anything; errors are still printed.
  set("LogLevel", "ERROR");
  set("RemoteCommand", "none");
  set("ClearAllForwardings", "yes");
  set("PermitLocalCommand", "no");
  set("ControlMaster", control === undefined ? "no" : "yes");
  if (control !== undefined) {
    set("ControlPath", control);
    set("ControlPersist", "no");
  } else if (!options.controlMaster) set("ControlPath", "none");
  set("ServerAliveInterval", Math.ceil(options.keepaliveInterval ?? 15));
  set("ServerAliveCountMax", options.keepaliveCount ?? 3);
  const seconds = Math.ceil((options.connectTimeout ?? 30_000) / 1000);
  // It counts milliseconds in 31 bits, and refuses what is too much for them.
  set("ConnectTimeout", seconds > 2_000_000 ? "none" : seconds);
  args.push("--", hostname);
  return args;
}

const REASONS: [pattern: RegExp, kind: Failure["kind"]][] = [
  [
    /Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|host key is known|No matching host key/i,
    "hostkey",
  ],
  [
    /Permission denied \(|Too many authentication failures|No supported authentication methods/i,
    "auth",
  ],
  [
    /Could not resolve hostname|Name or service not known|Bad (configuration option|port)|not accessible/i,
    "not-found",
  ],
  [/timed out|Timeout, server/i, "timeout"],
];

/** What ssh's messages mean. Only its own: the remote side may print the like. */
function explain(
  tail: string,
  status: Deno.CommandStatus,
  declined: string[],
): Failure | undefined {
  const asked = declined.length > 0
    ? `ssh asked ${declined.join("; ")}`
    : undefined;
  if (asked && status.signal) return { kind: "auth", message: asked };
  if (status.code !== SSH_FAILED) return undefined;
  for (const [pattern, kind] of REASONS) {
    const line = tail.split("\n").find((line) => pattern.test(line));
    if (line === undefined) continue;
    return { kind, message: line.trim() + (asked ? ` (${asked})` : "") };
  }
  return asked ? { kind: "auth", message: asked } : undefined;
}
