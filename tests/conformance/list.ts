/**
 * What every context does, whatever it was opened with. Each case gets a
 * context of its own.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import {
  CallChain,
  CallError,
  CodecError,
  Context,
  DisconnectedError,
  type LogRecord,
  Receiver,
  type Router,
  Secret,
} from "../../mod.ts";
import { report } from "../fixtures/modules/deep.ts";
import { fail as failAfterEnum } from "../fixtures/modules/shapes.ts";
import { boom } from "../fixtures/modules/boom.ts";
import * as remote from "./remote.ts";

/** What a case has to work with. */
export interface Rig {
  router: Router;
  context: Context;
  /** Resolves when a record comes that the test is looking for. */
  log(matches: (record: LogRecord) => boolean): Promise<LogRecord>;
}

/** One thing that every context does. */
export interface Case {
  name: string;
  /** What only a context of its own process or Worker can do. */
  apart?: boolean;
  /** Whether its context is gone after it. */
  ends?: boolean;
  run(rig: Rig): Promise<void>;
}

async function thrown(promise: Promise<unknown>): Promise<CallError> {
  return await assertRejects(() => promise, CallError);
}

export const CASES: Case[] = [
  {
    name: "values cross both ways",
    async run({ context }) {
      const shared = { n: 1 };
      const cyclic: Record<string, unknown> = { shared, again: shared };
      cyclic.self = cyclic;
      const values = [
        undefined,
        null,
        -0,
        NaN,
        10n ** 30n,
        "\u{1f980} \ud800",
        new Date(0),
        /a+/gi,
        new Map<unknown, unknown>([["k", new Set([1])]]),
        new Uint8Array([0, 255]),
        new Float64Array([0.5]),
        new ArrayBuffer(3),
        [1, , 3], // deno-lint-ignore-line no-sparse-arrays
        new URL("https://example.com/a?b#c"),
        { nested: { list: [true, false] } },
      ];
      assertEquals(await context.call(remote.echo<unknown[]>, values), values);
      const back = await context.call(remote.echo<typeof cyclic>, cyclic);
      assert(back.self === back && back.shared === back.again);
    },
  },
  {
    name: "contexts, senders and secrets cross as what they are",
    async run({ context }) {
      const secret = await context.call(remote.echo<Secret>, new Secret("s3"));
      assertInstanceOf(secret, Secret);
      assertEquals(secret.reveal(), "s3");
      const back = await context.call(remote.echo<Context>, context);
      assert(back === context, "the same context is the same object");
      assertEquals(await context.call(remote.reached, context), context.path);
    },
  },
  {
    name: "a large message comes back whole",
    async run({ context }) {
      const bytes = new Uint8Array(5_000_000);
      for (let i = 0; i < bytes.length; i += 4096) bytes[i] = i >> 12;
      const back = await context.call(remote.echo<Uint8Array>, bytes);
      assertEquals(back.length, bytes.length);
      assert(back.every((byte, i) => byte === bytes[i]));
    },
  },
  {
    name: "calls run side by side, and a module has one state",
    async run({ context }) {
      const counts = await Promise.all(
        Array.from({ length: 50 }, () => context.call(remote.bump)),
      );
      assertEquals(new Set(counts).size, 50);
    },
  },
  {
    name: "a module that imports ten others runs with all of them",
    async run({ context }) {
      const { count: _, url, ...rest } = await context.call(report, 10);
      assertEquals(rest, {
        name: "from json",
        banner: "from text",
        hour: 3_600_000,
        joined: "a/b",
        base64: "aGk=",
        color: "Green",
        point: 3,
        even: true,
        ready: "after top-level await",
        helped: "from JavaScript",
      });
      assertEquals(url, import.meta.resolve("../fixtures/modules/deep.ts"));
    },
  },
  {
    name: "a remote stack names the caller's file and the right line",
    async run({ context }) {
      const error = await thrown(context.call(boom));
      assertMatch(error.remoteStack, /\/fixtures\/modules\/boom\.ts:6:\d+/);
      assertStringIncludes(error.stack!, "boom.ts:6");
      assertStringIncludes(error.stack!, "/conformance/list.ts");
      const after = await thrown(context.call(failAfterEnum));
      assertMatch(after.remoteStack, /\/fixtures\/modules\/shapes\.ts:14:\d+/);
    },
  },
  {
    name: "errors keep their class, cause and fields",
    async run({ context }) {
      const range = await thrown(context.call(remote.fail, "range"));
      assertInstanceOf(range.cause, RangeError);
      assertInstanceOf(range.cause.cause, URIError);
      assertEquals(
        [range.message, range.remoteName, range.path],
        ["outer", "RangeError", context.path],
      );
      const many = await thrown(context.call(remote.fail, "aggregate"));
      assertInstanceOf(many.cause, AggregateError);
      assertInstanceOf(many.cause.errors[1], EvalError);
      const odd = await thrown(context.call(remote.fail, "fields"));
      assertInstanceOf(odd.cause, TypeError);
      assertEquals(odd.remoteName, "OddError");
      const { code, detail } = odd.cause as remote.OddError;
      assertEquals([code, detail], [7, { list: [1, 2] }]);
      const missing = await thrown(context.call(remote.fail, "missing"));
      assertInstanceOf(missing.cause, Deno.errors.NotFound);
    },
  },
  {
    name: "odd errors arrive too",
    async run({ context }) {
      const long = await thrown(context.call(remote.fail, "long"));
      assertEquals(long.message.length, 1024 * 1024);
      const text = await thrown(context.call(remote.fail, "text"));
      assertEquals([text.cause, text.message], ["just text", "just text"]);
      const bare = await thrown(context.call(remote.fail, "uncloneable"));
      assertEquals(bare.message, "has a function");
      const result = await thrown(context.call(remote.unsendable));
      assertStringIncludes(result.message, "$.deep[0]");
      await assertRejects(
        () => context.call(remote.echo<unknown>, { a: [Symbol()] }),
        CodecError,
        "[0].a[0]",
      );
    },
  },
  {
    name: "a function goes by its source when it needs nothing else",
    async run({ context }) {
      assertEquals(await context.call((a: number) => a * 2, 21), 42);
      const word = "free";
      await assertRejects(
        () => context.call(() => word),
        TypeError,
        '"word"',
      );
      assertEquals(await context.call(Math.max, 3, 9, 4), 9);
    },
  },
  {
    name: "import() gives a module's functions",
    async run({ context }) {
      const module = await context.import<typeof remote>(
        import.meta.resolve("./remote.ts"),
      );
      assertEquals(await module.add(40, 2), 42);
    },
  },
  {
    name: "current() knows where it is",
    async run({ context, router }) {
      const { path, parent, src } = await context.call(remote.where);
      assertEquals(path, context.path);
      assertEquals(parent, path.slice(0, path.lastIndexOf("/")));
      assertEquals(src, router.id);
    },
  },
  {
    name: "a chain runs in order, and stops at its first failure",
    async run({ context }) {
      const chain = new CallChain(context);
      chain.callNoReply(remote.forget);
      chain.callNoReply(remote.slowly, "a");
      const order = await chain.call(remote.slowly, "b");
      assertEquals(order, ["a begins", "a ends", "b begins", "b ends"]);
      chain.callNoReply(remote.fail, "range");
      const first = await thrown(chain.call(remote.bump));
      assertInstanceOf(first.cause, RangeError);
      await thrown(chain.call(remote.bump));
      chain.reset();
      assertEquals(await chain.call(remote.add, 1, 2), 3);
      chain.reset();
    },
  },
  {
    name: "a signal and a timeout cancel the work on the other side",
    async run({ context }) {
      // To look for the function is under the deadline as well.
      await context.call(remote.untilCancelled, false);
      const controller = new AbortController();
      const call = context.with({ signal: controller.signal })
        .call(remote.untilCancelled);
      const reason = new Error("enough");
      queueMicrotask(() => controller.abort(reason));
      const error = await assertRejects(() => call);
      assert(error === reason);
      const late = await assertRejects(() =>
        context.with({ timeout: 20 }).call(remote.untilCancelled)
      );
      assertEquals((late as Error).name, "TimeoutError");
      assertEquals(await context.call(remote.wasCancelled), "AbortError");
    },
  },
  {
    name: "a sender sends from there to here",
    async run({ context, router }) {
      using receiver = new Receiver<number>(router);
      await context.call(remote.tell, receiver.toSender() as never, 100);
      const values = await Array.fromAsync(receiver);
      assertEquals(values, Array.from({ length: 100 }, (_, i) => i));
    },
  },
  {
    name: "what is printed there is logged here with its context",
    apart: true,
    async run({ context, log }) {
      const mine = (text: string) =>
        log((record) =>
          record.path === context.path && record.message === text
        );
      const lines = ["from the console", "from Deno.stdout", "without an end"]
        .map(mine);
      await context.call(remote.print);
      assertEquals(await context.call(remote.printf), 0);
      await Promise.all(lines);
    },
  },
  {
    name: "a program that reads its input gets the end of it",
    apart: true,
    async run({ context }) {
      assertEquals(await context.call(remote.countInput), 0);
    },
  },
  {
    name: "a context opens contexts of its own",
    async run({ context }) {
      const [path, sum] = await context.call(remote.grandchild);
      assertEquals(path.slice(0, path.lastIndexOf("/")), context.path);
      assertEquals(sum, 42);
    },
  },
  {
    name: "ping() is answered",
    async run({ context }) {
      assert(await context.ping() >= 0);
    },
  },
  {
    name: "exit() there fails its callers here, with the code",
    apart: true,
    async run({ context }) {
      const waiting = assertRejects(
        () => context.call(remote.never),
        DisconnectedError,
      );
      await context.call(remote.add, 1, 1);
      const error = await assertRejects(
        () => context.call(remote.exit, 3),
        DisconnectedError,
      );
      assertEquals(error.path, context.path);
      assertEquals((await context.closed).code, 3);
      assertEquals((await waiting).reason, await context.closed);
    },
  },
  {
    name: "after shutdown() it is closed, and says so",
    async run({ context }) {
      await context.call(remote.add, 1, 1);
      await context.shutdown();
      assertEquals((await context.closed).kind, "shutdown");
      await assertRejects(() => context.call(remote.pid), DisconnectedError);
      await assertRejects(() => context.ping(), DisconnectedError);
    },
  },
];
