/** Modules: what is shipped, how often, and what never is. */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { type Context, Router } from "../mod.ts";
import { Handle, type Message } from "../core/mod.ts";
import defaultExport, {
  aliased,
  bump,
  lazily,
  report,
  Tool,
} from "./fixtures/modules/deep.ts";
import { hostname } from "node:os";
import { noLeaks } from "./fixtures/leaks.ts";

/** Counts the module requests that reach the master. */
function counted(): {
  router: Router;
  requests: () => number;
  bytes: () => number;
} {
  let requests = 0;
  let bytes = 0;
  const router = new Router({ onLog() {} });
  const receive = router.receive.bind(router);
  router.receive = (message, link) => {
    if (message.handle === Handle.GET_MODULE) {
      requests++;
      const send = link.send.bind(link);
      link.send = (reply: Message) => {
        if (reply.handle === message.replyTo) bytes += reply.size;
        send(reply);
      };
    }
    receive(message, link);
  };
  return { router, requests: () => requests, bytes: () => bytes };
}

Deno.test("a module and all that it imports arrive in one request", async () => {
  await using _ = await noLeaks();
  const { router, requests } = counted();
  await using _router = router;
  const context = await router.local({ permissions: "none" });
  assertEquals((await context.call(report, 3)).even, false);
  assertEquals(requests(), 1);
  assertEquals(await context.call(bump), 2);
  assertEquals(await context.call(lazily), 42);
  assertEquals((await context.call(report, 4)).count, 3);
  assertEquals(requests(), 1);
});

Deno.test("a second context behind the same hop costs the master's link nothing", async () => {
  await using _ = await noLeaks();
  const { router, requests, bytes } = counted();
  await using _router = router;
  const hop = await router.local();
  const first = await router.local({ via: hop, permissions: "none" });
  assertEquals((await first.call(report, 2)).count, 1);
  const [before, sent] = [requests(), bytes()];
  assert(sent > 0);
  const second = await router.local({ via: hop, permissions: "none" });
  assertEquals((await second.call(report, 2)).count, 1);
  assertEquals([requests(), bytes()], [before, sent]);
});

Deno.test("a module has one instance in each context", async () => {
  await using router = new Router({ onLog() {} });
  const [a, b] = await Promise.all([router.local(), router.worker()]);
  assertEquals(await Promise.all([a!.call(bump), a!.call(bump)]), [1, 2]);
  assertEquals(await b!.call(bump), 1);
});

Deno.test("every kind of function works, or says what to do", async (t) => {
  await using router = new Router({ onLog() {} });
  const context = await router.local({ permissions: { sys: true } });
  const works: [name: string, call: () => Promise<unknown>, result: unknown][] =
    [
      [
        "a default export",
        () => context.call(defaultExport, "you"),
        "hello you",
      ],
      [
        "a re-exported function",
        () => context.call(aliased),
        "from JavaScript",
      ],
      ["a static method", () => context.call(Tool.scale, 2), 6],
      ["a built-in", () => context.call(Math.min, 4, 2), 2],
      ["a function of node", () => context.call(hostname), Deno.hostname()],
      [
        "a function of Deno",
        () => context.call(Deno.hostname),
        Deno.hostname(),
      ],
      ["a closure", () => context.call((n: number) => n + 1, 1), 2],
      [
        "a closure that calls itself",
        () =>
          context.call(function f(n: number): number {
            return n < 2 ? 1 : n * f(n - 1);
          }, 5),
        120,
      ],
      [
        "a method that needs nothing",
        () =>
          context.call(
            {
              twice(n: number) {
                return n * 2;
              },
            }.twice,
            4,
          ),
        8,
      ],
    ];
  for (const [name, call, result] of works) {
    await t.step(`${name} works`, async () => {
      assertEquals(await call(), result);
    });
  }
  const factor = 2;
  const tool = new Tool();
  const refused: [name: string, call: () => Promise<unknown>, says: string][] =
    [
      [
        "a free variable",
        () => context.call((n: number) => n * factor, 1),
        '"factor"',
      ],
      ["a bound function", () => context.call(aliased.bind(null)), "bound"],
      ["an instance method", () => context.call(tool.scaled), '"Tool"'],
      [
        "a method that uses this",
        () =>
          context.call(
            {
              n: 1,
              get() {
                return this.n;
              },
            }.get as () => number,
          ),
        '"this"',
      ],
      [
        "no function",
        () => context.call("text" as never),
        "expected a function",
      ],
    ];
  for (const [name, call, says] of refused) {
    await t.step(`${name} is refused`, async () => {
      const error = await assertRejects(call, TypeError);
      assertStringIncludes(error.message, says);
    });
  }
});

/** Asks the parent for a module as a hostile context would. */
async function ask(context: Context, url: string): Promise<string> {
  return await context.call(async (url: string) => {
    const core = await import("mitogen:core" as string);
    const { router } = core.current();
    const answer = await new Promise<{ error?: string; data: Uint8Array }[]>(
      (resolve, reject) => {
        const replyTo = router.addHandler((reply: Message) => {
          try {
            resolve(reply.decode() as never);
          } catch (error) {
            reject(error);
          }
        }, { persist: false });
        router.route(
          core.Message.value(url, { dstId: 0, handle: 100, replyTo }),
        );
      },
    );
    return answer.map((m) => m.error ?? `${m.data.length} bytes`).join();
  }, url);
}

Deno.test("a module that was never called for is refused, whatever it is called", async () => {
  await using router = new Router({ onLog() {} });
  const context = await router.local({ permissions: "none" });
  await context.call(report, 1);
  const here = import.meta.resolve("./fixtures/modules/");
  for (
    const url of [
      "/etc/passwd",
      "file:///etc/passwd",
      "file:/etc/passwd",
      "file://localhost/etc/passwd",
      "FILE:///etc/passwd",
      "../../../../etc/passwd",
      `${here}never.ts`,
      `${here}../modules/never.ts`,
      `${here}deep.ts/../never.ts`,
      `${here}deep.ts%00`,
      `${here}deep.ts?x`,
      "npm:is-number@7.0.0",
      "data:text/javascript,1",
      "https://example.com/x.ts",
      "mitogen:master",
      "__proto__",
      "constructor",
      "",
    ]
  ) {
    assertStringIncludes(await ask(context, url), "has not called or offered");
  }
});

Deno.test("a module that cannot be had fails its call, and says which it is", async () => {
  await using router = new Router({ onLog() {} });
  const context = await router.local();
  const error = await assertRejects(
    () => context.import(import.meta.resolve("./fixtures/modules/absent.ts")),
  );
  assertStringIncludes((error as Error).message, "absent.ts");
  await assertRejects(
    () => context.import("./relative.ts"),
    TypeError,
    "import.meta.resolve",
  );
  assertEquals(await context.call(bump), 1);
});
