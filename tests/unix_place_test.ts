/** Where a listener may be, and what it must not take away there. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import {
  ChannelError,
  ConnectError,
  connectUnix,
  type Listener,
  Router,
} from "../mod.ts";
import { newKey } from "../parent/mod.ts";
import { noLeaks } from "./fixtures/leaks.ts";
import { HERE, names, place, quiet, refused } from "./fixtures/joiners.ts";
import { lines } from "./fixtures/programs.ts";

Deno.test("a key file of somebody else's is neither replaced nor removed", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  await using router = new Router(quiet);
  const path = join(folder.path, "server");
  const key = `${path}.key`;
  const refuse = () =>
    assertRejects(
      () => router.listen(path),
      TypeError,
      "no listener has written",
    );
  const hex = "0123456789abcdef".repeat(4);
  for (
    const text of [
      "TLS PRIVATE KEY",
      "",
      hex,
      newKey() + "\n",
      newKey().slice(0, -1) + " ",
      "x".repeat(newKey().length),
    ]
  ) {
    await Deno.writeTextFile(key, text, { mode: 0o600 });
    await refuse();
    assertEquals(await Deno.readTextFile(key), text);
    await Deno.remove(key);
  }
  // One that others may read is not ours either.
  const others = newKey();
  await Deno.writeTextFile(key, others, { mode: 0o644 });
  await Deno.chmod(key, 0o644);
  await refuse();
  assertEquals(await Deno.readTextFile(key), others);
  await Deno.remove(key);
  await Deno.mkdir(key);
  await refuse();
  await Deno.remove(key);
  await Deno.writeTextFile(join(folder.path, "else"), newKey(), {
    mode: 0o600,
  });
  await Deno.symlink("else", key);
  await refuse();
  assertEquals(names(folder.path), ["else", "server.key"]);
  await Deno.remove(key);

  // What took the place of ours stays when we leave.
  const listener = await router.listen(path);
  await Deno.remove(path);
  await Deno.remove(key);
  await Deno.writeTextFile(path, "theirs");
  await Deno.writeTextFile(key, "theirs");
  await listener.close();
  assertEquals(names(folder.path), ["else", "server", "server.key"]);
});

Deno.test("nobody is sent a key that is none", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  using listener = Deno.listen({ transport: "unix", path: folder.socket });
  await Deno.chmod(folder.socket, 0o600);
  await Deno.writeTextFile(`${folder.socket}.key`, "TLS PRIVATE KEY", {
    mode: 0o600,
  });
  await refused(
    connectUnix(folder.socket),
    "auth",
    /is not the key of a listener/,
  );
  listener.close();
});

Deno.test("a socket is only replaced where a listener was killed", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  await using router = new Router(quiet);
  const key = `${folder.socket}.key`;
  const left = async () => {
    // It stays when its program ends.
    const { success } = await new Deno.Command("perl", {
      args: [
        "-MSocket",
        "-e",
        "socket(S, AF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un($ARGV[0]))",
        folder.socket,
      ],
    }).output();
    assert(success);
  };
  await left();
  await assertRejects(
    () => router.listen(folder.socket),
    TypeError,
    "a socket that no listener has left behind",
  );
  assertEquals(names(folder.path), ["tree"]);
  await Deno.writeTextFile(key, newKey(), { mode: 0o600 });
  {
    await using _listener = await router.listen(folder.socket);
    await using joined = await connectUnix(folder.socket, quiet);
    assertEquals(joined.contexts(), []);
  }
  assertEquals(names(folder.path), []);
  // One that was killed before its socket was there.
  await Deno.writeTextFile(key, newKey(), { mode: 0o600 });
  await (await router.listen(folder.socket)).close();
  // Somebody else's, who listens, beside a key that was left behind.
  await Deno.writeTextFile(key, newKey(), { mode: 0o600 });
  const other = Deno.listen({ transport: "unix", path: folder.socket });
  await assertRejects(
    () => router.listen(folder.socket),
    TypeError,
    "another program listens there",
  );
  assert(Deno.lstatSync(folder.socket).isSocket);
  other.close();
});

Deno.test("of those who want to listen at one place at the same time, one does", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  await using router = new Router(quiet);
  for (let round = 0; round < 5; round++) {
    const results = await Promise.allSettled(
      Array.from({ length: 4 }, () => router.listen(folder.socket)),
    );
    const listening: Listener[] = [];
    for (const result of results) {
      if (result.status === "fulfilled") listening.push(result.value);
      else {
        assert(result.reason instanceof TypeError);
        assert(result.reason.message.includes("another program listens there"));
      }
    }
    assertEquals(listening.length, 1);
    await (await connectUnix(folder.socket, quiet)).shutdown();
    await listening[0]!.close();
    assertEquals(names(folder.path), []);
  }
});

Deno.test("nor do two programs, beside what a third has left behind", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  await Deno.writeTextFile(`${folder.socket}.key`, newKey(), { mode: 0o600 });
  const programs = Array.from({ length: 4 }, () => {
    const process = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", join(HERE, "listening_once.ts"), folder.socket],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    return {
      process,
      input: process.stdin.getWriter(),
      output: lines(process.stdout),
    };
  });
  for (const { output } of programs) {
    assertEquals((await output.next()).value, "ready");
  }
  const go = (text: string) =>
    Promise.all(
      programs.map(({ input }) => input.write(new TextEncoder().encode(text))),
    );
  await go("\n");
  const said = await Promise.all(
    programs.map(async ({ output }) => (await output.next()).value as string),
  );
  const refusals = said.filter((line) => line !== "listens");
  assertEquals(refusals.length, 3, said.join());
  for (const line of refusals) {
    assert(/TypeError: .*another program listens there/.test(line), line);
  }
  await (await connectUnix(folder.socket, quiet)).shutdown();
  await go("\n");
  for (const { process, input, output } of programs) {
    await process.status;
    await input.close().catch(() => {});
    await output.return(undefined);
  }
  assertEquals(names(folder.path), []);
});

Deno.test("a router that is shut down neither listens nor serves", async () => {
  await using _ = await noLeaks();
  await using folder = await place();
  const router = new Router(quiet);
  const refuse = async (listening: Promise<Listener>) => {
    const error = await assertRejects(() => listening, ConnectError);
    assertEquals(error.kind, "cancelled");
    assert(error.message.includes("the router is shut down"), error.message);
    assertEquals(names(folder.path), []);
  };
  const racing = refuse(router.listen(folder.socket));
  await router.shutdown();
  await racing;
  await refuse(router.listen(folder.socket));
  await assertRejects(
    () => router.serve("late", { run: () => 1 }),
    ChannelError,
    'Cannot serve "late": the router is shut down',
  );
});

Deno.test("what is no path of a socket is refused, and named", async () => {
  await using folder = await place();
  await using router = new Router(quiet);
  const listen = router.listen.bind(router) as (
    path: unknown,
  ) => Promise<Listener>;
  for (
    const path of [
      "",
      "a\0b",
      undefined,
      5,
      new URL(`file://${folder.socket}`),
    ]
  ) {
    await assertRejects(() => listen(path), TypeError, "expected the path");
    await assertRejects(
      () => connectUnix(path as string),
      TypeError,
      "expected the path",
    );
  }
  await assertRejects(
    () => router.listen("/" + "é".repeat(60)),
    TypeError,
    "by 18 bytes",
  );
  assertEquals(names(folder.path), []);
});
