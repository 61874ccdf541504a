/** Bytes that wait at most for the one who reads a branch. */
const WAITING = 1024 * 1024;

/**
 * Branches of a stream that each give all of it, no faster than the slowest of
 * them is read. One that is cancelled is left out from then on.
 *
 * @param copy whether the stream reuses the memory of its chunks
 */
export function split(
  stream: ReadableStream<Uint8Array>,
  count: number,
  copy: boolean,
): ReadableStream<Uint8Array>[] {
  if (count === 1) return [stream];
  const reader = stream.getReader();
  const live = new Set<ReadableStreamDefaultController<Uint8Array>>();
  let reading = false;
  const ready = () => [...live].every(({ desiredSize }) => desiredSize! > 0);

  async function pump(): Promise<void> {
    if (reading) return;
    reading = true;
    try {
      while (live.size > 0 && ready()) {
        const { done, value } = await reader.read();
        if (done) {
          for (const branch of live) branch.close();
          return live.clear();
        }
        const chunk = copy ? value.slice() : value;
        for (const branch of live) branch.enqueue(chunk);
      }
    } catch (error) {
      for (const branch of live) branch.error(error);
      live.clear();
    } finally {
      reading = false;
    }
  }

  return Array.from({ length: count }, () => {
    let own: ReadableStreamDefaultController<Uint8Array>;
    return new ReadableStream<Uint8Array>({
      start(controller) {
        live.add(own = controller);
      },
      pull: () => void pump(),
      cancel(reason) {
        live.delete(own);
        if (live.size === 0) void reader.cancel(reason).catch(() => {});
        else void pump();
      },
    }, { highWaterMark: WAITING, size: (chunk) => chunk.length });
  });
}
