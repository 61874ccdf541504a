/** Programs that join a running tree, and those that must not. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "@std/path";
import {
  AllowAny,
  CallError,
  ChannelError,
  ConnectError,
  connectUnix,
  DisconnectedError,
  type LogRecord,
  Router,
} from "../mod.ts";
import { corePack } from "../master/pack.ts";
import { coreDigest } from "../parent/mod.ts";
import { noLeaks } from "./fixtures/leaks.ts";
import { makeFolder } from "./fixtures/programs.ts";
import { callFrom } from "./fixtures/services.ts";
import { makeUser } from "./fixtures/users.ts";
import { asks, callOther, listenHere } from "./fixtures/working.ts";

import {
  names,
  place,
  quiet,
  refused,
  root,
  talk,
} from "./fixtures/joiners.ts";

Deno.test("a second program calls functions everywhere in the tree", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  await using router = new Router(quiet);
  const a = await router.local();
  const b = await router.local({ via: a });
  await using listener = await router.listen(folder.socket);
  assertEquals(listener.path, folder.socket);
  await using joined = await connectUnix(folder.socket, quiet);
  assertEquals(joined.path, "master/unix.1");
  assertEquals(
    joined.contexts().map(({ path }) => path),
    [a.path, b.path],
  );
  // It is not among those in which anything can be called.
  assertEquals(router.contexts(), [a, b]);
  const there = joined.contexts()[1]!;
  assertEquals(await there.call(asks, 4), [true, b.path, joined.id]);
  assertEquals(await there.call((n: number) => n + 1, 41), 42);
  assertEquals(await there.call(Math.max, 1, 2), 2);
  const module = await there.import<typeof import("./fixtures/working.ts")>(
    import.meta.resolve("./fixtures/working.ts"),
  );
  assertEquals((await module.asks(3))[0], false);
  const stream = await there.call(async function* (end: number) {
    for (let i = 0; i < end; i++) yield i;
  }, 3);
  const seen: number[] = [];
  for await (const n of stream) seen.push(n);
  assertEquals(seen, [0, 1, 2]);
  const large = new Uint8Array(3_000_000).fill(7);
  assertEquals(await there.call((b: Uint8Array) => b, large), large);
  // The master runs nothing for others, but serves.
  const error = await assertRejects(
    () => joined.listener.call(() => 1),
    ChannelError,
  );
  assertMatch(error.message, /Cannot call master: invalid handle/);
  await router.serve("mine", { run: () => "for parents" });
  const mine = joined.listener.service<{ run(): string }>("mine");
  assertEquals(await mine.run(), "for parents");
});

Deno.test("a program that has joined sees contexts come and go, and opens some that stay", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  await using router = new Router(quiet);
  await router.listen(folder.socket);
  const joined = await connectUnix(folder.socket, quiet);
  assertEquals(joined.contexts(), []);
  const a = await router.local({ name: "a" });
  await joined.listener.ping();
  const [same] = joined.contexts();
  assertEquals([same!.id, same!.path], [a.id, a.path]);
  await a.shutdown();
  assertEquals((await same!.closed).kind, "shutdown");
  assertEquals(joined.contexts(), []);

  const stays = await joined.local({ name: "stays" });
  assertEquals(stays.path, "master/stays");
  const deeper = await joined.local({ name: "deeper", via: stays });
  assertEquals(deeper.path, "master/stays/deeper");
  const own = await joined.local({ name: "own", via: joined.myself() });
  assertEquals(own.path, "master/unix.1/own");
  assertEquals((await own.call(asks, 2))[1], own.path);
  const failed = await assertRejects(
    () => joined.local({ deno: { path: "/nowhere/deno" } }),
    ConnectError,
  );
  assertEquals(failed.kind, "runtime");
  const controller = new AbortController();
  controller.abort(new Error("no"));
  await refused(
    joined.local({ signal: controller.signal }),
    "cancelled",
    /cancelled: no/,
  );
  const known = router.contexts().find(({ path }) => path === own.path);
  await joined.shutdown();
  assertEquals(await joined.left, {
    kind: "shutdown",
    message: "it left the tree",
  });
  // Who is left learns of it when the connection has ended.
  await known!.closed;
  await assertRejects(() => stays.call(() => 1), DisconnectedError);
  assertEquals(
    router.contexts().map(({ path }) => path),
    ["master/stays", "master/stays/deeper"],
  );
  assertEquals(await router.contexts()[1]!.call(() => 1), 1);
});

Deno.test("a program that has joined acts for the context where it did, and no other", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  await using router = new Router(quiet);
  const [a, b] = await Promise.all([router.local(), router.local()]);
  const below = await router.local({ via: a! });
  await a!.call(listenHere, folder.socket);
  await using joined = await connectUnix(folder.socket, quiet);
  assertEquals(joined.listener.path, a!.path);
  const paths = joined.contexts().map(({ path }) => path);
  assertEquals(paths, [a!.path, below.path]);
  assertEquals(await joined.listener.call(asks, 2), [true, a!.path, joined.id]);
  assertEquals((await joined.contexts()[1]!.call(asks, 2))[1], below.path);
  for (const id of [b!.id, 0]) {
    await assertRejects(
      () => joined.contextById(id).call(() => 1),
      ChannelError,
      id === 0 ? "invalid handle" : "refused by policy",
    );
  }
  // Nor may those below call it, or use what it has of the tree.
  await assertRejects(
    () => below.call(callOther, joined.id),
    CallError,
    "invalid handle",
  );
  await assertRejects(
    () => below.call(callFrom, a!, "mitogen:tree", "take", [[]]),
    CallError,
    "refused by policy",
  );
  // What it serves is found by anyone who may.
  await joined.serve("mine", { run: () => "joined" }, { policy: AllowAny });
  const there = router.contextById(joined.id);
  assertEquals(await b!.call(callFrom, there, "mine", "run"), "joined");
});

Deno.test("nobody else can open the socket, and nothing of it is left", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  const router = new Router(quiet);
  const listener = await router.listen(folder.socket);
  const mode = (name: string) =>
    (Deno.lstatSync(join(folder.path, name)).mode! & 0o777).toString(8);
  assertEquals(names(folder.path), ["tree", "tree.key"]);
  assertEquals([mode("tree"), mode("tree.key")], ["600", "600"]);
  await listener.close();
  assertEquals(names(folder.path), []);
  await refused(
    connectUnix(folder.socket),
    "not-found",
    /nobody listens there/,
  );
  await router.listen(folder.socket);
  await router.shutdown();
  assertEquals(names(folder.path), []);
});

Deno.test({
  name: "another user of the machine cannot join, nor have us join theirs",
  ignore: !root,
  async fn() {
    await using _ = await noLeaks();
    await using folder = await makeFolder();
    await using user = await makeUser("mitogen-unix", "/bin/sh");
    await using router = new Router(quiet);
    const path = join(folder.path, "tree");
    await router.listen(path);
    const ids = new TextDecoder().decode(
      (await new Deno.Command("id", { args: ["-u", user.name] }).output())
        .stdout,
    );
    const as = async (script: string) => {
      const { stdout } = await new Deno.Command("perl", {
        args: ["-MSocket", "-e", script, path, join(folder.path, "theirs")],
        uid: Number(ids),
        cwd: "/",
        stdin: "null",
      }).output();
      return new TextDecoder().decode(stdout);
    };
    // The folder can be entered, so it is the modes that keep them out.
    assertEquals(await as("print -S $ARGV[0] ? 'seen' : 'not seen'"), "seen");
    assertEquals(
      await as(
        "socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un($ARGV[0])) ? print 'in' : print $!",
      ),
      "Permission denied",
    );
    assertEquals(
      await as("open(F, '<', \"$ARGV[0].key\") ? print 'read' : print $!"),
      "Permission denied",
    );
    // What they put in our way is not spoken to, and not removed.
    await Deno.chmod(folder.path, 0o777);
    await as(
      'socket(S, AF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un($ARGV[1])); open(F, \'>\', "$ARGV[1].key"); chmod 0600, $ARGV[1], "$ARGV[1].key"',
    );
    const theirs = join(folder.path, "theirs");
    assert(Deno.lstatSync(theirs).isSocket);
    await refused(connectUnix(theirs), "auth", /only this user can open/);
    await assertRejects(
      () => router.listen(theirs),
      TypeError,
      "other users can write there",
    );
    await Deno.chmod(folder.path, 0o1777);
    await assertRejects(
      () => router.listen(theirs),
      TypeError,
      "the socket there is another user's",
    );
    assert(Deno.lstatSync(theirs).isSocket);
  },
});

Deno.test("a place that is taken or not safe is refused, and left as it is", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  await using router = new Router(quiet);
  await using other = new Router(quiet);
  await router.listen(folder.socket);
  await assertRejects(
    () => other.listen(folder.socket),
    TypeError,
    "another program listens there",
  );
  const file = join(folder.path, "file");
  await Deno.writeTextFile(file, "mine");
  await assertRejects(() => router.listen(file), TypeError, "not a socket");
  await Deno.symlink(folder.socket, join(folder.path, "link"));
  await assertRejects(
    () => router.listen(join(folder.path, "link")),
    TypeError,
    "not a socket",
  );
  assertEquals(await Deno.readTextFile(file), "mine");
  await refused(connectUnix(file), "auth", /is not a socket/);
  await Deno.chmod(folder.socket, 0o666);
  await refused(connectUnix(folder.socket), "auth", /only this user/);
  await Deno.chmod(folder.socket, 0o600);
  await assertRejects(
    () => router.listen(join(folder.path, "n".repeat(110))),
    TypeError,
    "too long",
  );
  await assertRejects(
    () => router.listen(join(folder.path, "none", "tree")),
    Deno.errors.NotFound,
  );
  assertEquals(names(folder.path), ["file", "link", "tree", "tree.key"]);
  await using joined = await connectUnix(folder.socket, quiet);
  assertEquals(joined.contexts(), []);
});

Deno.test("who does not know the key, says nothing or nonsense gets nowhere and stops nobody", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  const log: LogRecord[] = [];
  const router = new Router({ onLog: (record) => log.push(record) });
  await router.listen(folder.socket);
  const key = await Deno.readTextFile(`${folder.socket}.key`);
  const core = coreDigest(corePack());
  const silent = talk(folder.socket);
  const half = talk(folder.socket, '{"key":');
  const say = (hello: unknown) =>
    talk(folder.socket, JSON.stringify(hello) + "\n");
  for (
    const hello of [
      { core },
      { key: "", core },
      { key: key + "0", core },
      {
        key: key.replace(/./g, "0"),
        core,
      },
      null,
      [],
    ]
  ) {
    assertMatch(await say(hello), /^{"error":"it does not know the key"}\n$/);
  }
  for (const core of [undefined, "", "0".repeat(64)]) {
    assertMatch(await say({ key, core }), /another version of the library/);
  }
  for (const keepalive of [5, [], { interval: -1, count: 3 }, "never"]) {
    const answer = await say({ key, core, keepalive });
    assertMatch(answer, /^{"error":"Cannot join: keepaliveInterval is /);
  }
  assertMatch(await talk(folder.socket, "GET / HTTP/1.1\r\n\r\n"), /error/);
  // What is too long is not even read to its end.
  await talk(folder.socket, new Uint8Array(1 << 20).fill(32));
  // What is not a frame ends the link, as that of any other neighbour.
  const hello = JSON.stringify({ key, core }) + "\n";
  assertMatch(
    await talk(folder.socket, hello, "x".repeat(100)),
    /^{"config":{"id":\d+,"path":"master\/unix.\d+"/,
  );
  assert(log.every((r) => !r.message.includes(key)));
  assert(log.some((r) => /wrong signature/.test(r.message)));
  // Who says nothing has its turn, and then others have theirs.
  const crowd = Array.from({ length: 40 }, () => talk(folder.socket));
  await refused(
    connectUnix(folder.socket, { connectTimeout: 200 }),
    "timeout",
    /not in after 200 ms/,
  );
  const joined = await connectUnix(folder.socket, quiet);
  assertMatch(await crowd[0]!, /did not say who it is/);
  await joined.shutdown();
  const later = Array.from({ length: 40 }, () => talk(folder.socket));
  await router.shutdown();
  assertMatch(await silent, /did not say who it is/);
  assertMatch(await half, /did not say who it is/);
  for (const said of await Promise.all(later)) {
    assertMatch(said, /^({"error":"the listener was closed"}\n)?$/);
  }
  await Promise.all(crowd);
});

Deno.test("many programs may join at once", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  await using router = new Router(quiet);
  await router.local();
  await router.listen(folder.socket);
  // More than the kernel lets wait for a socket by itself.
  const joined = await Promise.all(
    Array.from({ length: 600 }, () => connectUnix(folder.socket, quiet)),
  );
  assertEquals(new Set(joined.map(({ path }) => path)).size, 600);
  for (const one of joined) assertEquals(one.contexts().length, 1);
  await Promise.all(joined.map((one) => one.shutdown()));
});
