/** What a parent does for a first stage without Deno, line by line. */
import {
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import type { Progress } from "../mod.ts";
import type { BootPipe } from "../parent/bootstrap.ts";
import { PIECE, pieceOf } from "../parent/mod.ts";
import {
  RuntimeError,
  RuntimeSupply,
  type SupplyOptions,
} from "../parent/runtime_supply.ts";

const ALL = new Uint8Array(PIECE * 3 + 5).map((_, i) => i >> 12);
const INFO = { version: "2.9.6", size: 1234, sha256: "ab".repeat(32) };

/** A supply whose pipe keeps what is written. */
function supply(options: Partial<SupplyOptions> = {}) {
  const written: Uint8Array[] = [];
  const steps: Omit<Progress, "path">[] = [];
  const seen = { alive: 0, asked: [] as number[] };
  const pipe: BootPipe = {
    read: () => Promise.resolve(null),
    write: (chunk) => Promise.resolve(void written.push(chunk)),
    unread() {},
  };
  const supply = new RuntimeSupply({
    source: {
      info: () => Promise.resolve(INFO),
      piece(_, offset) {
        seen.asked.push(offset);
        return Promise.resolve(pieceOf(ALL, offset));
      },
    },
    deno: undefined,
    alive: () => void seen.alive++,
    ended: () => false,
    onProgress: (step) => steps.push(step),
    ...options,
  });
  return {
    answer: (code: string, text = "") => supply.answer(code, text, pipe),
    written,
    steps,
    seen,
  };
}

Deno.test("a runtime goes out in order, and each piece is a sign of life", async () => {
  const { answer, written, steps, seen } = supply();
  await answer("04", "Linux x86_64");
  const script = new TextDecoder().decode(written[0]);
  assertMatch(script, /^[^\n]+\n$/);
  assertEquals(seen.alive, 0);
  await answer("08", "gzip");
  assertEquals(new TextDecoder().decode(written[1]), `${ALL.length}\n`);
  const sent = new Uint8Array(
    await new Blob(written.slice(2) as BlobPart[]).arrayBuffer(),
  );
  assertEquals(sent, ALL);
  assertEquals(seen.asked, [0, PIECE, PIECE * 2, PIECE * 3]);
  assertEquals(seen.alive, 5);
  assertEquals(steps.map(({ done }) => done), [
    0,
    PIECE,
    PIECE * 2,
    PIECE * 3,
    ALL.length,
  ]);
});

Deno.test("nothing more is asked for when nobody reads any more", async () => {
  const { answer, seen } = supply({ ended: () => true });
  await answer("04", "Linux x86_64");
  await answer("08", "gzip");
  assertEquals(seen.asked.includes(PIECE * 3), false);
});

Deno.test("a child cannot keep its parent busy for ever", async () => {
  const early = supply();
  await assertRejects(() => early.answer("08", "gzip"), RuntimeError);
  const greedy = supply({ ended: () => true });
  await greedy.answer("04", "Linux x86_64");
  const often = async (code: string) => {
    for (let i = 0; i < 1000; i++) await greedy.answer(code, "gzip");
  };
  await assertRejects(() => often("08"), RuntimeError, "cannot want");
  const slow = supply();
  await slow.answer("04", "Linux x86_64");
  let waits = 0;
  await assertRejects(async () => {
    for (; waits < 10_000; waits++) await slow.answer("09");
  }, RuntimeError);
  assertEquals(waits, slow.seen.alive);
  assertEquals(slow.steps.length, 1);
});

Deno.test("what a child says is fit to be shown", async () => {
  const { answer } = supply();
  for (const code of ["02", "03", "04"]) {
    const error = await assertRejects(
      () => answer(code, `\x1b[2J${"x".repeat(100_000)}\x07`),
      RuntimeError,
    );
    assertStringIncludes(error.message, "xxx");
    assertEquals(
      [..."\x07\x1b"].some((c) => error.message.includes(c)),
      false,
    );
    assertEquals(error.message.length < 2000, true);
  }
});

Deno.test("whoever has no runtime to send says what to do", async () => {
  const never = supply({ deno: { ship: "never" } });
  const none = supply({ source: undefined });
  for (const { answer } of [never, none]) {
    await assertRejects(
      () => answer("04", "Linux x86_64"),
      RuntimeError,
      "install Deno there",
    );
  }
});
