import { type Context, type LogRecord, Router } from "../../mod.ts";
import { CASES } from "./list.ts";
import { LIVE_CASES } from "./live_list.ts";

/**
 * Runs the whole list over one way in.
 *
 * @param apart whether it gives a process or Worker of its own
 */
export async function runCases(
  t: Deno.TestContext,
  apart: boolean,
  open: (router: Router, more: AsyncDisposableStack) => Promise<Context>,
): Promise<void> {
  for (const { name, apart: needsApart, run } of [...CASES, ...LIVE_CASES]) {
    if (needsApart && !apart) continue;
    await t.step(name, async () => {
      const waiting: [
        (record: LogRecord) => boolean,
        (record: LogRecord) => void,
      ][] = [];
      await using router = new Router({
        onLog(record) {
          for (const [matches, resolve] of waiting) {
            if (matches(record)) resolve(record);
          }
        },
      });
      const log = (matches: (record: LogRecord) => boolean) =>
        new Promise<LogRecord>((resolve) => waiting.push([matches, resolve]));
      await using more = new AsyncDisposableStack();
      const context = await open(router, more);
      // That of another program, where one has joined.
      await run({ router: context.router as Router, context, log });
    });
  }
}
