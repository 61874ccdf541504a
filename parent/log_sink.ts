import { Handle, LEVELS, type LogPayload, type Router } from "../core/mod.ts";

/** Records that one context may send in one second. */
const MAX_RECORDS = 50_000;

/** Characters of one record. */
const MAX_LENGTH = 64 * 1024;

/** Bytes of one message; the text in it is cut later. */
const MAX_SIZE = 1024 * 1024;

/** How much of a second's quota a context has used. */
interface Quota {
  second: number;
  used: number;
  dropped: number;
}

/** Takes the log records of all contexts below the one where the tree begins. */
export class LogSink {
  readonly #router: Router;
  readonly #quotas = new Map<number, Quota>();

  constructor(router: Router) {
    this.#router = router;
    router.addHandler((message, link) => {
      if (!link) return;
      const [contextId, level, logger, text] = message.decode() as LogPayload;
      if (
        typeof logger !== "string" || typeof text !== "string" ||
        typeof contextId !== "number" || LEVELS[level] === undefined
      ) {
        return link.complain("malformed log record", message);
      }
      // A context speaks for itself and for those below it, on the same link.
      const there = router.routeTo(contextId);
      if (there !== link) {
        // What is gone already may have had more to say.
        if (!there && contextId !== router.id) return;
        return link.complain("log record of another context", message);
      }
      if (!this.#allow(message.srcId)) return;
      const context = router.contextById(contextId);
      router.onRecord({
        level: LEVELS[level]!,
        logger: logger.slice(0, 100),
        message: text.slice(0, MAX_LENGTH),
        contextId,
        path: context.path,
        time: Date.now(),
      });
    }, { handle: Handle.FORWARD_LOG, service: true, maxSize: MAX_SIZE });
  }

  #allow(id: number): boolean {
    const second = Math.floor(performance.now() / 1000);
    let quota = this.#quotas.get(id);
    if (!quota) {
      quota = { second, used: 0, dropped: 0 };
      this.#quotas.set(id, quota);
      void this.#router.contextById(id).closed.then(() =>
        this.#quotas.delete(id)
      );
    }
    if (quota.second !== second) {
      const { dropped } = quota;
      Object.assign(quota, { second, used: 0, dropped: 0 });
      if (dropped > 0) {
        this.#router.log("warn", `dropped ${dropped} log records`, id);
      }
    }
    if (++quota.used <= MAX_RECORDS) return true;
    // Said at once: there may be no next record to say it ahead of.
    if (quota.dropped++ === 0) {
      this.#router.log(
        "warn",
        `dropped log records: more than ${MAX_RECORDS} in a second`,
        id,
      );
    }
    return false;
  }
}
