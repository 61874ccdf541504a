import type { Context } from "./context.ts";
import { Contexts } from "./contexts.ts";
import { Ends } from "./ends.ts";
import {
  behind,
  type ChannelError,
  type CloseReason,
  Dead,
  DisconnectedError,
  errorMessage,
  fromDead,
  routeLost,
  toDead,
} from "./errors.ts";
import { extensionsOf } from "./extensions.ts";
import type { Extensions } from "./codec.ts";
import type { FunctionResolver, ModuleStore } from "./functions.ts";
import { Handle, MAX_MESSAGE_SIZE } from "./frame.ts";
import {
  type HandlerFunction,
  type HandlerOptions,
  Handlers,
} from "./handlers.ts";
import type { Link } from "./link.ts";
import { Lanes } from "./lanes.ts";
import type { LogLevel, LogRecord } from "./logs.ts";
import { Message } from "./message.ts";
import type { ParentRoom } from "./parent_room.ts";
import type { ConnectOptions, Methods, Progress } from "./options.ts";
import type { RouterConfig } from "./router_config.ts";
import { Runner } from "./runner.ts";
import type { Listener, ServeOptions } from "./service.ts";
import { WaysIn } from "./ways_in.ts";

/** How many ids a link may have sent to before no more are remembered. */
const MAX_EGRESS = 65536;

/** Bytes of answers that may wait for a neighbour below. */
const MAX_OWED = 32 * 1024 * 1024;

/** About the bytes of memory of a message that waits, beside its data. */
const MESSAGE_COST = 1024;

/**
 * Takes messages where they belong: to a handler of this context, or over a
 * link to the next one. The only place where trust is decided.
 */
export class Router extends WaysIn {
  /** Its context's id; 0 is the master. */
  readonly id: number;
  /** Its context's path. */
  readonly path: string;
  /** Ids of its ancestors, nearest first. */
  readonly parentIds: readonly number[];
  /** Limit on the data of one message, in bytes. */
  readonly maxMessageSize: number;
  /** Whether siblings are kept from talking to each other. */
  readonly unidirectional: boolean;
  /** The codec's extensions that know this router. */
  readonly extensions: Extensions;
  /** The handles of this context. */
  readonly handlers: Handlers = new Handlers(
    (id) => this.#isParent(id),
    (id) => this.#routes.get(id) ?? this.parentLink,
    (message, error, link) => this.#failed(message, error, link),
  );
  /** The ends of what is live between this context and others. */
  readonly ends: Ends;
  /** The large messages that are under way. */
  readonly lanes: Lanes = new Lanes(this);
  /** The calls that run here. */
  readonly runner: Runner = new Runner(this);
  /** The link to the parent; the master has none. */
  parentLink: Link | undefined;
  /** Turns functions into what a call sends. Set by the host. */
  functions!: FunctionResolver & ModuleStore;
  /** This library's core, compressed: what a child is sent. Set by the host. */
  core: Uint8Array = new Uint8Array(0);
  /** Milliseconds that children get to end before they are made to. */
  shutdownTimeout = 1200;
  /** Ids that this context may give to its own children. */
  readonly ids: readonly [number, number] | undefined;
  /** Takes the log records of this context. Set by the host. */
  onRecord: (record: LogRecord) => void = () => {};
  /** Told when a link is lost, with the ids that were behind it and why each is. */
  onLinkLost?: (link: Link, lost: Map<number, CloseReason>) => void;
  /** Told of what came for a context that is not there, with no answer wanted. */
  onNoRoute?: (id: number, from: Link, why: string) => void;
  /** Told of every step of opening a context. */
  readonly onProgress: ((progress: Progress) => void) | undefined;
  /** Told when the parent's link is lost. Set by the host of a child. */
  onOrphaned: (reason: CloseReason) => void = () => this.close();
  /** Ends what the parent room has begun. */
  onShutdown: (() => Promise<void>) | undefined;
  /** What is to end before this context does, which waits for it for a while. */
  readonly ending: Set<Promise<unknown>> = new Set();

  readonly #routes = new Map<number, Link>();
  readonly #links = new Set<Link>();
  readonly #contexts: Contexts = new Contexts(this);
  #down: Promise<void> | undefined;

  /** Made by the host; users make the `Router` of the master room. */
  constructor(config: RouterConfig) {
    super();
    this.id = config.id;
    this.path = config.path;
    this.parentIds = config.parentIds;
    this.ids = config.ids;
    this.maxMessageSize = config.maxMessageSize ?? MAX_MESSAGE_SIZE;
    this.unidirectional = config.unidirectional ?? false;
    this.extensions = extensionsOf(this);
    this.ends = new Ends(this);
    this.addHandler((message) => message.reply(undefined), {
      handle: Handle.PING,
      service: true,
    });
  }

  /** Opens a context by the name of its method. */
  override async open<M extends keyof Methods>(
    method: M,
    options: Methods[M],
  ): Promise<Context> {
    return (await this.parentRoom()).connect(this, method, options);
  }

  /** Opens a context, or a chain of them, that is named by a text. */
  override async connect(
    spec: string | readonly string[],
    options: ConnectOptions = {},
  ): Promise<Context> {
    return (await this.parentRoom()).connectSpec(this, spec, options);
  }

  /**
   * Lets others call the methods of an object.
   *
   * @param object its own functions are served, or what `methods` names, but
   *   none that begins with `_`, until what is returned is disposed of
   * @throws {TypeError} when the name is taken, or there is nothing to call
   */
  async serve(
    name: string,
    object: object,
    options?: ServeOptions,
  ): Promise<Disposable> {
    return (await this.parentRoom()).serve(this, name, object, options);
  }

  /**
   * Lets other programs of this user join the tree here: see `connectUnix()`.
   * @param path of the Unix socket, in a folder that only this user can write to
   * @throws {TypeError} when something listens there, or the place is not safe
   */
  async listen(path: string): Promise<Listener> {
    return (await this.parentRoom()).listen(this, path);
  }

  /** The parent room, which is loaded when it is first needed. */
  parentRoom(): Promise<ParentRoom> {
    return this.functions.load("mitogen:parent") as Promise<ParentRoom>;
  }

  /** Registers a handler and returns its handle. */
  addHandler(fn: HandlerFunction, options?: HandlerOptions): number {
    return this.handlers.add(fn, options);
  }

  /** Forgets a handle. */
  deleteHandler(handle: number): void {
    this.handlers.delete(handle);
  }

  /** The context of this id, always the same object. */
  contextById(id: number, path?: string): Context {
    return this.#contexts.byId(id, path);
  }

  /** Keeps a context, which may only be known by name, until its end is known. */
  hold(context: Context): void {
    this.#contexts.hold(context);
  }

  /** This context. */
  myself(): Context {
    return this.#contexts.byId(this.id, this.path);
  }

  /** The contexts below this one that are open. */
  contexts(): Context[] {
    return this.#contexts.open();
  }

  /** The link that leads down to a context, if there is one. */
  routeTo(id: number): Link | undefined {
    return this.#routes.get(id);
  }

  /** Links to all neighbours but the parent. */
  childLinks(): Link[] {
    return [...this.#links].filter((link) => link !== this.parentLink);
  }

  /** Takes up a link to a neighbour. Start it afterwards. */
  addLink(link: Link): void {
    this.#links.add(link);
  }

  /** Learns that a context is to be reached over a link. A guest is not listed. */
  addRoute(id: number, link: Link, path: string, guest?: boolean): Context {
    this.#routes.set(id, link);
    return this.#contexts.add(id, path, guest);
  }

  /** Forgets a route, and fails all that waits for its context. */
  deleteRoute(id: number, reason: CloseReason): void {
    this.#routes.delete(id);
    for (const link of this.#links) link.egressIds.delete(id);
    this.contextLost(id, reason);
  }

  /** Fails all that waits for a context, and cancels what it has called. */
  contextLost(id: number, reason: CloseReason, cancel = true): void {
    if (cancel) this.runner.lost(id, reason);
    const context = this.#contexts.remove(id);
    if (!context) return;
    context.markClosed(reason);
    this.ends.lost(id, new DisconnectedError(reason, context.path));
    this.handlers.disconnect(context, `${Dead.RESPONDENT}: ${reason.message}`);
  }

  /** Called by a link when it is closed, once. */
  linkClosed(link: Link, reason: CloseReason): void {
    this.#links.delete(link);
    const further = behind(this.contextById(link.remoteId).path, reason);
    const lost = new Map<number, CloseReason>();
    for (const [id, via] of this.#routes) {
      if (via === link) lost.set(id, id === link.remoteId ? reason : further);
    }
    this.onLinkLost?.(link, lost);
    for (const [id, reason] of lost) this.deleteRoute(id, reason);
    if (link === this.parentLink) this.onOrphaned(reason);
  }

  /** Sends a message that was made here. */
  route(message: Message): void {
    message.srcId = message.authId = this.id;
    if (message.size > this.maxMessageSize) {
      const text = `${Dead.SIZE} (max ${this.maxMessageSize} bytes)`;
      if (message.replyTo === 0 || message.isDead) {
        // A reply that is too large still wakes the one who waits for it.
        const { dstId, handle } = message;
        this.route(Message.dead(text, { dstId, handle }));
      }
      return this.unsent(message, fromDead(text));
    }
    if (this.lanes.takes(message)) return this.lanes.send(message);
    this.#forward(message, undefined);
    message.sent();
  }

  /**
   * Sends an answer. Who asks and asks and does not read what it is told would
   * fill the memory of this context: it is cut off.
   */
  answer(message: Message): void {
    const link = this.#routes.get(message.dstId);
    if (link) {
      if (link.owed > MAX_OWED) {
        const why = "it does not read the answers to what it asks";
        this.log("error", why, link.remoteId);
        return link.close({ kind: "protocol", message: why });
      }
      const owed = message.size + MESSAGE_COST;
      link.owed += owed;
      message.written = () => link.owed -= owed;
    }
    this.route(message);
  }

  /** Fails what waits for a message that was made here and cannot arrive. */
  unsent(message: Message, why: ChannelError): void {
    this.#refuse(message, toDead(why));
    for (const end of message.live ?? []) end.lost(why);
    message.written?.();
  }

  /** Takes a message that a link brought. */
  receive(message: Message, link: Link): void {
    const { srcId, authId } = message;
    // Reverse path: who claims to have sent or allowed this must live where it
    // came from. Whatever is not below lives above.
    if (link !== (this.#routes.get(authId) ?? this.parentLink)) {
      return link.complain(`bad auth ${authId}`, message);
    }
    if (
      srcId !== authId && link !== (this.#routes.get(srcId) ?? this.parentLink)
    ) {
      return link.complain(`bad src ${srcId}`, message);
    }
    if (link.authId !== undefined) message.authId = link.authId;
    this.#forward(message, link);
  }

  #forward(message: Message, from: Link | undefined): void {
    const { dstId } = message;
    if (dstId === this.id || this.#isRoot(message)) {
      return this.deliver(message, from);
    }
    const out = this.#routes.get(dstId) ?? this.parentLink;
    // Never back: where it came from, the way on is not known any more.
    if (!out || out === from) {
      const why = `${Dead.NO_ROUTE}${dstId}, my ID is ${this.id}`;
      if (message.replyTo) return this.#refuse(message, why);
      // Whoever sends it may wait for the end of that context, of which it was
      // not told when that was: it had not spoken to it yet.
      if (from) return this.onNoRoute?.(dstId, from, why);
      const lost = () => this.contextLost(dstId, routeLost(why), false);
      return queueMicrotask(lost);
    }
    if (from) {
      if (
        this.unidirectional && !this.#privileged(from) && !this.#privileged(out)
      ) {
        return this.#refuse(
          message,
          `routing mode prevents forward of message from context ${message.srcId} to context ${dstId} via context ${this.id}`,
        );
      }
      if (from !== this.parentLink && from.egressIds.size < MAX_EGRESS) {
        from.egressIds.add(dstId);
      }
    }
    out.send(message, from);
    if (
      message.handle === Handle.SHUTDOWN && dstId === out.remoteId &&
      this.hasParentAuthority(message)
    ) out.expectEnd();
  }

  /** Whether it is for the master, which there is none of any more. */
  #isRoot({ dstId, handle }: Message): boolean {
    return dstId === 0 && handle === Handle.FORWARD_LOG && !this.parentLink;
  }

  #privileged(link: Link): boolean {
    return link === this.parentLink ||
      (link.authId !== undefined && this.#isParent(link.authId));
  }

  /** Whether a context is above or below: its loss is always known here. */
  isNear(id: number): boolean {
    return this.#isParent(id) || this.#routes.has(id);
  }

  #isParent(id: number): boolean {
    return id === this.id || this.parentIds.includes(id);
  }

  /** Whether a message acts for this context or for one of its ancestors. */
  hasParentAuthority(message: Message): boolean {
    return this.#isParent(message.authId);
  }

  /** Hands over a message that is for this context, and was checked before. */
  deliver(sent: Message, link: Link | undefined): void {
    // What is live in it has two ends here, and each its own message.
    const message = link ? sent : Message.fromFrame(sent.pack());
    message.router = this;
    const refused = this.handlers.dispatch(message, link);
    if (refused !== undefined) {
      this.refuseFrom(message, refused, link);
      if (refused === Dead.HANDLE) message.leave();
    }
    if (!link) sent.written?.();
  }

  /** Says to whoever may care that a message did not reach its handle. */
  refuseFrom(message: Message, refused: string, link?: Link): void {
    // Late replies to calls that were cancelled end here too: no reason to shout.
    if (link && refused !== Dead.HANDLE) {
      link.complain(`${refused}: handle ${message.handle}`, message);
    }
    this.#refuse(message, refused);
  }

  /** Answers with a dead message, unless that is what it is or nobody waits. */
  #refuse(message: Message, reason: string): void {
    const { srcId: dstId, replyTo: handle } = message;
    if (message.isDead || handle === 0) return;
    this.answer(Message.dead(reason, { dstId, handle }));
  }

  /** A handler threw. Whoever waits for its answer is told, like the log. */
  #failed(message: Message, error: unknown, link: Link | undefined): void {
    const why = errorMessage(error).slice(0, 1000);
    const what = `handler ${message.handle} failed: ${why}`;
    if (!link) return this.log("error", what);
    link.complain(what, message);
    this.#refuse(message, "the handler failed");
  }

  /** Logs something about a context; by default this one. */
  log(level: LogLevel, message: string, contextId = this.id): void {
    this.onRecord({
      level,
      logger: "mitogen",
      message,
      contextId,
      path: this.contextById(contextId).path,
      time: Date.now(),
    });
  }

  /** Ends every context that this router opened, then the router. */
  shutdown(): Promise<void> {
    return this.#down ??= this.#shutdown();
  }

  async #shutdown(): Promise<void> {
    await this.onShutdown?.();
    for (const link of this.childLinks()) {
      link.close({ kind: "shutdown", message: "the router was shut down" });
    }
    if (this.id === 0) this.close();
  }

  /** Goes on without what is above: fails all that waits for it. */
  cutOff(reason: CloseReason): void {
    this.parentLink = undefined;
    for (const id of this.#contexts.ids()) {
      if (id === this.id || this.#routes.has(id)) continue;
      this.contextLost(id, reason, false);
    }
  }

  /** Fails all that waits here. */
  close(): void {
    this.ends.close(fromDead(Dead.ROUTER));
    this.handlers.close();
  }

  /** The same as {@linkcode Router.shutdown}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }
}
