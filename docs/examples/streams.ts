import { current, Router } from "@mitogen/mitogen";

/** The lines of a log as they come; nobody knows how many. */
export async function* tail(): AsyncGenerator<string> {
  try {
    for (let n = 1;; n++) yield `line ${n}`;
  } finally {
    console.error("nobody reads the log any more");
  }
}

/** Compresses what it is sent. */
export function gzip(input: ReadableStream<BufferSource>) {
  return input.pipeThrough(new CompressionStream("gzip"));
}

/** Works until it is told to stop, and says how far it is. */
export async function work(
  progress: (percent: number) => Promise<void>,
): Promise<void> {
  const { signal } = current();
  for (let done = 0;; done += 10) {
    await progress(done);
    signal.throwIfAborted();
  }
}

if (import.meta.main) {
  await using router = new Router({ onLog: (r) => console.log(r.message) });
  const context = await router.local();

  // A generator runs there; leaving the loop runs its `finally`, there.
  for await (const line of await context.call(tail)) {
    if (line === "line 3") break;
    console.log(line);
  }

  // Bytes there, and bytes back, at the pace of whoever is slowest.
  const large = ReadableStream.from(
    (function* () {
      for (let n = 0; n < 1000; n++) yield new Uint8Array(10_000);
    })(),
  );
  let size = 0;
  for await (const chunk of await context.call(gzip, large)) {
    size += chunk.length;
  }
  console.log(size < 100_000);

  // A callback is called here; a signal stops what runs there.
  const controller = new AbortController();
  const { signal } = controller;
  try {
    await context.with({ signal }).call(work, (percent) => {
      if (percent === 50) controller.abort(new Error("half is enough"));
      return Promise.resolve();
    });
  } catch (error) {
    console.log((error as Error).message);
  }
}
