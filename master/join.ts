import { connect, type Socket } from "node:net";
import { resolve } from "node:path";
import {
  after,
  type AnyFunction,
  checkTime,
  type ChildConfig,
  type CloseReason,
  ConnectError,
  type ConnectErrorKind,
  type ConnectOptions,
  type Context,
  errorMessage,
  type FunctionRef,
  Handle,
  Link,
  type LogRecord,
  type Methods,
  type PackedModule,
  type ParentRoom,
  Router as CoreRouter,
  SocketTransport,
  type Transport,
} from "../core/mod.ts";
import * as parentRoom from "../parent/mod.ts";
import {
  Activity,
  checkPath,
  connectThere,
  coreDigest,
  hear,
  isKey,
  keepaliveOf,
  KEY_SIZE,
  keyFile,
  Parent,
  say,
  TREE,
  type TreeService,
  type Welcome,
  within,
} from "../parent/mod.ts";
import { Functions } from "./functions.ts";
import { printRecord } from "./log_sink.ts";
import { corePack } from "./pack.ts";
import { Responder } from "./responder.ts";

/** Milliseconds until it is tried again to connect where there was no room. */
const RETRY = 30;

/** How a program joins a tree. */
export interface JoinOptions {
  /** Gives up, with kind `cancelled`. */
  signal?: AbortSignal;
  /** Milliseconds until it gives up, with kind `timeout`. @default {30_000} */
  connectTimeout?: number;
  /**
   * Takes what the library has to say in this program; the log of the tree goes
   * to its master. Default: all but debug records are printed to stderr.
   */
  onLog?: (record: LogRecord) => void;
  /**
   * Seconds between the signs of life that it and the context that it joins ask
   * of each other; 0 asks for none. @default {15}
   */
  keepaliveInterval?: number;
  /** Signs of life that either of them may miss. @default {3} */
  keepaliveCount?: number;
}

/**
 * Sends functions by reference as the master does. The tree does not have this
 * program's modules: where they are called first, they are handed in before.
 */
class JoinedFunctions extends Functions {
  readonly #responder: Responder;
  readonly #there = new Map<string, Promise<void>>();
  /** The context at which this program has joined. Set when it has. */
  listener!: Context;

  constructor(responder: Responder) {
    super(responder);
    this.#responder = responder;
  }

  override async refer(
    fn: AnyFunction,
    caller: { stack?: string },
  ): Promise<FunctionRef> {
    const ref = await super.refer(fn, caller);
    if (/^(global|mitogen):|^$/.test(ref[0])) return ref;
    await this.#handIn(ref[0]);
    return ref;
  }

  override async offer(specifier: string): Promise<string> {
    const url = await super.offer(specifier);
    await this.#handIn(url);
    return url;
  }

  #handIn(url: string): Promise<void> {
    let done = this.#there.get(url);
    if (!done) {
      done = this.#send(url);
      this.#there.set(url, done);
      done.catch(() => this.#there.delete(url));
    }
    return done;
  }

  async #send(root: string): Promise<void> {
    await this.#responder.ensure(root);
    const modules = new Map<string, PackedModule>();
    const queue = [root];
    for (let url = queue.pop(); url !== undefined; url = queue.pop()) {
      const module = this.#responder.get(url);
      if (!module || modules.has(url)) continue;
      modules.set(url, module);
      queue.push(...Object.values(module.imports));
    }
    const tree = this.listener.service<TreeService>(TREE);
    await tree.take([...modules.values()]);
  }
}

/**
 * The router of a program that has joined a tree. Its contexts are those of
 * the tree at and below the context that it joined, and it acts for that one.
 */
export class JoinedRouter extends CoreRouter {
  /** The context that it joined at. */
  readonly listener: Context;
  /** Settles when it is no longer part of the tree; never rejects. */
  readonly left: Promise<CloseReason>;
  #leaving: Promise<void> | undefined;

  /** Made by `connectUnix()`. */
  constructor(
    config: ChildConfig,
    transport: Transport,
    onLog: JoinOptions["onLog"],
  ) {
    super(config);
    this.onRecord = onLog ?? printRecord;
    this.core = corePack();
    const functions = new JoinedFunctions(new Responder());
    this.functions = functions;
    Parent.of(this);
    const id = config.parentIds[0]!;
    const link = new Link(this, transport, id);
    this.parentLink = link;
    this.addLink(link);
    this.listener = functions.listener = this.addRoute(
      id,
      link,
      config.path.slice(0, config.path.lastIndexOf("/")),
      // A master runs nothing for others.
      id === 0,
    );
    const left = Promise.withResolvers<CloseReason>();
    this.left = left.promise;
    this.onOrphaned = (reason) => {
      this.close();
      left.resolve(reason);
      void this.shutdown();
    };
    this.addHandler(() => {
      this.#leaving ??= this.#leave("the context that it joined let it go");
    }, {
      handle: Handle.SHUTDOWN,
      service: true,
      policy: (message) => this.hasParentAuthority(message),
    });
    link.start();
  }

  /** The parent room, which is here already. */
  override parentRoom(): Promise<ParentRoom> {
    return Promise.resolve(parentRoom);
  }

  /**
   * Opens a context. It belongs to the tree, and stays when this program
   * leaves, unless `via` is `router.myself()`.
   */
  override async open<M extends keyof Methods>(
    method: M,
    options: Methods[M],
  ): Promise<Context> {
    const { via, signal: _, ...rest } = options as Methods[M] & ConnectOptions;
    if (via && via !== this.listener) return super.open(method, options);
    const id = await connectThere(
      this.listener,
      options,
      (signal) =>
        this.listener.with({ signal }).service<TreeService>(TREE)
          .open(method, rest as Methods[M]),
    );
    return this.contextById(id);
  }

  /** Leaves the tree, which goes on. */
  override shutdown(): Promise<void> {
    return this.#leaving ??= this.#leave("it left the tree");
  }

  async #leave(message: string): Promise<void> {
    await super.shutdown();
    const { parentLink } = this;
    const said = this.lanes.drained().then(() => parentLink?.flushed());
    await within(said, this.shutdownTimeout);
    parentLink?.close({ kind: "shutdown", message });
    await this.left;
  }
}

/**
 * Joins a tree that another program of this user runs, at a context that
 * listens there: see `router.listen()`.
 *
 * @param path of the socket
 * @returns a router with the contexts of that tree
 * @throws {TypeError} when that is no path
 * @throws {ConnectError} `not-found`: nobody listens; `auth`: it is not this
 *   user's; `bootstrap`: it would not let us in
 *
 * @example
 * ```ts ignore
 * import { connectUnix } from "@mitogen/mitogen";
 *
 * await using router = await connectUnix("/run/user/1000/fleet");
 * for (const context of router.contexts()) {
 *   console.log(context.path, await context.call(Deno.hostname));
 * }
 * ```
 */
export async function connectUnix(
  path: string,
  options: JoinOptions = {},
): Promise<JoinedRouter> {
  checkPath(path, "join");
  const place = resolve(path);
  const fail = (kind: ConnectErrorKind, why: string, cause?: unknown) =>
    new ConnectError(`Cannot join at ${place}: ${why}`, {
      kind,
      hop: place,
      cause,
    });
  const { signal: given, connectTimeout = 30_000, onLog } = options;
  checkTime("Cannot join: connectTimeout", connectTimeout);
  const keepalive = keepaliveOf(options, "join");
  const controller = new AbortController();
  const { signal } = controller;
  const abort = () =>
    controller.abort(
      fail("cancelled", `cancelled: ${errorMessage(given!.reason)}`),
    );
  given?.addEventListener("abort", abort);
  if (given?.aborted) abort();
  const stop = after(
    connectTimeout,
    () =>
      controller.abort(fail("timeout", `not in after ${connectTimeout} ms`)),
  );
  let socket: Socket | undefined;
  let router: JoinedRouter | undefined;
  try {
    signal.throwIfAborted();
    const key = readKey(place, fail);
    socket = await dial(place, signal);
    const heard = hear(socket, signal);
    const core = coreDigest(corePack());
    say(socket, { key, core, keepalive, pid: Deno.pid });
    const [answer, rest] = await heard as [Welcome, Uint8Array];
    if ("error" in answer) throw fail("bootstrap", answer.error);
    const transport = new SocketTransport(socket, socket, rest);
    router = new JoinedRouter(answer.config, transport, onLog);
    const { pid } = answer;
    const activity = pid === undefined ? undefined : new Activity(pid);
    router.parentLink!.keepAlive(
      keepalive,
      () => activity?.isBusy() ?? false,
    );
    // Behind the word of every context that there is.
    await unless(signal, router.listener.ping());
    return router;
  } catch (error) {
    socket?.destroy();
    router?.parentLink?.close({ kind: "eof", message: errorMessage(error) });
    if (error instanceof ConnectError) throw error;
    const { code } = error as { code?: string };
    throw code === "ECONNREFUSED"
      ? fail("not-found", "nobody listens there any more", error)
      : fail("eof", errorMessage(error), error);
  } finally {
    stop();
    given?.removeEventListener("abort", abort);
  }
}

/** Connects to a socket. Where many do, there may be no room for a moment. */
async function dial(path: string, signal: AbortSignal): Promise<Socket> {
  for (;;) {
    const socket = connect(path);
    const error = await new Promise<{ code?: string } | undefined>(
      (resolve) => {
        socket.once("connect", () => resolve(undefined));
        // Its end, later on, is noticed by who reads.
        socket.on("error", resolve);
      },
    );
    if (!error) return socket;
    if (error.code !== "EAGAIN") throw error;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const pause = new Promise((resolve) => timer = setTimeout(resolve, RETRY));
    await unless(signal, pause).finally(() => clearTimeout(timer));
  }
}

/** Waits for something, unless the signal fires before. */
async function unless<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** Makes sure that the socket is this user's, and reads the key beside it. */
function readKey(
  path: string,
  fail: (kind: ConnectErrorKind, why: string, cause?: unknown) => ConnectError,
): string {
  for (const file of [path, keyFile(path)]) {
    let info: Deno.FileInfo;
    try {
      info = Deno.lstatSync(file);
    } catch (error) {
      const missing = error instanceof Deno.errors.NotFound;
      throw missing
        ? fail("not-found", "nobody listens there", error)
        : fail("auth", errorMessage(error), error);
    }
    const right = file === path ? info.isSocket : info.isFile;
    if (!right || info.uid !== Deno.uid() || (info.mode! & 0o077) !== 0) {
      throw fail(
        "auth",
        `${file} is not a ${
          file === path ? "socket" : "file"
        } that only this user can open`,
      );
    }
  }
  // What is not a listener's is not shown to whoever has that socket.
  const file = keyFile(path);
  const key = Deno.lstatSync(file).size === KEY_SIZE
    ? Deno.readTextFileSync(file)
    : "";
  if (!isKey(key)) {
    throw fail("auth", `${file} is not the key of a listener`);
  }
  return key;
}
