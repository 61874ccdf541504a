import { timingSafeEqual } from "node:crypto";
import { connect, createServer, type Server, type Socket } from "node:net";
import { basename, dirname, join, resolve } from "node:path";
import {
  Handle,
  Link,
  type Listener,
  Message,
  type Router,
  SocketTransport,
} from "../core/mod.ts";
import { coreDigest, hear, type Hello, keyFile, say } from "./handshake.ts";
import { type Child, Parent } from "./parent.ts";
import { childConfig, childPath } from "./process_context.ts";
import { serveTree } from "./tree_service.ts";

/** Milliseconds that a program gets to say who it is. */
const PATIENCE = 5000;

/** Programs that may be about to say it. */
const MAX_STRANGERS = 32;

/** A Unix socket's path has no more bytes anywhere. */
const MAX_PATH = 103;

/** Lets other programs of this user join the tree at this context. */
export async function listen(
  router: Router,
  path: string,
): Promise<Listener> {
  const place = resolve(path);
  if (Deno.build.os === "windows") {
    throw new TypeError("Cannot listen: there are no Unix sockets here");
  }
  checkFolder(dirname(place));
  await checkFree(place);
  serveTree(router);
  const listener = new UnixListener(router, place);
  await listener.open();
  return listener;
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

/** @throws {TypeError} when something is there that is not a socket left behind */
async function checkFree(path: string): Promise<void> {
  let there: Deno.FileInfo;
  try {
    there = Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  const why = !there.isSocket
    ? "there is something that is not a socket"
    : there.uid !== Deno.uid()
    ? "the socket there is another user's"
    : await answers(path)
    ? "another program listens there"
    : undefined;
  if (why) throw new TypeError(`Cannot listen at ${path}: ${why}`);
}

/** Whether somebody listens. One who was killed leaves the socket behind. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (answer: boolean) => () => {
      socket.destroy();
      resolve(answer);
    };
    socket.on("connect", end(true)).on("error", end(false));
  });
}

/** A socket at which programs join. */
class UnixListener implements Listener {
  readonly path: string;
  readonly #router: Router;
  readonly #parent: Parent;
  readonly #server: Server;
  readonly #key = crypto.getRandomValues(new Uint8Array(32)).toHex();
  readonly #strangers = new Map<Socket, AbortController>();
  readonly #joined = new Set<JoinedProgram>();
  #file: number | null = null;
  #closed: Promise<void> | undefined;
  readonly #end = () => this.close();

  constructor(router: Router, path: string) {
    this.path = path;
    this.#router = router;
    this.#parent = Parent.of(router);
    this.#server = createServer((socket) => void this.#greet(socket));
  }

  /** Begins. The socket is in place when its mode is right, not before. */
  async open(): Promise<void> {
    const { path } = this;
    const folder = dirname(path);
    const inner = Deno.makeTempDirSync({ dir: folder, prefix: ".m" });
    try {
      const socket = join(inner, "s");
      for (const place of [path, socket]) {
        if (new TextEncoder().encode(place).length <= MAX_PATH) continue;
        throw new TypeError(
          `Cannot listen at ${path}: it is too long for the path of a socket, by ${
            place.length - MAX_PATH
          } bytes`,
        );
      }
      await new Promise<void>((resolve, reject) => {
        this.#server.once("error", reject);
        this.#server.listen(socket, resolve);
      });
      Deno.chmodSync(socket, 0o600);
      this.#file = Deno.lstatSync(socket).ino;
      const key = join(inner, basename(keyFile(path)));
      Deno.writeTextFileSync(key, this.#key, { mode: 0o600, createNew: true });
      Deno.renameSync(key, keyFile(path));
      Deno.renameSync(socket, path);
    } catch (error) {
      this.#server.close();
      throw error;
    } finally {
      Deno.removeSync(inner, { recursive: true });
    }
    this.#parent.closers.add(this.#end);
  }

  async #greet(socket: Socket): Promise<void> {
    // Its end is noticed by who reads.
    socket.on("error", () => {});
    const controller = new AbortController();
    const late = setTimeout(
      () => controller.abort(new Error("it did not say who it is")),
      PATIENCE,
    );
    this.#strangers.set(socket, controller);
    try {
      if (this.#strangers.size > MAX_STRANGERS) {
        throw new Error("too many programs are joining at once");
      }
      const [heard, rest] = await hear(socket, controller.signal);
      this.#check(heard as Partial<Hello>);
      await this.#adopt(socket, rest);
    } catch (error) {
      say(socket, { error: (error as Error).message });
      socket.end(() => socket.destroy());
    } finally {
      clearTimeout(late);
      this.#strangers.delete(socket);
    }
  }

  #check(hello: Partial<Hello> | null): void {
    const given = new TextEncoder().encode(String(hello?.key));
    const key = new TextEncoder().encode(this.#key);
    if (given.length !== key.length || !timingSafeEqual(given, key)) {
      this.#router.log("warn", `refused to let a program in at ${this.path}`);
      throw new Error("it does not know the key");
    }
    if (hello!.core !== coreDigest(this.#router.core)) {
      throw new Error("this tree runs another version of the library");
    }
  }

  async #adopt(socket: Socket, rest: Uint8Array): Promise<void> {
    const router = this.#router;
    const parent = this.#parent;
    const id = await parent.ids.one();
    if (this.#closed) throw new Error("the listener was closed");
    const path = childPath(parent, parent.serial("unix"));
    const config = childConfig(parent, id, path);
    say(socket, { config });
    const joined = new JoinedProgram(id, socket, rest);
    const link = new Link(router, joined, id);
    // It is part of what this context does.
    link.authId = router.id;
    this.#joined.add(joined);
    void joined.gone.then(() => this.#joined.delete(joined));
    parent.adopt(link, path, joined, config.ids, true);
    parent.monitor.watch(link);
  }

  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#parent.closers.delete(this.#end);
    const closed = new Promise<void>((resolve) =>
      this.#server.close(() => resolve())
    );
    for (const controller of this.#strangers.values()) {
      controller.abort(new Error("the listener was closed"));
    }
    try {
      // Another may have taken the place since.
      if (Deno.lstatSync(this.path).ino === this.#file) {
        Deno.removeSync(this.path);
        Deno.removeSync(keyFile(this.path));
      }
    } catch {
      // Somebody has cleared it away.
    }
    // They close their links, or those are closed: see `reap()`.
    const gone = [...this.#joined].map((joined) => {
      const to = { dstId: joined.id, handle: Handle.SHUTDOWN };
      this.#router.route(new Message(to));
      return joined.gone;
    });
    await Promise.all([closed, ...gone]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** A program that has joined. It is let go, never ended. */
class JoinedProgram extends SocketTransport implements Child {
  readonly gone: Promise<void>;
  /** Its id in the tree. */
  readonly id: number;
  #resolve!: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(id: number, socket: Socket, rest: Uint8Array) {
    super(socket, socket, rest);
    this.id = id;
    this.gone = new Promise((resolve) => this.#resolve = resolve);
  }

  reap(timeout: number): void {
    this.#timer ??= setTimeout(() => this.close(), timeout);
  }

  override close(): void {
    clearTimeout(this.#timer);
    super.close();
    this.#resolve();
  }
}
