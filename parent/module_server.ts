import {
  errorMessage,
  Handle,
  type Link,
  Message,
  type PackedModule,
  type Router,
} from "../core/mod.ts";
import { isChild, MAX_REQUEST } from "./route_monitor.ts";

/** Requests of one neighbour that may wait at a time. */
const MAX_PENDING = 256;

/**
 * Answers the module requests of the contexts right below: from what is here,
 * or else from what the own parent has. A module goes over each link once.
 */
export class ModuleServer {
  readonly #router: Router;
  readonly #sent = new WeakMap<Link, Set<string>>();
  readonly #pending = new WeakMap<Link, number>();

  constructor(router: Router) {
    this.#router = router;
    router.addHandler((message, link) => this.#serve(message, link!), {
      handle: Handle.GET_MODULE,
      service: true,
      policy: isChild,
      maxSize: MAX_REQUEST,
    });
  }

  async #serve(message: Message, link: Link): Promise<void> {
    const url = message.decode();
    const pending = this.#pending.get(link) ?? 0;
    if (typeof url !== "string" || pending >= MAX_PENDING) {
      const why = "too many module requests at once";
      link.complain(why, message);
      message.reply(Message.dead(why));
      return;
    }
    this.#pending.set(link, pending + 1);
    let answer: PackedModule[];
    try {
      await this.#router.functions.ensure(url);
      answer = this.#closure(url, link);
    } catch (error) {
      answer = [{
        url,
        type: "module",
        data: new Uint8Array(0),
        imports: {},
        error: errorMessage(error),
      }];
    }
    this.#pending.set(link, this.#pending.get(link)! - 1);
    if (!link.closed) message.reply(answer);
  }

  /** A module and what it imports, but for what went over this link before. */
  #closure(root: string, link: Link): PackedModule[] {
    let sent = this.#sent.get(link);
    if (!sent) this.#sent.set(link, sent = new Set());
    const modules: PackedModule[] = [];
    const seen = new Set<string>();
    const queue = [root];
    for (let url = queue.pop(); url !== undefined; url = queue.pop()) {
      if (seen.has(url)) continue;
      seen.add(url);
      const module = this.#router.functions.get(url);
      if (!module) continue;
      queue.push(...Object.values(module.imports));
      if (sent.has(url)) continue;
      sent.add(url);
      modules.push(module);
    }
    return modules;
  }
}
