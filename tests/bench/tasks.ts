/** What the benchmark calls in a context. */

export function noop(): void {}

export function echo(bytes: Uint8Array): Uint8Array {
  return bytes;
}

/** Resident memory of the process, in MiB. */
export function resident(): number {
  return Deno.memoryUsage().rss / 1024 / 1024;
}
