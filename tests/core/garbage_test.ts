import { assertEquals, assertLess } from "@std/assert";
import { pieceCame, takeCollector } from "../../core/garbage.ts";
import { Router } from "../../mod.ts";
import { bulk, drain, kept } from "../fixtures/bulk.ts";
import { noLeaks } from "../fixtures/leaks.ts";

const MIB = 1024 * 1024;

/** Puts a collector where V8's flag would, for this module to take. */
function install(gc: ((options: unknown) => void) | undefined): void {
  (globalThis as { gc?: unknown }).gc = gc;
  takeCollector();
}

Deno.test("young garbage is looked for each few megabytes of pieces, and small ones do not count", () => {
  const asked: unknown[] = [];
  install((options) => asked.push(options));
  try {
    assertEquals((globalThis as { gc?: unknown }).gc, undefined);
    for (let i = 0; i < 1000; i++) pieceCame(32 * 1024);
    assertEquals(asked, []);
    for (let i = 0; i < 256; i++) pieceCame(64 * 1024);
    assertEquals(asked, Array(4).fill({ type: "minor" }));
  } finally {
    install(undefined);
    delete (globalThis as { gc?: unknown }).gc;
  }
});

Deno.test("the reader of a stream keeps little of it, and finds no collector", async () => {
  await using _ = await noLeaks();
  await using router = new Router({ onLog() {} });
  const context = await router.local();
  const worker = await router.worker({ via: context });
  for (const where of [context, worker]) {
    await where.call(drain, bulk(16 * MIB));
    const [mib, gc] = await where.call(kept, bulk(256 * MIB));
    // It was there, and is not.
    assertEquals(gc, [true, "undefined"]);
    assertLess(mib, 32);
  }
});
