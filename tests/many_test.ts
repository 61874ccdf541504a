/** Many contexts: what one costs does not depend on how many there are. */
import { assertEquals, assertLess } from "@std/assert";
import { measureMany, showMany } from "./bench/many.ts";
import { noLeaks } from "./fixtures/leaks.ts";

Deno.test("of many contexts no descriptor and no process is left, and the last cost what the first did", async () => {
  await using _ = await noLeaks();
  const many = await measureMany(40);
  const { descriptors, processes, child, master } = many;
  assertEquals(processes, [processes[0], processes[0] + 40, processes[0]]);
  assertEquals(descriptors[2], descriptors[0], showMany(many));
  // Three pipes each, and what the runtime needs to wait for them.
  assertLess(descriptors[1] - descriptors[0], 40 * 6);
  assertLess(child[1], child[0] * 1.5);
  // Far above what it is (200), far below what a leak of modules would make.
  assertLess(Math.max(...master), 4096);
});
