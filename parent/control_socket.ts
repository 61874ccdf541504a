/**
 * The socket by which other commands share the connection of an ssh: OpenSSH's
 * `ControlMaster`, one for each context, in a folder of this user.
 *
 * @module
 */
import type { DirectWay } from "./direct.ts";

/** Longest path that ssh can listen at: it adds 17 characters at first. */
const MAX_PATH = 100 - 17;

/**
 * Sessions that a connection is asked to carry beside the context's own. sshd
 * takes ten, unless `MaxSessions` says otherwise.
 */
const SESSIONS = 8;

/** Paths that ssh takes as they are: no blank, and no `%`. */
const PLAIN = /^[\w./+-]+$/;

/**
 * The folder of all sockets of this user, which stays. One for each would be
 * left when this program is killed; ssh removes its socket even then.
 *
 * It has a name that others can foresee. So it must be ours, and ours alone.
 */
function ownFolder(): string {
  // Says where such folders are, and whose they become, without more leave.
  const sample = Deno.makeTempDirSync({ prefix: "mitogen-" });
  const { uid } = Deno.lstatSync(sample);
  Deno.removeSync(sample);
  const folder = sample.replace(/[^/]*$/, `mitogen-${uid}`);
  try {
    Deno.mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
  const { mode } = Deno.statSync(folder.replace(/\/[^/]*$/, "") || "/");
  if ((mode! & 0o022) !== 0 && (mode! & 0o1000) === 0) {
    throw new Deno.errors.PermissionDenied(`others can replace ${folder}`);
  }
  const found = Deno.lstatSync(folder);
  if (!found.isDirectory || found.uid !== uid || (found.mode! & 0o77) !== 0) {
    throw new Deno.errors.PermissionDenied(`${folder} is not ours alone`);
  }
  return folder;
}

/** Folders in which a socket was made as ssh makes one, and linked. */
const tried = new Set<string>();

/** ssh gives up its connection where it cannot make its socket. @throws then */
function tryOut(folder: string): void {
  if (tried.has(folder)) return;
  const path = `${folder}/${crypto.randomUUID().slice(0, 18)}`;
  const listener = Deno.listen({ transport: "unix", path });
  try {
    Deno.linkSync(path, `${path}.link`);
    Deno.removeSync(`${path}.link`);
  } finally {
    listener.close();
    try {
      Deno.removeSync(path);
    } catch {
      // Its listener did.
    }
  }
  tried.add(folder);
}

/** Such a socket, which ssh makes and removes. */
export class ControlSocket {
  private constructor(readonly path: string) {}

  /** Chooses its path; `undefined` where there can be none, or must not. */
  static make(): ControlSocket | undefined {
    if (Deno.build.os === "windows") return undefined;
    try {
      // Nobody is to be asked for leave to save some time later.
      for (const name of ["read", "write", "net"] as const) {
        if (Deno.permissions.querySync({ name }).state !== "granted") {
          return undefined;
        }
      }
      const folder = ownFolder();
      tryOut(folder);
      const path = `${folder}/${crypto.randomUUID().slice(0, 18)}`;
      return path.length <= MAX_PATH && PLAIN.test(path)
        ? new ControlSocket(path)
        : undefined;
    } catch {
      // No such folder, no such way.
      return undefined;
    }
  }

  /** Removes it, for an ssh that was killed. */
  remove(): void {
    try {
      Deno.removeSync(this.path);
    } catch {
      // ssh did.
    }
  }

  /** How commands go by it. */
  way(ssh: string): DirectWay {
    return {
      ready: () => {
        try {
          return Deno.statSync(this.path).isSocket === true;
        } catch {
          return false;
        }
      },
      command: (script) => [
        ssh,
        ...["-F", "/dev/null", "-S", this.path],
        // By this connection or not at all.
        ...["-o", "ControlMaster=no", "-o", "ProxyCommand=false"],
        ...["-o", "LogLevel=ERROR", "-T", "-a", "-x", "--", "context"],
        `exec env -i /bin/sh ${script}`,
      ],
      here: false,
      limit: SESSIONS,
    };
  }
}
