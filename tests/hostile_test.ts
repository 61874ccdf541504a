/**
 * A child is assumed to be hostile: whatever it sends costs it its own
 * connection at most, and nobody else anything.
 */
import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import {
  CodecError,
  encode,
  Handle,
  IS_DEAD,
  type LogRecord,
  Magic,
  Message,
  writeHeader,
} from "../core/mod.ts";
import { type Context, Router } from "../mod.ts";
import { ATTACKS as ATTACKS_OF_A_PROCESS } from "./fixtures/attacker.ts";
import type { Cost } from "./fixtures/besieged.ts";
import { bomb } from "./fixtures/bomb.ts";
import { noLeaks } from "./fixtures/leaks.ts";
import { openPair } from "./fixtures/pair.ts";
import { lines } from "./fixtures/programs.ts";
import { openWire, type Wire } from "./fixtures/wire.ts";

const MIB = 1024 * 1024;

interface Attack {
  name: string;
  /** Part of what the log says; nothing when there is nothing to be said. */
  says?: string;
  /** Whether the attacker is cut off. */
  fatal?: boolean;
  run(wire: Wire, victim: Context): void | Promise<void>;
}

function slowly(): Promise<string> {
  return new Promise((resolve) => setTimeout(resolve, 20, "true"));
}

function own(
  wire: Wire,
  handle: number,
  data: Uint8Array,
  replyTo = 0,
): Message {
  return new Message({
    magic: Magic.VALUE,
    srcId: wire.id,
    authId: wire.id,
    handle,
    replyTo,
    data,
  });
}

/** Answers a call with a bomb: who called is told, and nothing else happens. */
async function explode(wire: Wire, data: Uint8Array): Promise<void> {
  const call = wire.context.call(slowly);
  const asked = wire.next((m) => m.handle === Handle.CALL_FUNCTION);
  const { replyTo } = await asked;
  wire.send(own(wire, replyTo, data));
  await assertRejects(() => call, CodecError, "too many values");
}

const ATTACKS: Attack[] = [
  {
    name: "forged authority",
    says: "bad auth",
    run(wire) {
      for (let i = 0; i < 1000; i++) {
        wire.value([0, "", "() => Deno.exit()", []], {
          authId: 0,
          handle: Handle.CALL_FUNCTION,
        });
      }
    },
  },
  {
    name: "a forged source",
    says: "bad src",
    run: (wire, victim) => wire.value("x", { srcId: victim.id, handle: 1000 }),
  },
  {
    name: "a wrong signature",
    says: "wrong signature 0x6865",
    fatal: true,
    run: (wire) => wire.raw(new TextEncoder().encode("hello\n".repeat(10))),
  },
  {
    name: "a length of 2^32-1",
    says: "4294967295",
    fatal: true,
    run(wire) {
      const frame = new Uint8Array(26);
      writeHeader(frame, {
        magic: Magic.VALUE,
        dstId: 0,
        srcId: wire.id,
        authId: wire.id,
        handle: 101,
        replyTo: 0,
      });
      frame.fill(0xff, 22);
      wire.raw(frame);
    },
  },
  {
    name: "a reply to somebody else's handle",
    says: "reply from unexpected context",
    async run(wire, victim) {
      await victim.call(slowly);
      const call = victim.call(slowly);
      for (let handle = 1000; handle < 1400; handle++) {
        wire.value("forged", { handle });
      }
      assertEquals(await call, "true");
    },
  },
  {
    name: "the death of somebody else's call",
    says: "reply from unexpected context",
    async run(wire, victim) {
      await victim.call(slowly);
      const call = victim.call(slowly);
      for (let handle = 1000; handle < 1400; handle++) {
        wire.value("", { handle, replyTo: IS_DEAD, magic: Magic.TEXT });
      }
      assertEquals(await call, "true");
    },
  },
  {
    name: "a route to an id that is not its own",
    says: "it was not given that id",
    run(wire, victim) {
      for (const id of [0, wire.id, victim.id, 12345, 2 ** 31, -1, NaN]) {
        wire.value([id, `${wire.context.path}/x`], {
          handle: Handle.ADD_ROUTE,
        });
      }
    },
  },
  {
    name: "a route with a path elsewhere",
    says: "its path is not below",
    run(wire) {
      const [id] = wire.ids;
      for (
        const path of [
          "master",
          "master/pair.1/x",
          "",
          7,
          `${wire.context.path}/\x1b[2J`,
        ]
      ) {
        wire.value([id, path], { handle: Handle.ADD_ROUTE });
      }
    },
  },
  {
    name: "the end of somebody else's route",
    says: "refused to delete a route",
    run(wire, victim) {
      const reason = { kind: "exit", message: "so they say" };
      wire.value([victim.id, reason], { handle: Handle.DEL_ROUTE });
    },
  },
  {
    name: "a flood of routes",
    says: "it was not given that id",
    run(wire) {
      for (let i = 0; i < 100_000; i++) {
        wire.value([i, `${wire.context.path}/x`], { handle: Handle.ADD_ROUTE });
      }
    },
  },
  {
    name: "a flood of ids",
    run(wire) {
      for (let i = 0; i < 20_000; i++) {
        wire.value(null, { handle: Handle.ALLOCATE_ID, replyTo: 77 });
      }
    },
  },
  {
    name: "a flood of logs",
    says: "dropped",
    run(wire) {
      for (let i = 0; i < 250_000; i++) {
        wire.value([wire.id, 1, "noise", "x".repeat(20)], {
          handle: Handle.FORWARD_LOG,
        });
      }
    },
  },
  {
    name: "logs in the name of others, and malformed ones",
    says: "malformed log record",
    run(wire, victim) {
      wire.value([victim.id, 1, "x", "forged"], { handle: Handle.FORWARD_LOG });
      for (const record of [null, 7, [], [wire.id, 99, "x", "y"], { a: 1 }]) {
        wire.value(record, { handle: Handle.FORWARD_LOG });
      }
    },
  },
  {
    name: "a flood of module requests",
    run(wire) {
      for (let i = 0; i < 20_000; i++) {
        wire.value(`file:///etc/passwd?${i}`, {
          handle: Handle.GET_MODULE,
          replyTo: 78,
        });
      }
      for (const odd of [null, 7, ["file:///etc/passwd"], { toString: 1 }]) {
        wire.value(odd, { handle: Handle.GET_MODULE, replyTo: 78 });
      }
    },
  },
  {
    name: "ten thousand nested arrays",
    says: "nested too deep",
    run(wire) {
      const nested = new Uint8Array(20_001).fill(0x81);
      for (let i = 0; i < 20_000; i += 2) nested.set([0x0f, 0x01], i);
      wire.send(own(wire, Handle.ADD_ROUTE, nested));
    },
  },
  {
    name: "__proto__ as a key",
    says: "could change what objects are",
    run(wire) {
      const hex = "1101" + "49" + "5f5f70726f746f5f5f" + "1101" + "47" +
        "70776e65643178" + "02";
      wire.send(own(wire, Handle.FORWARD_LOG, Uint8Array.fromHex(hex)));
      assertEquals(({} as Record<string, unknown>).pwned, undefined);
    },
  },
  {
    name: "a codec bomb of empty objects",
    run: (wire) => explode(wire, bomb("1100", 3_900_000)),
  },
  {
    name: "a codec bomb of maps",
    run: (wire) => explode(wire, bomb("1300", 3_900_000)),
  },
  {
    name: "a codec bomb of errors",
    run: (wire) => explode(wire, bomb("17404040400000", 1_000_000)),
  },
  {
    name: "a count that is not true",
    says: "ends too early",
    run: (wire) =>
      wire.send(
        own(wire, Handle.FORWARD_LOG, Uint8Array.fromHex("0fffffffff0f")),
      ),
  },
  {
    name: "contexts without number",
    async run(wire) {
      for (let i = 0; i < 100; i++) {
        const many = Array.from(
          { length: 1000 },
          (_, n) => i * 1000 + n + 5000,
        );
        const packed = encode(many, {
          extensions: {
            pack: () => undefined,
            unpack: () => undefined,
          },
        });
        wire.send(own(wire, Handle.GET_MODULE, packed, 79));
        await Promise.resolve();
      }
    },
  },
  {
    name: "garbage by the megabyte",
    says: "wrong signature",
    fatal: true,
    run(wire) {
      for (let i = 0; i < 64; i++) wire.raw(new Uint8Array(MIB));
    },
  },
];

/** Resolves when the master has handled all that was sent, or cut it off. */
async function handled(wire: Wire): Promise<void> {
  const replyTo = 4999;
  wire.value(null, { handle: 99, replyTo });
  await Promise.race([
    wire.next((m) => m.handle === replyTo && m.isDead),
    wire.context.closed,
  ]);
}

for (const { name, says, fatal, run } of ATTACKS) {
  Deno.test(`hostile child: ${name}`, async () => {
    const log: LogRecord[] = [];
    let fromNoise = 0;
    const router = new Router({
      onLog(record) {
        if (record.logger === "mitogen") log.push(record);
        else fromNoise++;
      },
    });
    const { context: victim } = await openPair(router);
    const wire = await openWire(router);
    const watch = async () => {
      while (!stop) {
        assertEquals(await victim.call((n: number) => n + 1, 1), 2);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    let stop = false;
    const watching = watch();
    await run(wire, victim);
    await handled(wire);
    if (name === "a flood of logs") {
      // The quota is of a second: what was dropped is said in the next.
      await new Promise((resolve) => setTimeout(resolve, 1100));
      wire.value([wire.id, 1, "noise", "after"], {
        handle: Handle.FORWARD_LOG,
      });
      await handled(wire);
      assertLess(fromNoise, 250_000);
    }
    stop = true;
    await watching;
    assertEquals(wire.link.closed?.kind, fatal ? "protocol" : undefined);
    if (says) {
      assert(
        log.some((r) => r.message.includes(says)),
        `no record says "${says}": ${log.map((r) => r.message).join("; ")}`,
      );
    }
    assertLess(
      log.length,
      20,
      log.slice(0, 25).map((r) => r.message).join("\n"),
    );
    assertEquals(await victim.call(() => "alive"), "alive");
    assertEquals(router.contexts().includes(victim), true);
    await router.shutdown();
  });
}

Deno.test("a hostile process costs the master little memory, and nobody else a call", async (t) => {
  await using _ = await noLeaks();
  const master = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--v8-flags=--expose-gc",
      new URL("fixtures/besieged.ts", import.meta.url).pathname,
      ...ATTACKS_OF_A_PROCESS,
    ],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  let attacks = 0;
  for await (const line of lines(master.stdout)) {
    const cost = JSON.parse(line) as Cost;
    attacks++;
    await t.step(cost.name, () => {
      assertLess(cost.grown, 64 * MIB, line);
      assert(cost.calls > 0, "calls of others are answered meanwhile");
      assertLess(cost.log.length, 20, line);
    });
  }
  assertEquals((await master.status).code, 0);
  assertEquals(attacks, ATTACKS_OF_A_PROCESS.length);
});
