import type { Context } from "./context.ts";
import type {
  BuildahOptions,
  ChrootOptions,
  ConnectOptions,
  DoasOptions,
  DockerOptions,
  IncusOptions,
  JailOptions,
  KubectlOptions,
  LocalOptions,
  LxcOptions,
  LxdOptions,
  MachinectlOptions,
  Methods,
  PodmanOptions,
  SetnsOptions,
  SshOptions,
  SudoOptions,
  SuOptions,
  WorkerOptions,
} from "./options.ts";

/**
 * The ways in, as methods of every router. Each resolves with a context that
 * is ready, or rejects with a `ConnectError`; a `TypeError` says what is wrong
 * with the options.
 */
export abstract class WaysIn {
  /** Opens a context by the name of its method. */
  abstract open<M extends keyof Methods>(
    method: M,
    options: Methods[M],
  ): Promise<Context>;

  /**
   * Opens a context that is named by a text, such as `ssh:deploy@web1:2222`,
   * `docker:web` or `local:?permissions=none`. An array is a chain: each opens
   * the next one, and those on the way end with the last.
   *
   * `name`, `permissions`, `cwd` and `env` are for the last of a chain; what a
   * spec says itself comes before the options.
   *
   * @throws {SyntaxError} when a spec cannot be read; nothing was opened then
   */
  abstract connect(
    spec: string | readonly string[],
    options?: ConnectOptions,
  ): Promise<Context>;

  /** Opens a child process. */
  local(options: LocalOptions = {}): Promise<Context> {
    return this.open("local", options);
  }

  /** Opens a Worker of this process: for CPU-bound calls and cheap isolation. */
  worker(options: WorkerOptions = {}): Promise<Context> {
    return this.open("worker", options);
  }

  /** Opens a context on another machine with the system's OpenSSH. */
  ssh(options: SshOptions): Promise<Context> {
    return this.open("ssh", options);
  }

  /** Opens a context in a container of Docker, or in a new one of an image. */
  docker(options: DockerOptions): Promise<Context> {
    return this.open("docker", options);
  }

  /** Opens a context in a container of Podman, or in a new one of an image. */
  podman(options: PodmanOptions): Promise<Context> {
    return this.open("podman", options);
  }

  /** Opens a context in a working container of Buildah. */
  buildah(options: BuildahOptions): Promise<Context> {
    return this.open("buildah", options);
  }

  /** Opens a context in a container of a Kubernetes pod. */
  kubectl(options: KubectlOptions): Promise<Context> {
    return this.open("kubectl", options);
  }

  /** Opens a context in a container of classic LXC. */
  lxc(options: LxcOptions): Promise<Context> {
    return this.open("lxc", options);
  }

  /** Opens a context in an instance of LXD. */
  lxd(options: LxdOptions): Promise<Context> {
    return this.open("lxd", options);
  }

  /** Opens a context in an instance of Incus. */
  incus(options: IncusOptions): Promise<Context> {
    return this.open("incus", options);
  }

  /** Opens a context in a jail of FreeBSD. */
  jail(options: JailOptions): Promise<Context> {
    return this.open("jail", options);
  }

  /** Opens a context in a machine that systemd-machined knows. */
  machinectl(options: MachinectlOptions): Promise<Context> {
    return this.open("machinectl", options);
  }

  /** Opens a context in the namespaces of a process, without its tools. */
  setns(options: SetnsOptions): Promise<Context> {
    return this.open("setns", options);
  }

  /** Opens a context under another root directory. */
  chroot(options: ChrootOptions): Promise<Context> {
    return this.open("chroot", options);
  }

  /** Opens a context under another user of the same machine, with sudo. */
  sudo(options: SudoOptions = {}): Promise<Context> {
    return this.open("sudo", options);
  }

  /** The same with su, through the login shell of that user. */
  su(options: SuOptions = {}): Promise<Context> {
    return this.open("su", options);
  }

  /** The same with doas. */
  doas(options: DoasOptions = {}): Promise<Context> {
    return this.open("doas", options);
  }
}
