/**
 * Whatever is cancelled, broken off, aborted or released, at whatever moment:
 * in the end both sides know of nothing any more.
 */
import { assert, assertEquals } from "@std/assert";
import {
  type Context,
  DisconnectedError,
  release,
  Router,
  type Transport,
} from "../../core/mod.ts";
import { Router as Master } from "../../mod.ts";
import * as remote from "../conformance/live_remote.ts";
import { openPair } from "../fixtures/pair.ts";

/** Numbers that are the same for the same seed. */
function random(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Resolves after so many turns of the event loop, or of its microtasks. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    if (i % 4 === 3) await new Promise((resolve) => setImmediate(resolve));
    else await undefined;
  }
}

/** A transport that delivers in order, but only after some turns. */
function late(
  transport: Transport,
  pick: (below: number) => number,
): Transport {
  return {
    start({ data, end }) {
      let tail: Promise<void> = Promise.resolve();
      const after = (then: () => Promise<void> | undefined | void) => {
        tail = tail.then(() => turns(pick(8))).then(then);
      };
      transport.start({
        data(chunk) {
          after(() => data(chunk));
          return undefined;
        },
        end: (reason) => after(() => end(reason)),
      });
    },
    write: (chunk) => turns(pick(8)).then(() => transport.write(chunk)),
    close: () => transport.close(),
  };
}

/** What may go on with a context, each cut off somewhere. */
const DEEDS: ((
  context: Context,
  pick: (below: number) => number,
) => Promise<unknown>)[] = [
  async (context, pick) => {
    const controller = new AbortController();
    const { signal } = controller;
    const call = context.with({ signal }).call(remote.untilCancelled);
    void turns(pick(30)).then(() => controller.abort());
    await call;
  },
  async (context, pick) => {
    const controller = new AbortController();
    const { signal } = controller;
    const call = context.with({ signal }).call(
      remote.sum,
      remote.bytes(300_000),
    );
    void turns(pick(60)).then(() => controller.abort());
    await call;
  },
  async (context, pick) => {
    let left = pick(20);
    for await (const _ of await context.call(remote.count, 15)) {
      if (left-- === 0) break;
    }
  },
  async (context, pick) => {
    const reader = (await context.call(remote.bytes, 400_000)).getReader();
    for (let left = pick(8); left > 0; left--) await reader.read();
    await reader.cancel();
  },
  async (context, pick) => {
    let left = pick(8);
    await context.call(
      remote.readAll,
      new ReadableStream({
        pull(controller) {
          if (left-- > 0) controller.enqueue(left);
          else controller.error(new Error("cut off"));
        },
      }),
    );
  },
  async (context, pick) => {
    await context.call(remote.first, remote.count(pick(10)));
  },
  async (context, pick) => {
    const { into } = await context.call(remote.collector);
    const writer = into.getWriter();
    for (let left = pick(8); left > 0; left--) await writer.write(left);
    await (pick(2) ? writer.close() : writer.abort());
  },
  async (context, pick) => {
    const throws = pick(6);
    await context.call(
      remote.writeTo,
      new WritableStream({
        write(value) {
          if (value === throws) throw new Error("enough");
        },
      }),
      [0, 1, 2, 3],
    );
  },
  async (context, pick) => {
    await context.call(remote.apply, (n) => n + 1, pick(4));
    const kept = await context.call(remote.keep, () => 1);
    if (pick(2)) await kept().catch(() => {});
    release(kept);
  },
  async (context, pick) => {
    const controller = new AbortController();
    void turns(pick(20)).then(() => controller.abort(1));
    await context.call(remote.untilAborted, controller.signal);
  },
  async (context, pick) => {
    const controller = new AbortController();
    const { signal } = controller;
    const large = new Uint8Array(pick(300_000));
    void turns(pick(40)).then(() => controller.abort());
    await context.with({ signal }).call(remote.echo, large);
  },
  async (context, pick) => {
    await context.with({ timeout: pick(3) }).call(remote.untilCancelled);
  },
];

/** What a router knows of. */
function sizes({ ends, lanes, handlers }: Router): number[] {
  return [ends.size, lanes.size, handlers.size];
}

for (const seed of [1, 2]) {
  Deno.test(`ten thousand things cut off at random leave nothing (seed ${seed})`, async () => {
    const pick = random(seed);
    const log: string[] = [];
    await using router = new Master({
      onLog: ({ message }) => void log.push(message),
    });
    const { context, child } = await openPair(router, (t) => late(t, pick));
    await context.call(remote.echo, 1);
    const before = [sizes(router), sizes(child)];
    let left = 5_000;
    let failed = 0;
    const work = async () => {
      while (left-- > 0) {
        try {
          await DEEDS[pick(DEEDS.length)]!(context, pick);
        } catch (error) {
          assert(!(error instanceof DisconnectedError), String(error));
          failed++;
        }
      }
    };
    await Promise.all(Array.from({ length: 50 }, work));
    assert(failed > 500);
    const begin = performance.now();
    let now: number[][];
    do {
      assert(performance.now() - begin < 5000, JSON.stringify([before, now!]));
      await turns(4);
      now = [sizes(router), sizes(child)];
    } while (String(now) !== String(before));
    assertEquals(log, []);
  });
}
