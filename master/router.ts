import {
  type Context,
  type LogRecord,
  type Methods,
  type ParentRoom,
  type Progress,
  Router as CoreRouter,
} from "../core/mod.ts";
import * as parentRoom from "../parent/mod.ts";
import { LogSink, Parent } from "../parent/mod.ts";
import { Functions } from "./functions.ts";
import { printRecord } from "./log_sink.ts";
import { corePack } from "./pack.ts";
import { Responder } from "./responder.ts";
import { MasterRuntimes } from "./runtimes.ts";

/** How the user's router is set up. */
export interface RouterOptions {
  /** Limit on the data of one message, in bytes. @default {134_217_728} */
  maxMessageSize?: number;
  /** Whether contexts are kept from talking to their siblings. @default {false} */
  unidirectional?: boolean;
  /**
   * Takes the log of the whole tree: what the library has to say, and what
   * contexts and the programs they start print.
   *
   * Default: all but debug records are printed to stderr, with their context.
   */
  onLog?: (record: LogRecord) => void;
  /** Told of every step of opening a context. */
  onProgress?: (progress: Progress) => void;
}

/**
 * The root of a tree of contexts: the user's own process.
 *
 * @example
 * ```ts
 * import { Router } from "@mitogen/mitogen";
 * import { assertEquals } from "@std/assert";
 *
 * await using router = new Router();
 * const context = await router.local({ permissions: "none" });
 * assertEquals(await context.call((a: number, b: number) => a + b, 1, 2), 3);
 * ```
 */
export class Router extends CoreRouter {
  /** Every step of opening a context is told here. */
  override readonly onProgress: ((progress: Progress) => void) | undefined;

  readonly #runtimes = new MasterRuntimes();

  /** Makes the root of a new tree. Nothing is started yet. */
  constructor(options: RouterOptions = {}) {
    super({
      id: 0,
      path: "master",
      parentIds: [],
      ...(options.maxMessageSize === undefined
        ? {}
        : { maxMessageSize: options.maxMessageSize }),
      ...(options.unidirectional === undefined
        ? {}
        : { unidirectional: options.unidirectional }),
    });
    this.onProgress = options.onProgress;
    this.onRecord = options.onLog ?? printRecord;
    this.core = corePack();
    this.functions = new Functions(new Responder());
    new LogSink(this);
    Parent.of(this).runtimes.source = this.#runtimes;
  }

  /** Opens a context by the name of its method. */
  override open<M extends keyof Methods>(
    method: M,
    options: Methods[M],
  ): Promise<Context> {
    // A version that is asked for here is one that contexts may have.
    const version = "deno" in options ? options.deno?.version : undefined;
    if (version !== undefined) this.#runtimes.allow(version);
    return super.open(method, options);
  }

  /** The parent room, which is here already. */
  override parentRoom(): Promise<ParentRoom> {
    return Promise.resolve(parentRoom);
  }
}
