import { connect } from "node:net";
import { basename, dirname, join } from "node:path";
import { isKey, KEY_SIZE, keyFile, newKey } from "./handshake.ts";

/** A Unix socket's path has no more bytes anywhere. */
const MAX_PATH = 103;

/** How often the place may change hands while it is looked at. */
const MAX_TRIES = 100;

/**
 * The path of a socket, taken by one listener. Who holds the lock on the key
 * file has the place: the kernel frees it when the holder is killed. Nothing is
 * replaced or removed there that no listener has made.
 */
export class Place {
  /** The path of the socket. */
  readonly path: string;
  /** What the key file holds. */
  readonly key: string = newKey();
  readonly #inner: string;
  #keyFile: Deno.FsFile | undefined;
  #keyIno: number | null = null;
  #socketIno: number | null = null;

  private constructor(path: string) {
    this.path = path;
    this.#inner = Deno.makeTempDirSync({ dir: dirname(path), prefix: ".m" });
  }

  /**
   * Takes it.
   *
   * @param bind makes the socket, at a path where nobody looks
   * @throws {TypeError} when it is taken, or is not safe
   */
  static async take(
    path: string,
    bind: (socket: string) => Promise<void>,
  ): Promise<Place> {
    checkFolder(dirname(path));
    checkSocket(path);
    checkLength(path, path);
    const place = new Place(path);
    try {
      const socket = join(place.#inner, "s");
      checkLength(path, socket);
      await bind(socket);
      const left = await place.#lock();
      await checkDead(path, left);
      // The socket is in place when its mode is right, not before.
      Deno.chmodSync(socket, 0o600);
      place.#socketIno = Deno.lstatSync(socket).ino;
      checkSocket(path);
      Deno.renameSync(socket, path);
      return place;
    } catch (error) {
      place.free();
      throw error;
    } finally {
      Deno.removeSync(place.#inner, { recursive: true });
    }
  }

  /** Puts the key file in place, locked; whether a dead listener's was there. */
  async #lock(): Promise<boolean> {
    const { path } = this;
    const mine = join(this.#inner, basename(keyFile(path)));
    Deno.writeTextFileSync(mine, this.key, { mode: 0o600, createNew: true });
    this.#keyFile = Deno.openSync(mine);
    const { ino } = this.#keyFile.statSync();
    // Before it can be seen: nobody ever finds it without its lock.
    if (!await this.#keyFile.tryLock(true)) {
      throw new TypeError(`Cannot listen at ${path}: no file can be locked`);
    }
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      try {
        Deno.linkSync(mine, keyFile(path));
        this.#keyIno = ino;
        return false;
      } catch (error) {
        if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      }
      using old = openKey(path);
      if (!old) continue;
      if (!await old.tryLock(true)) break;
      // It may be one that its listener has removed, or replaced, since.
      if (inoOf(keyFile(path)) !== old.statSync().ino) continue;
      Deno.renameSync(mine, keyFile(path));
      this.#keyIno = ino;
      return true;
    }
    throw new TypeError(
      `Cannot listen at ${path}: another program listens there`,
    );
  }

  /** Leaves it. Whatever somebody has put there since stays. */
  free(): void {
    const { path } = this;
    try {
      remove(path, this.#socketIno);
      remove(keyFile(path), this.#keyIno);
    } catch {
      // The folder may have gone, or be one that we cannot write to any more.
    }
    this.#keyFile?.close();
    this.#keyFile = undefined;
  }
}

function remove(path: string, ino: number | null): void {
  if (ino !== null && inoOf(path) === ino) Deno.removeSync(path);
}

/** What is there; `undefined` when nothing is. */
function look(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function inoOf(path: string): number | null {
  return look(path)?.ino ?? null;
}

/** @throws {TypeError} when others could put something in its place */
function checkFolder(folder: string): void {
  const { mode, uid } = Deno.statSync(folder);
  const own = uid === Deno.uid() || uid === 0;
  // In a folder like /tmp only the owner of a file can replace it.
  const open = (mode! & 0o022) !== 0 && (mode! & 0o1000) === 0;
  if (own && !open) return;
  throw new TypeError(
    `Cannot listen in ${folder}: other users can write there; make a folder for it with mode 0700`,
  );
}

/** @throws {TypeError} when it is too long for the path of a socket */
function checkLength(path: string, socket: string): void {
  const over = new TextEncoder().encode(socket).length - MAX_PATH;
  if (over <= 0) return;
  throw new TypeError(
    `Cannot listen at ${path}: it is too long for the path of a socket, by ${over} bytes`,
  );
}

/** @throws {TypeError} when something is there that is no socket of ours */
function checkSocket(path: string): void {
  const there = look(path);
  const why = !there
    ? undefined
    : !there.isSocket
    ? "there is something that is not a socket"
    : there.uid !== Deno.uid()
    ? "the socket there is another user's"
    : undefined;
  if (why) throw new TypeError(`Cannot listen at ${path}: ${why}`);
}

/**
 * Opens the key file that is there.
 *
 * @throws {TypeError} when no listener has written it
 */
function openKey(path: string): Deno.FsFile | undefined {
  const file = keyFile(path);
  const there = look(file);
  if (!there) return undefined;
  if (
    there.isFile && there.uid === Deno.uid() &&
    (there.mode! & 0o777) === 0o600 && there.size === KEY_SIZE
  ) {
    try {
      if (isKey(Deno.readTextFileSync(file))) return Deno.openSync(file);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }
  throw new TypeError(
    `Cannot listen at ${path}: its key would be in ${file}, where there is something that no listener has written`,
  );
}

/**
 * Makes sure that a socket that is there was left behind by a dead listener.
 *
 * @param left whether its key was there as well
 * @throws {TypeError} when it may be of use to somebody
 */
async function checkDead(path: string, left: boolean): Promise<void> {
  if (!look(path)) return;
  const why = !left
    ? "there is a socket that no listener has left behind"
    : await refuses(path)
    ? undefined
    : "another program listens there";
  if (why) throw new TypeError(`Cannot listen at ${path}: ${why}`);
}

/** Whether nobody has the socket open. One who is only busy does not refuse. */
function refuses(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.on("connect", () => end(false));
    socket.on(
      "error",
      ({ code }: { code?: string }) => end(code === "ECONNREFUSED"),
    );
  });
}
