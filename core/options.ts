/**
 * What the ways in take. Types only: they cost the children nothing.
 *
 * @module
 */
import type { Context } from "./context.ts";
import type { Secret } from "./secret.ts";

/** What a context may do: `inherit` is as much as the caller itself may. */
export type Permissions = "inherit" | "none" | Deno.PermissionOptionsObject;

/** Where the runtime of a context comes from. */
export interface DenoOptions {
  /** Path of the `deno` to start there. Default: the first stage looks for one. */
  path?: string;
  /** Version to ask for. Default: the caller's own. */
  version?: string;
  /** Whether the runtime is sent where there is none. @default {"auto"} */
  ship?: "auto" | "never" | "always";
  /** Where a runtime that was sent is kept; `null` keeps none. */
  cacheDir?: string | null;
}

/** Options of every way in. */
export interface ConnectOptions {
  /** The context that opens the new one. Default: this one. */
  via?: Context;
  /** Last part of the new context's path. Default: made from the way in. */
  name?: string;
  /** Gives up, with kind `cancelled`. */
  signal?: AbortSignal;
  /** Milliseconds until it gives up, with kind `timeout`. @default {30_000} */
  connectTimeout?: number;
  /** What the new context may do. @default {"inherit"} */
  permissions?: Permissions;
  /** Which runtime it runs on. */
  deno?: DenoOptions;
  /** Its working directory. */
  cwd?: string;
  /** Environment variables to add. */
  env?: Record<string, string>;
  /** Seconds between signs of life; 0 asks for none. @default {15} */
  keepaliveInterval?: number;
  /** Signs of life that may be missed. @default {3} */
  keepaliveCount?: number;
}

/** Options of `local()`: a child process. */
export type LocalOptions = ConnectOptions;

/** Options of `worker()`: a Worker in the same process. */
export type WorkerOptions = Omit<ConnectOptions, "cwd" | "env" | "deno">;

/** A password, or a function that asks for it when it is needed. */
export type Password = Secret | (() => Promise<Secret>);

/** Options of `ssh()`, which runs the system's OpenSSH. */
export interface SshOptions extends ConnectOptions {
  /** Name in `~/.ssh/config`, host name or address. */
  hostname: string;
  /** Default: what ssh's configuration says. */
  username?: string;
  /** Default: what ssh's configuration says. */
  port?: number;
  /** Private key; no other is offered. */
  identityFile?: string;
  /** Password of the user there. */
  password?: Password;
  /** What an unknown or changed host key does. @default {"enforce"} */
  checkHostKeys?: "enforce" | "accept-new" | "ignore";
  /** Whether ssh compresses. @default {false} */
  compression?: boolean;
  /** The ssh to run. @default {"ssh"} */
  sshPath?: string;
  /** More arguments for ssh, put before the host. */
  sshArgs?: string[];
}

/** Options of `sudo()`. */
export interface SudoOptions extends ConnectOptions {
  /** @default {"root"} */
  username?: string;
  password?: Password;
  preserveEnv?: boolean;
  setHome?: boolean;
  login?: boolean;
  /** @default {"sudo"} */
  sudoPath?: string;
  sudoArgs?: string[];
}

/** One step of opening a context, for people who watch. */
export interface Progress {
  /** Path of the context that is being made. */
  path: string;
  /** What is happening. */
  step: "start" | "transport" | "boot" | "ready" | "failed";
  /** One sentence, where there is more to say. */
  message?: string;
}

/** The ways in and what each takes. */
export interface Methods {
  /** A child process. */
  local: LocalOptions;
  /** A Worker of the same process. */
  worker: WorkerOptions;
  /** Another machine. */
  ssh: SshOptions;
}
