/**
 * What a process prints, for who reads it elsewhere.
 *
 * An output that nobody wants is a broken pipe to its process, as `head` makes
 * one. A process that is being ended must not get that: it would die of it in
 * the middle of what it does at its end, and a shell says something there even
 * when its program does not.
 *
 * @param ending whether the process is being ended
 * @param over resolves when it has ended; never rejects
 */
export function outputOf(
  output: ReadableStream<Uint8Array>,
  ending: () => boolean,
  over: Promise<unknown>,
): ReadableStream<Uint8Array> {
  const reader = output.getReader();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { value, done } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel(reason) {
      if (!ending()) return await reader.cancel(reason);
      // Others that it started may hold the pipe when it has ended.
      void over.then(() => reader.cancel(reason)).catch(() => {});
      void discard(reader).catch(() => {});
    },
  }, { highWaterMark: 0 });
}

async function discard(
  reader: ReadableStreamDefaultReader<Uint8Array>,
): Promise<void> {
  while (!(await reader.read()).done);
}
