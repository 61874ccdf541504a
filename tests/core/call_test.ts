/** Calls that are given up, or that nothing may be known of yet. */
import { assertEquals, assertRejects } from "@std/assert";
import { Router } from "../../mod.ts";
import { openPair } from "../fixtures/pair.ts";

const quiet = { onLog() {} };

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
          ? there.service<{ run(x: unknown): void }>("any").run(given)
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
