/** What is thrown may be anything: it harms nobody, and says what can be said. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { decode, encode } from "../../core/mod.ts";
import {
  CallChain,
  CallError,
  CodecError,
  type Context,
  Router,
} from "../../mod.ts";

const quiet = { onLog() {} };

/** Functions that throw what cannot be read: sent by their source, each alone. */
const THROW: Record<string, (() => unknown)[]> = {
  "something that cannot be printed": [
    () => {
      const error = new RangeError("a");
      throw Object.defineProperty(error, "message", {
        get() {
          throw 2;
        },
      });
    },
    () => {
      throw new Proxy(new Error("p"), {
        get() {
          throw Object.create(null);
        },
      });
    },
    () => {
      throw new Proxy(new Error("p"), {
        getPrototypeOf() {
          throw new Error("none of your business");
        },
        get() {
          throw 2;
        },
      });
    },
    () =>
      Promise.reject(
        new Proxy(new Error("p"), {
          get() {
            throw 2;
          },
        }),
      ),
    () => {
      throw Object.create(null);
    },
    () => {
      const error = new Error("a");
      error.message = Object.create(null);
      throw error;
    },
  ],
  "a": [
    () => {
      throw Object.defineProperty(new Error("a"), "name", {
        get() {
          throw 2;
        },
      });
    },
    () => {
      throw Object.defineProperty(new Error("a"), "stack", {
        get() {
          throw 2;
        },
      });
    },
    () => {
      throw Object.defineProperty(new Error("a"), "constructor", {
        get() {
          throw 2;
        },
      });
    },
    () => {
      throw Object.defineProperty(new Error("a"), "cause", {
        get() {
          throw 2;
        },
      });
    },
    () => {
      throw Object.assign(new Error("a"), { stack: 5, name: Symbol("n") });
    },
    () => {
      throw Object.freeze(new Error("a"));
    },
    () => {
      throw Object.assign(new Error("a"), { uncrossable: Symbol("s") });
    },
  ],
};

Deno.test("what a function throws may be impossible to read: the caller gets what can be said", async () => {
  await using router = new Router(quiet);
  const contexts: Context[] = [await router.local(), await router.worker()];
  for (const context of contexts) {
    for (const [message, functions] of Object.entries(THROW)) {
      for (const fn of functions) {
        const error = await assertRejects(() => context.call(fn), CallError);
        assertEquals(error.message, message, fn.toString());
        assertEquals(error.path, context.path);
        using chain = new CallChain(context);
        const first = assertRejects(() => chain.call(fn), CallError, message);
        await assertRejects(() => chain.call(fn), CallError, message);
        await first;
      }
    }
    assertEquals(await context.call(() => "alive"), "alive");
  }
});

Deno.test("what a function returns may be impossible to read as well", async () => {
  await using router = new Router(quiet);
  const context = await router.local();
  for (
    const fn of [
      () =>
        new Proxy({}, {
          has() {
            throw 2;
          },
        }),
      () => ({
        get then() {
          throw 2;
        },
      }),
      () =>
        new Proxy({}, {
          getPrototypeOf() {
            throw Object.create(null);
          },
        }),
      () => ({
        x: {
          get y() {
            throw Object.create(null);
          },
        },
      }),
    ] as (() => unknown)[]
  ) {
    await assertRejects(() => context.call(fn), CallError);
  }
  assertEquals(await context.call(() => "alive"), "alive");
});

Deno.test("an error that cannot be read all crosses with what can; other things say where they cannot", () => {
  for (const key of ["message", "name", "stack", "constructor"]) {
    const error = Object.defineProperty(new TypeError("a"), key, {
      get() {
        throw 2;
      },
    });
    const read = decode(encode(error));
    assert(read instanceof TypeError);
    if (key !== "message") assertEquals(read.message, "a");
  }
  const refused = assertThrows(
    () =>
      encode({
        list: [{
          get x() {
            throw Object.create(null);
          },
        }],
      }),
    CodecError,
  );
  assertEquals(
    refused.message,
    "Cannot send $.list[0].x: reading it threw something that cannot be printed",
  );
});

Deno.test("the end of something live may have a reason that is impossible to read", async () => {
  await using router = new Router(quiet);
  const context = await router.local();
  const ends: Record<string, () => Promise<unknown>> = {
    iterator: () =>
      context.call(async function* () {
        yield 1;
        throw new Proxy(new Error("p"), {
          getPrototypeOf() {
            throw 2;
          },
        });
      }).then((values) => Array.fromAsync(values)),
    stream: () =>
      context.call(() =>
        new ReadableStream({
          pull() {
            throw new Proxy(new Error("p"), {
              get() {
                throw 2;
              },
            });
          },
        })
      ).then((values) => Array.fromAsync(values)),
    callback: () =>
      context.call(() => () => {
        throw new Proxy(new Error("p"), {
          getPrototypeOf() {
            throw 2;
          },
        });
      }).then((callback) => callback()),
  };
  for (const [what, end] of Object.entries(ends)) {
    const reason = await end().then(() => "it went well", (reason) => reason);
    const words = reason instanceof Error ? reason.message : reason;
    assertEquals(words, "something that cannot be printed", what);
  }
  assertEquals(await context.call(() => "alive"), "alive");
});
