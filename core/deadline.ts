/** The longest that a timer of the runtime can take: some 24.8 days. */
const LONGEST = 2 ** 31 - 1;

/**
 * Looks at a time to wait that somebody has asked for. `Infinity` is one.
 *
 * @param what begins the sentence: what cannot be done, and the option
 * @throws {TypeError} when it is no number
 * @throws {RangeError} when it is negative or `NaN`
 */
export function checkTime(what: string, milliseconds: unknown): void {
  if (typeof milliseconds !== "number") {
    throw new TypeError(
      `${what} is a number of milliseconds, not of type ${typeof milliseconds}`,
    );
  }
  if (!(milliseconds >= 0)) throw new RangeError(`${what} is ${milliseconds}`);
}

/**
 * Calls a function when some time is over, however long; after `Infinity`,
 * never. A timer of the runtime takes what is too long for it as no time.
 *
 * @returns what stops it
 */
export function after(milliseconds: number, fn: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const wait = (left: number) => {
    timer = left > LONGEST
      ? setTimeout(() => wait(left - LONGEST), LONGEST)
      : setTimeout(fn, left);
  };
  if (milliseconds !== Infinity) wait(milliseconds);
  return () => clearTimeout(timer);
}
