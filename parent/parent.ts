import {
  ConnectError,
  type Context,
  Handle,
  type Link,
  Message,
  type Router,
} from "../core/mod.ts";
import { Ids, type Range } from "./ids.ts";
import { ModuleServer } from "./module_server.ts";
import { RouteMonitor } from "./route_monitor.ts";

/** A neighbour below, as far as its life is concerned. */
export interface Child {
  /** Makes sure that it ends within about so many milliseconds. */
  reap(timeout: number): void;
  /** Resolves when nothing of it is left. */
  readonly gone: Promise<void>;
}

const parents = new WeakMap<Router, Parent>();

/** What a router needs to have children. One for each router that has any. */
export class Parent {
  readonly router: Router;
  readonly ids: Ids;
  readonly monitor: RouteMonitor;
  readonly #children = new Map<Link, Child>();
  readonly #attempts = new Map<AbortController, Promise<unknown>>();
  readonly #serials = new Map<string, number>();

  #down: ConnectError | undefined;

  private constructor(router: Router) {
    this.router = router;
    this.ids = new Ids(router);
    this.monitor = new RouteMonitor(router, this.ids);
    new ModuleServer(router);
  }

  /** The parent part of a router; made when it is first asked for. */
  static of(router: Router): Parent {
    let parent = parents.get(router);
    if (!parent) parents.set(router, parent = new Parent(router));
    return parent;
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
  ): Context {
    const { router } = this;
    this.#children.set(link, child);
    router.addLink(link);
    if (ids) this.monitor.grants(link).add(ids);
    link.onShutdown = () => child.reap(router.shutdownTimeout);
    const context = router.addRoute(link.remoteId, link, path);
    // Ahead of anything that the child may send.
    this.monitor.announce(link.remoteId, path);
    link.start();
    void child.gone.then(() => this.#children.delete(link));
    return context;
  }

  /** Ends all children and waits until nothing of them is left. */
  async shutdown(): Promise<void> {
    const { router } = this;
    this.#down ??= new ConnectError(
      "Cannot connect: cancelled: the router is shut down",
      { kind: "cancelled" },
    );
    for (const controller of this.#attempts.keys()) {
      controller.abort(this.#down);
    }
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
    await Promise.allSettled([...gone, ...this.#attempts.values()]);
  }
}
