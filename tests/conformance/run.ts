import { type Context, type LogRecord, Router } from "../../mod.ts";
import { type Case, CASES, type Rig } from "./list.ts";
import { LIVE_CASES } from "./live_list.ts";

/** Opens a context; what it needs beside the router goes after it. */
type Open = (router: Router, more: AsyncDisposableStack) => Promise<Context>;

/** A router, and a context of it. */
async function makeRig(open: Open): Promise<Rig & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const waiting: [
    (record: LogRecord) => boolean,
    (record: LogRecord) => void,
  ][] = [];
  const router = new Router({
    onLog(record) {
      for (const [matches, resolve] of waiting) {
        if (matches(record)) resolve(record);
      }
    },
  });
  const log = (matches: (record: LogRecord) => boolean) =>
    new Promise<LogRecord>((resolve) => waiting.push([matches, resolve]));
  stack.use(router);
  const context = await open(router, stack.use(new AsyncDisposableStack()));
  const owned = stack.move();
  return {
    // That of another program, where one has joined.
    router: context.router as Router,
    context,
    log,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/**
 * Runs the whole list over one way in. Cases of what is live leave nothing, and
 * have one context in common; each other has its own.
 *
 * @param apart whether it gives a process or Worker of its own
 */
export async function runCases(
  t: Deno.TestContext,
  apart: boolean,
  open: Open,
): Promise<void> {
  const fits = (one: Case) => apart || !one.apart;
  const alone = (one: Case) => CASES.includes(one) || one.ends === true;
  const all = [...CASES, ...LIVE_CASES].filter(fits);
  for (const one of all.filter(alone)) {
    await t.step(one.name, async () => {
      await using rig = await makeRig(open);
      await one.run(rig);
    });
  }
  await using shared = await makeRig(open);
  for (const one of all.filter((one) => !alone(one))) {
    await t.step(one.name, () => one.run(shared));
  }
}
