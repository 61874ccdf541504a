/**
 * What the ways in take. Types only: they cost the children nothing.
 *
 * @module
 */
import type { Context } from "./context.ts";
import type { Secret } from "./secret.ts";

/** What a context may do: `inherit` is as much as the caller itself may. */
export type Permissions = "inherit" | "none" | Deno.PermissionOptionsObject;

/** Where the runtime of a context comes from. See docs/runtime.md. */
export interface DenoOptions {
  /**
   * Path of the `deno` to start there; nothing else is tried then. Default: the
   * first stage looks in `PATH`, in `~/.deno/bin` and in its own cache.
   */
  path?: string;
  /**
   * The version that it must be, such as `"2.9.6"`. Default: one that is found
   * must be 2.9 or newer, and what is sent is of the master's own version.
   */
  version?: string;
  /**
   * Whether the runtime is sent: `auto` where none is found, `never`, or
   * `always`, whatever else is installed there.
   *
   * @default {"auto"}
   */
  ship?: "auto" | "never" | "always";
  /**
   * Directory on the other side that what was sent is kept below; `null` keeps
   * nothing: the file is deleted when the context has started. Default: the
   * user's cache directory, or else one below /var/tmp or /tmp.
   */
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
  /**
   * Milliseconds until it gives up, with kind `timeout`; `Infinity` is never.
   * They begin anew with every piece of a runtime that is sent.
   *
   * @default {30_000}
   */
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

/**
 * A password, or a function that asks for it when it is needed: at most once.
 * The time that it takes counts towards `connectTimeout`.
 */
export type Password = Secret | (() => Promise<Secret>);

/** Something that ssh wants to know before it lets anybody in. */
export interface Prompt {
  /**
   * - `password`: of a user, here or on a host on the way
   * - `passphrase`: of a key, or the PIN of a token
   * - `confirm`: a question to be answered with `yes` or `no`
   * - `code`: anything else, such as a one-time code
   */
  kind: "password" | "passphrase" | "confirm" | "code";
  /** What ssh, or the host, says: hostile text as much as any other. */
  text: string;
  /** Path of the context that is being made. */
  path: string;
}

/** Answers what ssh asks. A question is put at most once. */
export type OnPrompt = (prompt: Prompt) => Promise<Secret>;

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
  /** Password of the user there. Hosts on the way to it do not get it. */
  password?: Password;
  /**
   * Asked for what `password` does not answer: passphrases of keys, one-time
   * codes, passwords of hosts on the way. Runs where it was made, also when
   * the new context is behind `via`. Without it nothing is asked.
   */
  onPrompt?: OnPrompt;
  /** What an unknown or changed host key does. @default {"enforce"} */
  checkHostKeys?: "enforce" | "accept-new" | "ignore";
  /** Whether ssh compresses. @default {false} */
  compression?: boolean;
  /** The ssh to run. @default {"ssh"} */
  sshPath?: string;
  /** More arguments for ssh, put before the host. */
  sshArgs?: string[];
  /**
   * Whether a connection that the user keeps open (ControlMaster in ssh's own
   * configuration) is used. With `false` the connection is the context's own.
   * @default {false}
   */
  controlMaster?: boolean;
}

/** Options of `sudo()`: another user of the same machine. */
export interface SudoOptions extends ConnectOptions {
  /** Name, or `#` and the number. @default {"root"} */
  username?: string;
  /** What sudo asks for: mostly the password of the user who calls it. */
  password?: Password;
  /** Keeps the environment, where sudoers allows it. @default {false} */
  preserveEnv?: boolean;
  /** Sets HOME to that of the user. @default {false} */
  setHome?: boolean;
  /** Goes through the login shell of the user and its profile. @default {false} */
  login?: boolean;
  /** The sudo to run. @default {"sudo"} */
  sudoPath?: string;
  /** More arguments for sudo, put before the command. */
  sudoArgs?: string[];
}

/** Options of `docker()`: a running container, or a new one of an image. */
export interface DockerOptions extends ConnectOptions {
  /** Name or id of a running container. This, or `image`. */
  container?: string;
  /** Image of which a container is made, and removed in the end. */
  image?: string;
  /** User there, as `docker --user` takes it. Default: the container's own. */
  username?: string;
  /** The program to run. @default {"docker"} */
  dockerPath?: string;
}

/** Options of `podman()`: a running container, or a new one of an image. */
export interface PodmanOptions extends Omit<DockerOptions, "dockerPath"> {
  /** The program to run. @default {"podman"} */
  podmanPath?: string;
}

/** Options of `buildah()`: a working container. */
export interface BuildahOptions extends ConnectOptions {
  /** Name or id of the working container. */
  container: string;
  /** User there. Default: the container's own. */
  username?: string;
  /** The program to run. @default {"buildah"} */
  buildahPath?: string;
}

/** Options of `kubectl()`: a container of a pod. */
export interface KubectlOptions extends ConnectOptions {
  /** Name of the pod, or `type/name` of what it belongs to. */
  pod: string;
  /** Container of the pod. Default: the one that the pod names. */
  container?: string;
  /** Default: the one of the context. */
  namespace?: string;
  /** Context of the kubeconfig. Default: the current one. */
  context?: string;
  /** The program to run. @default {"kubectl"} */
  kubectlPath?: string;
  /** More arguments for kubectl, put before `exec`. */
  kubectlArgs?: string[];
}

/** Options of `lxc()`: a container of classic LXC. */
export interface LxcOptions extends ConnectOptions {
  /** Name of the container. */
  container: string;
  /** The program to run. @default {"lxc-attach"} */
  lxcAttachPath?: string;
}

/** Options of `lxd()`: an instance of LXD. */
export interface LxdOptions extends ConnectOptions {
  /** Name of the instance, or `remote:name`. */
  container: string;
  /** The program to run. @default {"lxc"} */
  lxcPath?: string;
}

/** Options of `incus()`: an instance of Incus. */
export interface IncusOptions extends ConnectOptions {
  /** Name of the instance, or `remote:name`. */
  container: string;
  /** The program to run. @default {"incus"} */
  incusPath?: string;
}

/** Options of `jail()`: a jail of FreeBSD. */
export interface JailOptions extends ConnectOptions {
  /** Name or number of the jail. */
  container: string;
  /** User of the jail. @default {"root"} */
  username?: string;
  /** The program to run. @default {"jexec"} */
  jexecPath?: string;
}

/** Options of `machinectl()`: a machine that systemd-machined knows. */
export interface MachinectlOptions extends ConnectOptions {
  /** Name of the machine. */
  container: string;
  /** User there. @default {"root"} */
  username?: string;
  /** The program to run. @default {"systemd-run"} */
  systemdRunPath?: string;
}

/** Who knows the process of a container, for `setns()`. */
export type SetnsKind =
  | "docker"
  | "podman"
  | "lxc"
  | "lxd"
  | "incus"
  | "machinectl";

/** Options of `setns()`: the namespaces of a process. Needs root. */
export interface SetnsOptions extends ConnectOptions {
  /** A process in the namespaces. This, or `container` and `kind`. */
  pid?: number;
  /** Name of a container. */
  container?: string;
  /** Whose container it is. */
  kind?: SetnsKind;
  /** User of the place, by name. @default {"root"} */
  username?: string;
  /** The program to run. @default {"nsenter"} */
  nsenterPath?: string;
  /** Asked for the process of kind `docker`. @default {"docker"} */
  dockerPath?: string;
  /** Asked for the process of kind `podman`. @default {"podman"} */
  podmanPath?: string;
  /** Asked for the process of kind `lxc`. @default {"lxc-info"} */
  lxcInfoPath?: string;
  /** Asked for the process of kind `lxd`. @default {"lxc"} */
  lxcPath?: string;
  /** Asked for the process of kind `incus`. @default {"incus"} */
  incusPath?: string;
  /** Asked for the process of kind `machinectl`. @default {"machinectl"} */
  machinectlPath?: string;
}

/** Options of `chroot()`: another root directory. Needs root. */
export interface ChrootOptions extends ConnectOptions {
  /** The new root. */
  path: string;
  /** User of the place, by name. @default {"root"} */
  username?: string;
  /** The program to run. @default {"chroot"} */
  chrootPath?: string;
}

/** Options of `su()`: another user of the same machine, by that user's password. */
export interface SuOptions extends ConnectOptions {
  /** Who to be. @default {"root"} */
  username?: string;
  /** Password of that user. Root is not asked. */
  password?: Password;
  /** Keeps the environment. @default {false} */
  preserveEnv?: boolean;
  /** Makes the shell a login shell. @default {false} */
  login?: boolean;
  /** The su to run. @default {"su"} */
  suPath?: string;
  /** More arguments for su, put before the user. */
  suArgs?: string[];
}

/** Options of `doas()`: another user of the same machine. */
export interface DoasOptions extends ConnectOptions {
  /** Who to be. @default {"root"} */
  username?: string;
  /** Password of the user who calls it. */
  password?: Password;
  /** The doas to run. @default {"doas"} */
  doasPath?: string;
  /** More arguments for doas, put before the command. */
  doasArgs?: string[];
}

/** One step of opening a context, for people who watch. */
export interface Progress {
  /** Path of the context that is being made. */
  path: string;
  /** What is happening. */
  step: "start" | "transport" | "boot" | "runtime" | "ready" | "failed";
  /** One sentence, where there is more to say. */
  message?: string;
  /** Bytes of the runtime that were sent, with step `runtime`. */
  done?: number;
  /** Bytes of the runtime as it is sent, with step `runtime`. */
  total?: number;
}

/** How far a copy is. */
export interface CopyProgress {
  /** The file that is being copied. */
  path: string;
  /** Bytes of files that have been passed on. */
  bytes: number;
  /** Files that are complete. */
  files: number;
  /** Bytes of all files; not known of a stream. */
  total?: number;
}

/** How files are copied. */
export interface CopyOptions {
  /** Permission bits of what is made, 0 to 0o7777. Default: the source's. */
  mode?: number;
  /** Modification time of what is made; a number is milliseconds. Default: the source's. */
  mtime?: Date | number;
  /** Stops it: the copy fails with the signal's reason. */
  signal?: AbortSignal;
  /** Told of every 256 KiB or so, and at the end. What it throws ends it. */
  onProgress?: (progress: CopyProgress) => void;
  /**
   * Whether the beginning of a file is kept when the copy fails, and the next
   * one goes on behind it if its source begins the same. @default {false}
   */
  resume?: boolean;
  /**
   * Whether each file is on the disk before it takes its name. Default: a file
   * is; those of a directory are not, as with tar and rsync.
   */
  fsync?: boolean;
}

/** The ways in and what each takes. */
export interface Methods {
  /** A child process. */
  local: LocalOptions;
  /** A Worker of the same process. */
  worker: WorkerOptions;
  /** Another machine. */
  ssh: SshOptions;
  /** A container of Docker. */
  docker: DockerOptions;
  /** A container of Podman. */
  podman: PodmanOptions;
  /** A working container of Buildah. */
  buildah: BuildahOptions;
  /** A container of a Kubernetes pod. */
  kubectl: KubectlOptions;
  /** A container of classic LXC. */
  lxc: LxcOptions;
  /** An instance of LXD. */
  lxd: LxdOptions;
  /** An instance of Incus. */
  incus: IncusOptions;
  /** A jail of FreeBSD. */
  jail: JailOptions;
  /** A machine of systemd. */
  machinectl: MachinectlOptions;
  /** The namespaces of a process. */
  setns: SetnsOptions;
  /** Another root directory. */
  chroot: ChrootOptions;
  /** Another user, by sudo. */
  sudo: SudoOptions;
  /** Another user, by su. */
  su: SuOptions;
  /** Another user, by doas. */
  doas: DoasOptions;
}
