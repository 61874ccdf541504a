import {
  type CloseReason,
  ConnectError,
  type Context,
  Handle,
  type Link,
  Message,
  type Router,
} from "../core/mod.ts";
import { Ids, type Range } from "./ids.ts";
import { ModuleServer } from "./module_server.ts";
import { isChild, RouteMonitor } from "./route_monitor.ts";
import { within } from "./within.ts";
import { Runtimes } from "./runtimes.ts";

/** A neighbour below, as far as its life is concerned. */
export interface Child {
  /** Makes sure that it ends within about so many milliseconds. */
  reap(timeout: number): void;
  /** Resolves when nothing of it is left. */
  readonly gone: Promise<void>;
  /**
   * From now on the end of its link is not its own end. False where that cannot
   * be, or must not.
   */
  letGo?(): boolean;
}

/** Why the link to a context is closed that outlives it. */
export const DETACHED: CloseReason = {
  kind: "detached",
  message: "it goes on without its parent",
};

const parents = new WeakMap<Router, Parent>();

/** What a router needs to have children. One for each router that has any. */
export class Parent {
  readonly router: Router;
  readonly ids: Ids;
  readonly monitor: RouteMonitor;
  /** What ends with this context, beside its children. */
  readonly closers: Set<() => Promise<void>> = new Set();
  readonly runtimes: Runtimes;
  readonly #children = new Map<Link, Child>();
  readonly #attempts = new Map<AbortController, Promise<unknown>>();
  readonly #detached = new Set<Link>();
  readonly #serials = new Map<string, number>();

  #down: ConnectError | undefined;

  private constructor(router: Router) {
    this.router = router;
    this.ids = new Ids(router);
    this.monitor = new RouteMonitor(router, this.ids);
    this.runtimes = new Runtimes(router);
    new ModuleServer(router);
    router.onShutdown = () => this.shutdown();
    router.addHandler((message, link) => this.#letGo(message, link!), {
      handle: Handle.DETACHING,
      policy: isChild,
      service: true,
    });
  }

  /** The parent part of a router; made when it is first asked for. */
  static of(router: Router): Parent {
    let parent = parents.get(router);
    if (!parent) parents.set(router, parent = new Parent(router));
    return parent;
  }

  /** Whether a router is shut down, or about to be. */
  static isDown(router: Router): boolean {
    const parent = parents.get(router);
    return parent !== undefined && parent.#down !== undefined;
  }

  /** A name that no other child of this context has had: `local.1`, `local.2`. */
  serial(method: string): string {
    const serial = (this.#serials.get(method) ?? 0) + 1;
    this.#serials.set(method, serial);
    return `${method}.${serial}`;
  }

  /** Works on a new child, unless the router is shut down before it is there. */
  async attempt<T>(
    controller: AbortController,
    work: () => Promise<T>,
  ): Promise<T> {
    if (this.#down) throw this.#down;
    const working = work();
    this.#attempts.set(controller, working);
    try {
      return await working;
    } finally {
      this.#attempts.delete(controller);
    }
  }

  /** Takes up a child that speaks frames. */
  adopt(
    link: Link,
    path: string,
    child: Child,
    ids: Range | undefined,
    guest = false,
  ): Context {
    const { router } = this;
    this.#children.set(link, child);
    router.addLink(link);
    if (ids) this.monitor.grants(link).add(ids);
    link.onShutdown = () => child.reap(router.shutdownTimeout);
    const context = router.addRoute(link.remoteId, link, path, guest);
    // Ahead of anything that the child may send.
    this.monitor.announce(link.remoteId, path, guest);
    link.start();
    void child.gone.then(() => {
      this.#children.delete(link);
      this.#detached.delete(link);
    });
    return context;
  }

  /** A child wants to outlive this context. */
  #letGo(message: Message, link: Link): void {
    if (!this.#children.get(link)?.letGo?.()) {
      const why = "it may not start programs, so it may not outlive its parent";
      link.complain("refused to detach", message);
      message.reply(Message.dead(why));
      return;
    }
    this.#children.delete(link);
    this.#detached.add(link);
    message.reply(undefined);
  }

  /**
   * Ends all children and waits until nothing of them is left, but for those
   * that were let go.
   */
  async shutdown(): Promise<void> {
    const { router } = this;
    this.#down ??= new ConnectError(
      "Cannot connect: cancelled: the router is shut down",
      { kind: "cancelled" },
    );
    for (const controller of this.#attempts.keys()) {
      controller.abort(this.#down);
    }
    const closed = [...this.closers].map((close) => close());
    const released = [...this.#detached].map(async (link) => {
      await within(link.flushed(), router.shutdownTimeout);
      link.close(DETACHED);
    });
    // A level below gets less time, so that it can kill before it is killed.
    const budget = Math.max(100, router.shutdownTimeout - 300);
    const gone = [...this.#children].map(([link, child]) => {
      const message = Message.value(budget, {
        dstId: link.remoteId,
        handle: Handle.SHUTDOWN,
      });
      // Routing it makes the link expect the end, and the child be reaped.
      router.route(message);
      return child.gone;
    });
    await Promise.allSettled([
      ...gone,
      ...closed,
      ...released,
      ...this.#attempts.values(),
    ]);
  }
}
