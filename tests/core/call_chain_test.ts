import { assert, assertEquals, assertRejects } from "@std/assert";
import type { LogRecord } from "../../core/mod.ts";
import { CallChain, CallError, DisconnectedError, Router } from "../../mod.ts";
import { tally, untilCancelled } from "../conformance/live_remote.ts";
import { openPair } from "../fixtures/pair.ts";

const quiet = { onLog() {} };

/** The contexts of these tests are in this very process, and share it. */
interface Shared {
  steps: string[];
  gate: PromiseWithResolvers<void>;
}

function shared(): Shared {
  const all = globalThis as unknown as Shared;
  all.steps = [];
  all.gate = Promise.withResolvers();
  return all;
}

async function slow(): Promise<void> {
  const { steps, gate } = globalThis as unknown as Shared;
  steps.push("slow begins");
  await gate.promise;
  steps.push("slow ends");
}

function quick(name: string): string {
  (globalThis as unknown as Shared).steps.push(name);
  return name;
}

function fail(): never {
  throw new RangeError("broken");
}

Deno.test("calls of a chain run one after another, others do not wait", async () => {
  await using router = new Router(quiet);
  const { context } = await openPair(router);
  using chain = new CallChain(context);
  const { steps, gate } = shared();
  const first = chain.call(slow);
  const second = chain.call(quick, "second");
  assertEquals(await context.call(quick, "outside"), "outside");
  gate.resolve();
  await first;
  assertEquals(await second, "second");
  assert(steps.indexOf("outside") < steps.indexOf("slow ends"));
  assertEquals(steps.filter((step) => step !== "outside"), [
    "slow begins",
    "slow ends",
    "second",
  ]);
});

Deno.test("after a failure the calls of a chain fail with it and do not run", async () => {
  await using router = new Router(quiet);
  const { context } = await openPair(router);
  const chain = new CallChain(context);
  using other = new CallChain(context);
  const { steps } = shared();
  const calls = [chain.call(fail), chain.call(quick, "never")];
  for (const call of calls) {
    const error = await assertRejects(() => call, CallError, "broken");
    assertEquals(error.remoteName, "RangeError");
  }
  assertEquals(await other.call(quick, "another chain"), "another chain");
  assertEquals(await context.call(quick, "no chain"), "no chain");
  chain.reset();
  assertEquals(await chain.call(quick, "again"), "again");
  assertEquals(steps, ["another chain", "no chain", "again"]);
  chain.reset();
});

Deno.test("a failure that nobody waited for is logged, and stops its chain", async () => {
  const log: LogRecord[] = [];
  await using router = new Router({ onLog: (r) => log.push(r) });
  const { context } = await openPair(router);
  using chain = new CallChain(context);
  const { steps } = shared();
  chain.callNoReply(quick, "first");
  chain.callNoReply(fail);
  chain.callNoReply(quick, "never");
  await assertRejects(() => chain.call(quick, "never"), CallError, "broken");
  assertEquals(steps, ["first"]);
  await context.ping();
  assert(log.some((r) => r.message.includes("broken")));
});

Deno.test("with() puts a call into a chain as well", async () => {
  await using router = new Router(quiet);
  const { context } = await openPair(router);
  using chain = new CallChain(context);
  await assertRejects(() => context.with({ chain }).call(fail), CallError);
  await assertRejects(() => chain.call(quick, "never"), CallError, "broken");
});

Deno.test("a call of a chain that is cancelled before its turn does not run", async () => {
  await using router = new Router(quiet);
  const { context } = await openPair(router);
  using chain = new CallChain(context);
  const { steps, gate } = shared();
  const controller = new AbortController();
  const { signal } = controller;
  const first = chain.call(slow);
  const second = context.with({ chain, signal }).call(quick, "second");
  const third = chain.call(quick, "third");
  await context.ping();
  controller.abort(new RangeError("never mind"));
  await assertRejects(() => second, RangeError, "never mind");
  // It is cancelled there as well: the gate is in this process, and was faster.
  await context.ping();
  gate.resolve();
  await first;
  assertEquals(await third, "third");
  assertEquals(steps, ["slow begins", "slow ends", "third"]);
});

Deno.test("a call that is cancelled while its module is on the way does not run", async () => {
  await using router = new Router(quiet);
  const context = await router.local();
  const controller = new AbortController();
  const { signal } = controller;
  const call = context.with({ signal }).call(untilCancelled);
  // The answer to this comes when the call is there, and its module is not.
  await Promise.race([context.call(Math.max, 1), call]);
  controller.abort();
  await assertRejects(() => call);
  assertEquals((await context.call(tally)).produced, 0);
});

Deno.test("the loss of the context ends every call of a chain", async () => {
  await using router = new Router(quiet);
  const { context } = await openPair(router);
  shared();
  const chain = new CallChain(context);
  const size = router.handlers.size;
  const calls = [chain.call(slow), chain.call(quick, "a"), chain.call(fail)]
    .map((call) => assertRejects(() => call, DisconnectedError));
  await context.shutdown();
  await Promise.all(calls);
  await assertRejects(() => chain.call(quick, "late"), DisconnectedError);
  assertEquals(router.handlers.size, size);
});
