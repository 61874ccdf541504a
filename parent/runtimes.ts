import { Handle, type Link, Message, type Router } from "../core/mod.ts";
import { once, ownRuntime } from "./own_runtime.ts";
import { platformOf } from "./platforms.ts";
import { isChild, MAX_REQUEST } from "./route_monitor.ts";
import type { RuntimeInfo } from "./runtime_script.ts";

/** Bytes of a piece: what one answer carries. */
export const PIECE = 512 * 1024;

/** Requests of one neighbour that may wait at a time. */
const MAX_PENDING = 32;

/** Pieces that are asked for at a time: what waits to be sent takes memory. */
const MAX_ASKED = 4;

/** A part of a runtime as it is sent: compressed with gzip. */
export interface RuntimePiece {
  /** Bytes of the whole. */
  total: number;
  /** At most {@linkcode PIECE} bytes from the offset that was asked for. */
  bytes: Uint8Array;
}

/** Where runtimes come from: the master has its own and the registry's. */
export interface RuntimeSource {
  /**
   * What there is for a platform.
   *
   * @param platform what `uname -sm` says there
   * @param version empty for the master's own
   * @throws when there is none, or it must not be had
   */
  info(platform: string, version: string): Promise<RuntimeInfo>;
  /** A part of what `info` told of, by its hash. */
  piece(sha256: string, offset: number): Promise<RuntimePiece>;
}

/** What GET_RUNTIME carries, by its first word. */
type Request =
  | ["info", platform: string, version: string]
  | ["piece", sha256: string, offset: number];

/**
 * The runtimes that this context can send to those that it opens, and gives to
 * those below for theirs. One goes over the link to the parent at most once,
 * and not at all when this context runs on the same.
 */
export class Runtimes {
  /** Set by the master; everyone else asks its parent. */
  source: RuntimeSource | undefined;

  readonly #pending = new WeakMap<Link, number>();

  constructor(router: Router) {
    if (router.parentLink) this.source = new Upstream(router);
    router.addHandler((message, link) => this.#serve(message, link!), {
      handle: Handle.GET_RUNTIME,
      service: true,
      policy: isChild,
      maxSize: MAX_REQUEST,
    });
  }

  async #serve(message: Message, link: Link): Promise<void> {
    const pending = this.#pending.get(link) ?? 0;
    const [what, name, more] = message.decode() as Request;
    if (typeof name !== "string" || pending >= MAX_PENDING || !this.source) {
      const why = "cannot be asked for a runtime now";
      link.complain(why, message);
      message.reply(Message.dead(why));
      return;
    }
    this.#pending.set(link, pending + 1);
    let answer: unknown;
    try {
      if (what === "info" && platformOf(name) && typeof more === "string") {
        const { version, size, sha256 } = await this.source.info(name, more);
        answer = [version, size, sha256];
      } else if (what === "piece" && typeof more === "number") {
        const { total, bytes } = await this.source.piece(name, more);
        answer = [total, bytes];
      } else {
        throw new TypeError("there is no such runtime");
      }
    } catch (error) {
      // Whoever connects is told in the words of where it failed.
      answer = (error as Error).message;
    }
    this.#pending.set(link, this.#pending.get(link)! - 1);
    if (!link.closed) message.reply(answer);
  }
}

/** Cuts a piece out of the whole. */
export function pieceOf(all: Uint8Array, offset: number): RuntimePiece {
  if (offset % PIECE !== 0 || !(offset >= 0 && offset < all.length)) {
    throw new RangeError(`Cannot send a runtime from byte ${offset}`);
  }
  return { total: all.length, bytes: all.subarray(offset, offset + PIECE) };
}

/** What the parent of a context has, and its own where that is the same. */
class Upstream implements RuntimeSource {
  readonly #router: Router;
  readonly #infos = new Map<string, Promise<RuntimeInfo>>();
  readonly #pieces = new Map<string, Promise<RuntimePiece>>();
  /** Those that the parent said there are; whether this context has each. */
  readonly #known = new Map<string, boolean>();
  readonly #waiting: (() => void)[] = [];
  #asked = 0;

  constructor(router: Router) {
    this.#router = router;
  }

  info(platform: string, version: string): Promise<RuntimeInfo> {
    return once(this.#infos, `${platform}/${version}`, async () => {
      const answer = await this.#ask(["info", platform, version]);
      const [found, size, sha256] = answer as [string, number, string];
      const info = { version: found, size, sha256 };
      this.#known.set(sha256, await this.#have(platform, info));
      return info;
    });
  }

  async #have(platform: string, info: RuntimeInfo): Promise<boolean> {
    if (
      platformOf(platform)!.target !== Deno.build.target ||
      info.version !== Deno.version.deno
    ) return false;
    try {
      return (await ownRuntime.info()).sha256 === info.sha256;
    } catch {
      // It cannot be read here. The parent has it.
      return false;
    }
  }

  async piece(sha256: string, offset: number): Promise<RuntimePiece> {
    const own = this.#known.get(sha256);
    if (own) return pieceOf(await ownRuntime.packed(), offset);
    if (own === undefined) throw new TypeError("there is no such runtime");
    return await once(this.#pieces, `${sha256}/${offset}`, async () => {
      if (this.#asked < MAX_ASKED) this.#asked++;
      else await new Promise<void>((resolve) => this.#waiting.push(resolve));
      try {
        const answer = await this.#ask(["piece", sha256, offset]);
        const [total, bytes] = answer as [number, Uint8Array];
        return { total, bytes };
      } finally {
        const next = this.#waiting.shift();
        if (next) next();
        else this.#asked--;
      }
    });
  }

  async #ask(request: Request): Promise<unknown> {
    const router = this.#router;
    const parent = router.contextById(router.parentIds[0]!);
    const answer = await new Promise((resolve, reject) => {
      const replyTo = router.addHandler((reply) => {
        try {
          resolve(reply.decode());
        } catch (error) {
          reject(error);
        }
      }, { persist: false, respondent: parent });
      router.route(
        Message.value(request, {
          dstId: parent.id,
          handle: Handle.GET_RUNTIME,
          replyTo,
        }),
      );
    });
    if (typeof answer === "string") throw new Error(answer);
    return answer;
  }
}
