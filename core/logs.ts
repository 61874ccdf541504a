import { Handle } from "./frame.ts";
import { Message } from "./message.ts";
import type { Router } from "./router.ts";

/** How much a record matters. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** The levels from least to most. */
export const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];

/** One line of log, from anywhere in the tree. */
export interface LogRecord {
  /** How much it matters. */
  level: LogLevel;
  /**
   * Where it comes from: `mitogen` is this library; `stdout`, `stderr` and
   * `stdio` (both in one) are what programs printed.
   */
  logger: string;
  /** What is said; one line. */
  message: string;
  /** The context that it is about. */
  contextId: number;
  /** The path of that context. */
  path: string;
  /** Milliseconds since 1970, when it was received. */
  time: number;
}

/** What FORWARD_LOG carries. */
export type LogPayload = [
  contextId: number,
  level: number,
  logger: string,
  message: string,
];

/** Sends records on to the master. */
export function forwardLogs(router: Router): (record: LogRecord) => void {
  return ({ contextId, level, logger, message }) => {
    // Of what is above it a context has no word to say: it tells of itself.
    const about = router.parentIds.includes(contextId) ? router.id : contextId;
    const payload: LogPayload = [
      about,
      LEVELS.indexOf(level),
      logger,
      message,
    ];
    router.route(
      Message.value(payload, { dstId: 0, handle: Handle.FORWARD_LOG }),
    );
  };
}

/** A line longer than this many characters is cut into several. */
const MAX_LINE = 32 * 1024;

/** Milliseconds after which a line that was not ended is given out as it is. */
const IDLE = 50;

/**
 * Cuts output into lines. One without an end counts too: when nothing follows
 * it for a moment, or at the end.
 */
export class LineSplitter {
  readonly #decoder = new TextDecoder();
  readonly #onLine: (line: string) => void;
  #rest = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  /** Takes output as it comes. */
  push(chunk: Uint8Array): void {
    clearTimeout(this.#timer);
    this.#take(this.#decoder.decode(chunk, { stream: true }));
    if (this.#rest) this.#timer = setTimeout(() => this.#flush(), IDLE);
  }

  #take(text: string): void {
    let from = 0;
    for (;;) {
      const end = text.indexOf("\n", from);
      if (end < 0) break;
      this.#emit(this.#rest + text.slice(from, end));
      this.#rest = "";
      from = end + 1;
    }
    this.#rest += text.slice(from);
    while (this.#rest.length >= MAX_LINE) {
      this.#onLine(this.#rest.slice(0, MAX_LINE));
      this.#rest = this.#rest.slice(MAX_LINE);
    }
  }

  #emit(line: string): void {
    this.#onLine(line.endsWith("\r") ? line.slice(0, -1) : line);
  }

  /** Gives out what is left. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#take(this.#decoder.decode());
    this.#flush();
  }

  #flush(): void {
    if (this.#rest) this.#emit(this.#rest);
    this.#rest = "";
  }
}
