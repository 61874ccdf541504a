import type { Context, SshOptions } from "../../core/mod.ts";
import type { Attempt } from "../connect.ts";
import { loginCommand } from "../first_stage.ts";
import { permissionFlags, resolvePermissions } from "../permissions.ts";
import { connectProcess, type Failure } from "../process_context.ts";

/** ssh's own exit code: the remote command was not reached, or it said so itself. */
const SSH_FAILED = 255;

/** Opens a context on another machine with the system's OpenSSH. */
export function connectSsh(
  attempt: Attempt,
  options: SshOptions,
): Promise<Context> {
  const command = loginCommand({
    ...(options.deno?.path === undefined ? {} : { path: options.deno.path }),
    flags: permissionFlags(resolvePermissions(options.permissions)),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
  });
  return connectProcess(attempt, options, {
    command: options.sshPath ?? "ssh",
    args: [...sshArgs(options), command],
    name: sshName(options),
    eager: false,
    explain,
  });
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
 * @throws {TypeError} on a host or user that ssh would take for an option
 */
export function sshArgs(options: SshOptions): string[] {
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
  // Nobody can answer: what would be asked is refused, and said.
  set("BatchMode", "yes");
  set("StrictHostKeyChecking", "yes");
  set("Compression", "no");
  // Banners may say anything; errors are still printed.
  set("LogLevel", "ERROR");
  set("RemoteCommand", "none");
  set("ClearAllForwardings", "yes");
  set("PermitLocalCommand", "no");
  set("ControlMaster", "no");
  set("ServerAliveInterval", Math.ceil(options.keepaliveInterval ?? 15));
  set("ServerAliveCountMax", options.keepaliveCount ?? 3);
  set("ConnectTimeout", Math.ceil((options.connectTimeout ?? 30_000) / 1000));
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
): Failure | undefined {
  if (status.code !== SSH_FAILED) return undefined;
  for (const [pattern, kind] of REASONS) {
    const line = tail.split("\n").find((line) => pattern.test(line));
    if (line !== undefined) return { kind, message: line.trim() };
  }
  return undefined;
}
