/** Calls that are given up, or that nothing may be known of yet. */
import { assertEquals, assertRejects } from "@std/assert";
import { after } from "../../core/mod.ts";
import { Router } from "../../mod.ts";
import { openPair } from "../fixtures/pair.ts";

const quiet = { onLog() {} };

type Service = { run(given: unknown): void };

Deno.test("a call that is cancelled while its arguments are read is not sent", async () => {
  await using router = new Router(quiet);
  const { context, child } = await openPair(router);
  assertEquals(await context.call(Math.max, 1), 1);
  const [handlers, ends] = [router.handlers.size, router.ends.size];
  const run = (_given: unknown) => void Object.assign(globalThis, { ran: 1 });
  const cancelled: unknown[] = [];
  for (const service of [false, true]) {
    const controller = new AbortController();
    const { signal } = controller;
    const given = {
      stream: new ReadableStream({ cancel: (why) => void cancelled.push(why) }),
      callback: () => 1,
      signal: new AbortController().signal,
      get last() {
        controller.abort(new RangeError("changed my mind"));
        return 1;
      },
    };
    const there = context.with({ signal });
    await assertRejects(
      () =>
        service
          ? there.service<Service>("any").run(given)
          : there.call(run, given),
      RangeError,
      "changed my mind",
    );
    assertEquals(cancelled.pop(), signal.reason);
  }
  await context.ping();
  assertEquals("ran" in globalThis, false);
  assertEquals([router.handlers.size, router.ends.size], [handlers, ends]);
  assertEquals([child.runner.running, child.ends.size], [0, 0]);
  // What its number stands for was not said either.
  const small = (_given: unknown) => "small";
  const controller = new AbortController();
  const { signal } = controller;
  await assertRejects(() =>
    context.with({ signal }).call(small, {
      get x() {
        return controller.abort();
      },
    })
  );
  assertEquals(await context.call(small, 1), "small");
});

Deno.test("a call may be made while the arguments of another are read", async () => {
  await using router = new Router(quiet);
  const { context } = await openPair(router);
  const outer = (_given: unknown) => "outer";
  const inner = () => "inner";
  for (let i = 0; i < 2; i++) {
    let within: Promise<string> | undefined;
    const result = context.call(outer, {
      get x() {
        within = context.call(inner);
        return 1;
      },
    });
    assertEquals([await result, await within], ["outer", "inner"]);
  }
});

Deno.test("a call waits as long as it is told, and refuses what is no time", async () => {
  await using router = new Router(quiet);
  const { context } = await openPair(router);
  const soon = () =>
    new Promise<string>((resolve) => setTimeout(() => resolve("done"), 20));
  for (const timeout of [Infinity, 2 ** 31, 2 ** 40]) {
    assertEquals(await context.with({ timeout }).call(soon), "done");
  }
  for (const timeout of [NaN, -1, -Infinity]) {
    await assertRejects(
      () => context.with({ timeout }).call(soon),
      RangeError,
      `Cannot call ${context.path}: timeout is ${timeout}`,
    );
  }
  for (const timeout of ["5", null, 5n] as never[]) {
    await assertRejects(
      () => context.with({ timeout }).service<Service>("any").run(1),
      TypeError,
      `Cannot call ${context.path}: timeout is a number of milliseconds`,
    );
  }
  // To look for a function takes time as well: this one is known.
  const wait = (ever: boolean) => ever ? new Promise(() => {}) : undefined;
  await context.call(wait, false);
  const late = await assertRejects(() =>
    context.with({ timeout: 0 }).call(wait, true)
  );
  assertEquals((late as Error).name, "TimeoutError");
});

Deno.test("a time that is too long for a timer is waited for in parts", () => {
  using clock = new FakeTime();
  const LONGEST = 2 ** 31 - 1;
  for (const time of [5, LONGEST, LONGEST + 1, 3 * LONGEST + 7]) {
    let fired = false;
    after(time, () => fired = true);
    clock.pass(time - 1);
    assertEquals(fired, false, `${time}`);
    clock.pass(1);
    assertEquals(fired, true, `${time}`);
  }
  after(Infinity, () => {});
  after(2 * LONGEST, () => {})();
  assertEquals(clock.waiting, 0);
});

/** Stands in for the timers of the runtime, which take no more than 31 bits. */
class FakeTime implements Disposable {
  #now = 0;
  #timers: { at: number; fn: () => void }[] = [];
  #set = globalThis.setTimeout;
  #clear = globalThis.clearTimeout;

  constructor() {
    const set = (fn: () => void, time: number) => {
      const timer = { at: this.#now + (time > 2 ** 31 - 1 ? 1 : time), fn };
      this.#timers.push(timer);
      return timer;
    };
    const clear = (timer: unknown) => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
    Object.assign(globalThis, { setTimeout: set, clearTimeout: clear });
  }

  get waiting(): number {
    return this.#timers.length;
  }

  /** Lets time pass. */
  pass(time: number): void {
    const end = this.#now + time;
    for (;;) {
      const next = this.#timers.find((timer) => timer.at <= end);
      if (!next) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = next.at;
      next.fn();
    }
    this.#now = end;
  }

  [Symbol.dispose](): void {
    const [setTimeout, clearTimeout] = [this.#set, this.#clear];
    Object.assign(globalThis, { setTimeout, clearTimeout });
  }
}
