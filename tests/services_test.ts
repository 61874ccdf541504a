/** Services: who may call what, and how it is made. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import {
  AllowAny,
  CallError,
  ChannelError,
  type Context,
  current,
  type LogRecord,
  Router,
} from "../mod.ts";
import { Handle, Message } from "../core/mod.ts";
import { noLeaks } from "./fixtures/leaks.ts";
import { openPair } from "./fixtures/pair.ts";
import * as there from "./fixtures/services.ts";

const quiet = { onLog() {} };

/** A method by any name, also one that nobody serves. */
// deno-lint-ignore no-explicit-any
type Anything = Record<string, (...args: any[]) => any>;

async function refused(call: Promise<unknown>, why: RegExp): Promise<void> {
  const error = await assertRejects(() => call, ChannelError);
  assertMatch(error.message, why);
}

Deno.test("a service answers its own context, and others as its policy says", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const [a, b] = await Promise.all([router.local(), router.local()]);
  const below = await router.local({ via: a! });
  const service = { sum: (...n: number[]) => n.reduce((x, y) => x + y, 0) };
  const master = router.myself();
  await router.serve("parents", service);
  await router.serve("any", service, { policy: AllowAny });
  await router.serve("some", service, {
    policy: ({ caller, method }) => caller.id === a!.id && method === "sum",
  });
  assertEquals(await master.service<typeof service>("parents").sum(1, 2), 3);
  const call = (from: Context, name: string) =>
    from.call(there.callFrom, master, name, "sum", [2, 3]);
  assertEquals(await call(below, "any"), 5);
  assertEquals(await call(a!, "some"), 5);
  for (const [from, name] of [[a!, "parents"], [b!, "some"]] as const) {
    const error = await assertRejects(() => call(from, name), CallError);
    assertMatch(
      error.message,
      new RegExp(`Cannot call master: refused by policy of .*"${name}"`),
    );
  }
  // And downwards: parents of all degrees, but no siblings.
  await below.call(there.serveList);
  await below.service<Anything>("list").note!("master was here");
  await a!.call(there.callFrom, below, "list", "note", ["so was a"]);
  await assertRejects(
    () => b!.call(there.callFrom, below, "list", "note", ["b"]),
    CallError,
    "refused by policy",
  );
  assertEquals(await below.service<Anything>("list").list!(), [
    "master was here",
    "so was a",
  ]);
});

Deno.test("what is refused is in the log, once", async () => {
  const log: LogRecord[] = [];
  await using router = new Router({ onLog: (record) => log.push(record) });
  await router.serve("mine", { run: () => 1 });
  const { child } = await openPair(router);
  const service = child.contextById(0).service<Anything>("mine");
  for (let i = 0; i < 5; i++) {
    await refused(service.run!(), /refused by policy/);
  }
  assertEquals(log.length, 1);
  assertMatch(log[0]!.message, /refused by policy of the service "mine"/);
});

Deno.test("a policy that throws, or does not say true, lets nobody in", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const policies = [
    () => {
      throw new Error("I do not know");
    },
    () => Promise.resolve(true) as unknown as boolean,
    () => 1 as unknown as boolean,
  ];
  const service = router.myself().service<Anything>("one");
  for (const policy of policies) {
    using _ = await router.serve("one", { run: () => 1 }, { policy });
    await refused(service.run!(), /refused by policy|the handler failed/);
  }
  // The same where it is made: the context lives on.
  const context = await router.local();
  const strict = context.service("strict", { activate: there.strict });
  for (let i = 0; i < 2; i++) {
    await refused(strict.run(), /refused by policy of the service "strict"/);
  }
  assertEquals(await context.call(() => 1), 1);
});

Deno.test("only what was served can be called", async () => {
  await using router = new Router(quiet);
  const secret = () => "secret";
  const object: Anything = {
    run: () => "ran",
    _run: secret,
    then: secret,
    constructor: secret,
    get getter(): () => void {
      throw new Error("a getter ran");
    },
  };
  Object.setPrototypeOf(object, { inherited: secret });
  await router.serve("object", object);
  object.later = secret;
  object.run = secret;
  const service = router.myself().service<Anything>("object");
  assertEquals(await service.run!(), "ran");
  const names = [
    "_run",
    "constructor",
    "getter",
    "inherited",
    "later",
    "toString",
    "hasOwnProperty",
    "__proto__",
    "__defineGetter__",
    "",
  ];
  for (const name of names) {
    await refused(service[name]!(), /the service "object" has no method/);
  }
  assertEquals(service.then, undefined);
  assertEquals(await Promise.resolve(service), service);
});

Deno.test("of a class only the methods that are named are served", async () => {
  await using router = new Router(quiet);
  class Account {
    #balance = 0;
    pay(sum: number) {
      return this.#balance += sum;
    }
    private drain() {
      this.#balance = 0;
    }
    _reset() {
      this.drain();
    }
    get balance() {
      return () => this.#balance;
    }
  }
  const account = new Account();
  const serve = (methods?: string[]) =>
    router.serve("account", account, methods ? { methods } : {});
  await assertRejects(() => serve(), TypeError, "no functions of its own");
  for (const name of ["_reset", "balance", "toString", "constructor", "nope"]) {
    await assertRejects(() => serve([name]), TypeError, `"${name}"`);
  }
  await serve(["pay"]);
  const service = router.myself().service<Account>("account");
  assertEquals(await service.pay(5), 5);
  assertEquals(await service.pay(5), 10);
  await refused(
    (service as unknown as Anything).drain!(),
    /no method "drain"/,
  );
});

Deno.test("a name is served once, until it is disposed of", async () => {
  await using router = new Router(quiet);
  const service = router.myself().service<Anything>("one");
  {
    using _ = await router.serve("one", { run: () => 1 });
    await assertRejects(
      () => router.serve("one", { run: () => 2 }),
      TypeError,
      "served already",
    );
    assertEquals(await service.run!(), 1);
  }
  await refused(service.run!(), /no service "one" is served there/);
  using _ = await router.serve("one", { run: () => 3 });
  assertEquals(await service.run!(), 3);
  for (const name of ["", "a\nb", "mitogen:x", "x".repeat(201)]) {
    await assertRejects(
      () => router.serve(name, { run: () => 1 }),
      TypeError,
      "Cannot serve",
    );
  }
  for (const concurrency of [0, 1.5, -1, NaN]) {
    await assertRejects(
      () => router.serve("none", { run: () => 1 }, { concurrency }),
      RangeError,
    );
  }
});

Deno.test("a context that serves nothing says so, and may have no permission at all", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const context = await router.local({ permissions: "none" });
  await refused(
    context.service<Anything>("x").run!(),
    /Cannot call master\/local\.1: no service is served there/,
  );
  await context.call(there.serveList);
  await refused(
    context.service<Anything>("x").run!(),
    /no service "x" is served there/,
  );
  const made = context.service("counter", { activate: there.counter });
  assertEquals(await made.add(1), 1);
});

Deno.test("what the language and the console ask of a service is not called there", async () => {
  await using router = new Router(quiet);
  const { context } = await openPair(router);
  const service = context.service<Anything>('my "own"');
  const shown = `Service("my \\"own\\"", ${context.path})`;
  assertEquals(`${service}`, shown);
  assertEquals(service + "", shown);
  assertEquals(Deno.inspect({ service }), `{ service: ${shown} }`);
  assertEquals(Object.prototype.toString.call(service), "[object Service]");
  assertEquals(await Promise.resolve(service), service);
  assertEquals(Symbol.iterator in service, false);
  const call = service.toString!() as unknown as Promise<unknown>;
  await refused(call, /no service/);
});

Deno.test("what a method is given and returns may be live, and it knows its caller", async () => {
  await using router = new Router(quiet);
  const { child } = await openPair(router);
  const service = {
    async *upTo(end: number) {
      for (let i = 0; i < end; i++) yield i;
    },
    async twice(fn: (n: number) => number) {
      return [await fn(1), await fn(2)];
    },
    caller: () => current().message.srcId,
    large: (bytes: Uint8Array) => bytes.length,
    fail() {
      throw new RangeError("too far");
    },
  };
  await router.serve("live", service, { policy: AllowAny });
  const remote = child.contextById(0).service<typeof service>("live");
  const seen: number[] = [];
  for await (const n of await remote.upTo(5)) seen.push(n);
  assertEquals(seen, [0, 1, 2, 3, 4]);
  assertEquals(await remote.twice((n) => n * 10), [10, 20]);
  assertEquals(await remote.caller(), child.id);
  assertEquals(await remote.large(new Uint8Array(300_000)), 300_000);
  const error = await assertRejects(() => remote.fail(), CallError);
  assert(error.cause instanceof RangeError);
  assertEquals([error.path, error.message], ["master", "too far"]);
});

Deno.test("a parent makes a service where it calls it, once; nobody else can", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const [a, b] = await Promise.all([router.local(), router.local()]);
  const counter = a!.service("counter", { activate: there.counter });
  const other = a!.service("counter", { activate: there.counter });
  const sums = await Promise.all([
    counter.add(1),
    other.add(2),
    counter.add(3),
  ]);
  assertEquals(sums, [1, 3, 6]);
  assertEquals(await counter.made(), 1);
  assertEquals(await counter.caller(), `master in ${a!.path}`);
  const error = await assertRejects(() => counter.fail(), CallError);
  assert(error.cause instanceof RangeError);
  // It is there now, for parents.
  assertEquals(await a!.service<there.Counter>("counter").add(1), 7);
  await assertRejects(
    () => b!.call(there.makeFrom, a!),
    CallError,
    "refused by policy",
  );
  await assertRejects(
    () => a!.call(there.makeFrom, b!),
    CallError,
    "no service is served there",
  );
  // By source, since it needs nothing else.
  const local = b!.service("clock", { activate: () => ({ now: () => 42 }) });
  assertEquals(await local.now(), 42);
  await assertRejects(
    () => a!.call(there.makeFrom, b!),
    CallError,
    'no service "counter" is served there, and only a parent may make it',
  );
  await refused(
    b!.with({ timeout: 5000 }).service<Anything>("nothing").run!(),
    /no service "nothing" is served there$/,
  );
});

Deno.test("a name that nothing can be served by is refused by name where it is called", async () => {
  const log: LogRecord[] = [];
  await using router = new Router({ onLog: (record) => log.push(record) });
  const context = await router.local();
  for (const name of ["", "a\nb", "mitogen:x", "x".repeat(201)]) {
    const error = await assertRejects(
      () => context.service(name, { activate: there.counter }).made(),
      CallError,
    );
    assertMatch(error.message, /^Cannot serve ".*: a name has 1 to 200 char/);
  }
  await refused(
    context.service<Anything>("x".repeat(100_000)).run!(),
    /^Cannot call master\/local\.1: no service "x{200}" is served there$/,
  );
  assertEquals(log, []);
});

Deno.test("what a context has to say of those above it is logged as its own", async () => {
  const log: LogRecord[] = [];
  await using router = new Router({ onLog: (record) => log.push(record) });
  const hop = await router.local();
  const context = await router.local({ via: hop });
  for (const one of [hop, context]) {
    one.router.route(
      Message.value("nonsense", {
        dstId: one.id,
        handle: Handle.CALL_SERVICE,
      }),
    );
    await one.call(there.serveList);
    one.router.route(
      Message.value("nonsense", {
        dstId: one.id,
        handle: Handle.CALL_SERVICE,
      }),
    );
    await one.call(() => 1);
  }
  await context.ping();
  assertEquals(log.map((record) => record.path), [hop.path, context.path]);
  for (const { message } of log) assertMatch(message, /malformed call of a/);
});

Deno.test("a service that could not be made is made when it is asked for again", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const context = await router.local();
  const service = context.service("late", { activate: there.late });
  await assertRejects(() => service.attempts(), CallError, "not yet");
  assertEquals(await service.attempts(), 2);
  const bad = context.service("bad", { activate: () => 5 as never });
  await assertRejects(
    () => (bad as Anything).run!(),
    CallError,
    'Cannot serve "bad"',
  );
});

Deno.test("a service that is made may say itself who calls it", async () => {
  await using _ = await noLeaks();
  await using router = new Router(quiet);
  const [a, b] = await Promise.all([router.local(), router.local()]);
  const service = a!.service("open", { activate: there.open });
  assertEquals(await service.whoami(), a!.path);
  assertEquals(await b!.call(there.callFrom, a!, "open", "whoami"), a!.path);
});
