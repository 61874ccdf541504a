import {
  type CloseReason,
  Handle,
  type Link,
  Message,
  routeLost,
  type Router,
  toReason,
} from "../core/mod.ts";
import { Grants, type Ids } from "./ids.ts";

/** What ADD_ROUTE carries. */
type AddRoute = [id: number, path: string, guest?: boolean];

/** What DEL_ROUTE carries. */
type DelRoute = [id: number, reason: CloseReason];

/** Bytes of a request from below; honest ones have a few hundred. */
export const MAX_REQUEST = 1024 * 1024;

/** Contexts that may be open behind one neighbour. */
const MAX_ROUTES = 10_000;

/** Characters of a path. */
const MAX_PATH = 1024;

/**
 * Keeps the routing tables of the ancestors right: tells the parent of every
 * context that appears or goes below this one, and tells those below of the
 * end of whatever they have talked to.
 */
export class RouteMonitor {
  readonly #router: Router;
  readonly #grants = new WeakMap<Link, Grants>();
  /** Links to programs that want to know of every context. */
  readonly #watchers = new Set<Link>();

  constructor(router: Router, ids: Ids) {
    this.#router = router;
    router.onLinkLost = (link, lost) => {
      this.#watchers.delete(link);
      for (const [id, reason] of lost) this.#tell(id, reason, link);
    };
    router.onNoRoute = (id, link, message) => {
      // What is above is told by this context when one below is lost.
      if (link === router.parentLink) return;
      router.answer(
        this.#message(link, Handle.DEL_ROUTE, [id, routeLost(message)]),
      );
    };
    router.addHandler((message, link) => this.#add(message, link!), {
      handle: Handle.ADD_ROUTE,
      service: true,
      policy: isNeighbour,
      maxSize: MAX_REQUEST,
    });
    router.addHandler((message, link) => this.#delete(message, link!), {
      handle: Handle.DEL_ROUTE,
      policy: isNeighbour,
      service: true,
      overwrite: true,
      maxSize: MAX_REQUEST,
    });
    router.addHandler(async (message, link) => {
      const grants = this.grants(link!);
      const why = "no more ids for this context";
      if (!grants.ask()) {
        link!.complain(why, message);
        message.reply(Message.dead(why));
        return;
      }
      const block = await ids.block();
      grants.add(block);
      message.reply(block);
    }, { handle: Handle.ALLOCATE_ID, policy: isChild, service: true });
  }

  /** What was given to those below a neighbour. */
  grants(link: Link): Grants {
    let grants = this.#grants.get(link);
    if (!grants) this.#grants.set(link, grants = new Grants());
    return grants;
  }

  /** Tells a neighbour of all contexts that there are, and of all that come. */
  watch(link: Link): void {
    this.#watchers.add(link);
    for (const { id, path } of this.#router.contexts()) {
      this.#send(link, Handle.ADD_ROUTE, [id, path]);
    }
  }

  /** A context was opened here, or a program has joined. */
  announce(id: number, path: string, guest = false, from?: Link): void {
    const { parentLink } = this.#router;
    const payload: AddRoute = guest ? [id, path, guest] : [id, path];
    if (parentLink) this.#send(parentLink, Handle.ADD_ROUTE, payload);
    if (guest) return;
    for (const link of this.#watchers) {
      if (link !== from) this.#send(link, Handle.ADD_ROUTE, payload);
    }
  }

  #send(link: Link, handle: number, payload: AddRoute | DelRoute): void {
    link.send(this.#message(link, handle, payload));
  }

  #message(
    link: Link,
    handle: number,
    payload: AddRoute | DelRoute,
  ): Message {
    const { id } = this.#router;
    const message = Message.value(payload, {
      dstId: link.remoteId,
      srcId: id,
      authId: id,
      handle,
    });
    // What the lost one had sent in full is not to be cut off by this.
    if (handle === Handle.DEL_ROUTE) message.endOfId = payload[0];
    return message;
  }

  #add(message: Message, link: Link): void {
    const router = this.#router;
    const [id, path, guest] = message.decode() as AddRoute;
    if (link === router.parentLink) {
      // What a program is told that has joined: the way there is up.
      router.addRoute(id, link, path);
      return;
    }
    const above = router.contextById(link.remoteId).path;
    // A context may only speak of ids that were given to it, once each, and
    // only of places below its own.
    const grants = this.grants(link);
    const why = !grants.has(id)
      ? "it was not given that id"
      : router.routeTo(id)
      ? "there is such a route"
      // deno-lint-ignore no-control-regex
      : typeof path !== "string" || /[\x00-\x1f\x7f]/.test(path) ||
          path.length > MAX_PATH || !path.startsWith(`${above}/`)
      ? "its path is not below its sender's"
      : grants.routes >= MAX_ROUTES
      ? "there are too many behind this context"
      : undefined;
    if (why) return link.complain(`refused a route, ${why}`, message);
    grants.routes++;
    router.addRoute(id, link, path, guest === true);
    this.announce(id, path, guest === true, link);
  }

  #delete(message: Message, link: Link): void {
    const router = this.#router;
    const [id, why] = message.decode() as DelRoute;
    const reason = toReason(why);
    if (link === router.parentLink) {
      this.#tell(id, reason, link);
      if (router.routeTo(id) === link) router.deleteRoute(id, reason);
      else router.contextLost(id, reason);
      return;
    }
    if (router.routeTo(id) !== link) {
      return link.complain("refused to delete a route", message);
    }
    // Its own route is not counted among those behind it.
    if (id !== link.remoteId) this.grants(link).routes--;
    this.#tell(id, reason, link);
    router.deleteRoute(id, reason);
  }

  /** Tells everyone who may care, but for the one it came from. */
  #tell(id: number, reason: CloseReason, from: Link): void {
    const router = this.#router;
    const payload: DelRoute = [id, reason];
    const { parentLink } = router;
    if (parentLink && parentLink !== from) {
      this.#send(parentLink, Handle.DEL_ROUTE, payload);
    }
    for (const link of router.childLinks()) {
      if (
        link !== from &&
        (link.egressIds.has(id) || this.#watchers.has(link))
      ) this.#send(link, Handle.DEL_ROUTE, payload);
      link.egressIds.delete(id);
    }
  }
}

/** Whether a message was sent by the neighbour that it came from, and that is a child. */
export function isChild(message: Message, link: Link | undefined): boolean {
  return link !== undefined && message.srcId === link.remoteId &&
    link !== message.router!.parentLink;
}

function isNeighbour(message: Message, link: Link | undefined): boolean {
  return link !== undefined && message.srcId === link.remoteId;
}
