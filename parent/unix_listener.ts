import { timingSafeEqual } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import { resolve } from "node:path";
import {
  ConnectError,
  Handle,
  Link,
  type Listener,
  Message,
  type Router,
  SocketTransport,
} from "../core/mod.ts";
import { checkPath, coreDigest, hear, type Hello, say } from "./handshake.ts";
import { Activity, keepaliveOf } from "./keepalive.ts";
import { type Child, Parent } from "./parent.ts";
import { Place } from "./place.ts";
import { childConfig, childPath } from "./process_context.ts";
import { Slots } from "./slots.ts";
import { serveTree } from "./tree_service.ts";

/** Milliseconds that a program gets to say who it is. */
const PATIENCE = 5000;

/** Programs that may be about to say it. Others wait for their turn. */
const MAX_HEARD = 32;

/** Programs that may wait. */
const MAX_WAITING = 1000;

/** Lets other programs of this user join the tree at this context. */
export async function listen(
  router: Router,
  path: string,
): Promise<Listener> {
  checkPath(path, "listen");
  const place = resolve(path);
  if (Deno.build.os === "windows") {
    throw new TypeError("Cannot listen: there are no Unix sockets here");
  }
  const parent = Parent.of(router);
  const controller = new AbortController();
  try {
    return await parent.attempt(controller, async () => {
      serveTree(router);
      const listener = new UnixListener(router);
      await listener.open(place);
      // Whoever shuts the router down waits for this, and knows nothing of it.
      if (controller.signal.aborted) {
        await listener.close();
        throw controller.signal.reason;
      }
      return listener;
    });
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    throw new ConnectError(
      `Cannot listen at ${place}: cancelled: the router is shut down`,
      { kind: "cancelled", hop: place, cause: error },
    );
  }
}

/** A socket at which programs join. */
class UnixListener implements Listener {
  readonly #router: Router;
  readonly #parent: Parent;
  readonly #server: Server;
  readonly #strangers = new Map<Socket, AbortController>();
  readonly #slots = new Slots(MAX_HEARD);
  readonly #joined = new Set<JoinedProgram>();
  #place!: Place;
  #closed: Promise<void> | undefined;
  readonly #end = () => this.close();

  constructor(router: Router) {
    this.#router = router;
    this.#parent = Parent.of(router);
    this.#server = createServer((socket) => void this.#greet(socket));
  }

  get path(): string {
    return this.#place.path;
  }

  /** Begins. */
  async open(path: string): Promise<void> {
    try {
      this.#place = await Place.take(
        path,
        (socket) =>
          new Promise((resolve, reject) => {
            this.#server.once("error", reject);
            this.#server.listen(socket, resolve);
          }),
      );
    } catch (error) {
      this.#server.close();
      throw error;
    }
    this.#parent.closers.add(this.#end);
  }

  async #greet(socket: Socket): Promise<void> {
    // Its end is noticed by who reads.
    socket.on("error", () => {});
    const controller = new AbortController();
    const { signal } = controller;
    this.#strangers.set(socket, controller);
    let late: ReturnType<typeof setTimeout> | undefined;
    try {
      if (this.#strangers.size > MAX_HEARD + MAX_WAITING) {
        throw new Error("too many programs are joining at once");
      }
      await this.#slots.run(signal, async () => {
        late = setTimeout(
          () => controller.abort(new Error("it did not say who it is")),
          PATIENCE,
        );
        const [heard, rest] = await hear(socket, signal);
        const hello = heard as Partial<Hello> | null;
        this.#check(hello);
        await this.#adopt(socket, rest, hello!);
      });
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
    const key = new TextEncoder().encode(this.#place.key);
    if (given.length !== key.length || !timingSafeEqual(given, key)) {
      this.#router.log("warn", `refused to let a program in at ${this.path}`);
      throw new Error("it does not know the key");
    }
    if (hello!.core !== coreDigest(this.#router.core)) {
      throw new Error("this tree runs another version of the library");
    }
  }

  async #adopt(
    socket: Socket,
    rest: Uint8Array,
    { keepalive, pid }: Partial<Hello>,
  ): Promise<void> {
    const alive = keepaliveOf(
      keepalive
        ? {
          keepaliveInterval: keepalive.interval / 1000,
          keepaliveCount: keepalive.count,
        }
        : {},
      "join",
    );
    const router = this.#router;
    const parent = this.#parent;
    const id = await parent.ids.one();
    if (this.#closed) throw new Error("the listener was closed");
    const path = childPath(parent, parent.serial("unix"));
    const config = childConfig(parent, id, path);
    say(socket, { config, pid: Deno.pid });
    const joined = new JoinedProgram(id, socket, rest);
    const link = joined.link = new Link(router, joined, id);
    // It is part of what this context does.
    link.authId = router.id;
    this.#joined.add(joined);
    void joined.gone.then(() => this.#joined.delete(joined));
    parent.adopt(link, path, joined, config.ids, true);
    parent.monitor.watch(link);
    const activity = pid === undefined ? undefined : new Activity(Number(pid));
    link.keepAlive(alive, () => activity?.isBusy() ?? false);
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
    this.#place.free();
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
  /** The link above. */
  link!: Link;
  #resolve!: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(id: number, socket: Socket, rest: Uint8Array) {
    super(socket, socket, rest);
    this.id = id;
    this.gone = new Promise((resolve) => this.#resolve = resolve);
  }

  reap(timeout: number): void {
    // Its link, or what is behind it would stay in the tree.
    this.#timer ??= setTimeout(
      () => this.link.close({ kind: "timeout", message: "it did not leave" }),
      timeout,
    );
  }

  override close(): void {
    clearTimeout(this.#timer);
    super.close();
    this.#resolve();
  }
}
