import { LineSplitter, type Router } from "../core/mod.ts";
import { within } from "./within.ts";

/**
 * Milliseconds without a line after which the last one has come. Programs that
 * a process has started may hold its outputs for ever.
 */
const GRACE = 100;

/** What a pipe holds at most of a process that has ended, in bytes. */
const PIPE = 64 * 1024;

/** Bytes after which the records of them are waited for. */
const PORTION = 32 * 1024;

/**
 * Makes a log record of each line that a process prints.
 *
 * Each output has a pipe of its own. What a process inherits from its context
 * would be one for both, and nobody could tell them apart.
 */
export class LoggedOutput {
  readonly #done: Promise<void>;
  #taken = 0;
  #busy = false;

  constructor(
    output: ReadableStream<Uint8Array>,
    logger: "stdout" | "stderr",
    router: Router,
  ) {
    // Broken is over as well.
    this.#done = this.#take(output, logger, router).catch(() => {});
  }

  async #take(
    output: ReadableStream<Uint8Array>,
    logger: "stdout" | "stderr",
    router: Router,
  ): Promise<void> {
    const splitter = new LineSplitter((message) =>
      router.onRecord({
        level: "info",
        logger,
        message,
        contextId: router.id,
        path: router.path,
        time: Date.now(),
      })
    );
    const master = router.contextById(0);
    let ahead = 0;
    for await (const chunk of output) {
      this.#busy = true;
      this.#taken += chunk.length;
      ahead += chunk.length;
      // Between two lines: one that has to wait would pass for two.
      const end = chunk.lastIndexOf(10) + 1;
      if (router.parentLink && ahead >= (end > 0 ? PORTION : 4 * PORTION)) {
        ahead = 0;
        splitter.push(chunk.subarray(0, end));
        // It must not print faster than its records are taken.
        await master.ping().catch(() => {});
        splitter.push(chunk.subarray(end));
      } else splitter.push(chunk);
      this.#busy = false;
    }
    splitter.flush();
  }

  /** The process has ended: resolves when all that it printed is logged. */
  async rest(): Promise<void> {
    const all = this.#taken + PIPE;
    while (
      !await within(this.#done, GRACE) && this.#busy && this.#taken < all
    );
  }
}
