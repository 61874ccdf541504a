/**
 * Has the runtime look for garbage as often as the pieces of streams call for.
 *
 * They lie outside of its heap, and it goes by what it has to do inside: it
 * lets tens of megabytes of them gather that nobody holds any more. So much
 * memory takes longer to be touched for the first time than to be copied to,
 * while what was freed a moment ago is in the processor's cache.
 *
 * @module
 */

/** Pieces of more bytes than this count. */
const LARGE = 32 * 1024;

/**
 * Bytes of pieces after which garbage is looked for: several times as many as a
 * stream mostly has waiting, since a piece that survives this twice is old, and
 * stays until all of the heap is looked through.
 */
const PERIOD = 4 * 1024 * 1024;

/**
 * Elements of the garbage that stands for a piece inside of the heap, where the
 * runtime cannot be told to look for any.
 */
const BALLAST = 1024;

type Collector = (options: { type: "minor" }) => void;

const YOUNG = { type: "minor" } as const;

let collector: Collector | undefined;
let made = 0;

/** Kept until the next one, or it would not be made at all. */
export let ballast: unknown;

/**
 * Takes the collector from this global scope, if V8's flags have put it there:
 * programs take its being there for a sign that they are tested.
 */
export function takeCollector(): void {
  const scope = globalThis as { gc?: Collector | undefined };
  collector = scope.gc;
  // It cannot be deleted.
  if (collector) scope.gc = undefined;
}

/** A piece of so many bytes has come; who gets it drops it sooner or later. */
export function pieceCame(bytes: number): void {
  if (bytes <= LARGE) return;
  if (!collector) {
    ballast = new Array(BALLAST);
    return;
  }
  made += bytes;
  if (made < PERIOD) return;
  made = 0;
  collector(YOUNG);
}
