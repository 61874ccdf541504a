/** How far the window of a flow grows. */
import { assertEquals } from "@std/assert";
import { AMPLE_WINDOW, MAX_WINDOW, WINDOW } from "../../core/flow.ts";
import { Pace } from "../../core/pace.ts";

/**
 * The window after so many bytes.
 *
 * @param pace bytes a millisecond, with a window of that size
 */
function windowAfter(
  total: number,
  pace: (window: number) => number,
): number {
  let time = 0;
  let window = WINDOW;
  const flow = new Pace(() => time);
  for (let left = total; left > 0; left -= window / 2) {
    time += window / 2 / pace(window);
    if (flow.wantsMore(window, window / 2) && window < MAX_WINDOW) window *= 2;
  }
  return window;
}

const MIB = 1024 * 1024;

Deno.test("on a narrow way the window grows no further than ample", () => {
  assertEquals(windowAfter(100 * MIB, () => 10_000), AMPLE_WINDOW);
  // Faster with more, but not by much: that is what waits in buffers.
  const slightly = (window: number) => 10_000 * (1 + window / (16 * MIB));
  assertEquals(windowAfter(100 * MIB, slightly), AMPLE_WINDOW);
});

Deno.test("on a long way it grows as long as that makes it faster", () => {
  const roundTrip = 50;
  const long = (window: number) => window / roundTrip;
  assertEquals(windowAfter(100 * MIB, long), MAX_WINDOW);
  const both = (window: number) => Math.min(window / roundTrip, 50_000);
  assertEquals(windowAfter(100 * MIB, both), 4 * MIB);
});

Deno.test("it begins to grow at once, and is measured within some windows", () => {
  const long = (window: number) => window / 50;
  assertEquals(windowAfter(WINDOW * 2, long) > WINDOW * 2, true);
  assertEquals(windowAfter(8 * AMPLE_WINDOW, long) > AMPLE_WINDOW, true);
});
