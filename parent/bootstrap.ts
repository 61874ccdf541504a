import { concat } from "../core/mod.ts";
import { READY, READY_FOR_CORE } from "./first_stage.ts";
import type { Tail } from "./tail.ts";

/** Noise on the way to a marker that is kept in memory. */
const MAX_NOISE = 64 * 1024;

/** What a first stage without Deno says, line by line; see `runtime_script.ts`. */
const ASKS = /MITO4(\d\d)(?: ([^\n]*))?\n/;

/** What a child is asked for while it boots. */
export interface BootPipe {
  /** The next bytes; `null` at the end. */
  read(): Promise<Uint8Array | null>;
  write(chunk: Uint8Array): Promise<void>;
  /** Gives back bytes that belong to the frames. */
  unread(bytes: Uint8Array): void;
}

/** The child ended before it was ready. */
export class BootEofError extends Error {
  /** Whether the first stage had begun: its JavaScript ran. */
  readonly begun: boolean;

  constructor(begun: boolean) {
    super("the connection ended before the context was ready");
    this.begun = begun;
  }
}

/**
 * Waits for the child's markers and sends it what it needs in between.
 *
 * Login shells and their profiles print what they like before the first
 * marker: that goes to the tail. Markers are looked for anywhere, since noise
 * need not end with a line.
 *
 * @param eager whether nothing but our own program reads the pipe, so that
 *   there is no need to wait for the first marker
 * @param answer called when a first stage without Deno asks for something
 */
export async function bootstrap(
  pipe: BootPipe,
  preamble: Uint8Array,
  options: {
    eager: boolean;
    tail: Tail;
    answer: (code: string, text: string) => Promise<void>;
  },
): Promise<void> {
  const { eager, tail, answer } = options;
  let sent: Promise<void> | undefined;
  const send = () => sent ??= pipe.write(preamble);
  if (eager) void send();
  let bytes: Uint8Array = new Uint8Array(0);
  let begun = false;
  for (;;) {
    const text = latin1(bytes);
    const first = begun ? -1 : text.indexOf(READY_FOR_CORE);
    const asks = begun ? null : text.match(ASKS);
    if (asks && (first < 0 || asks.index! < first)) {
      note(tail, text.slice(0, asks.index));
      bytes = bytes.subarray(asks.index! + asks[0].length);
      await answer(asks[1]!, asks[2] ?? "");
      continue;
    }
    if (first >= 0) {
      begun = true;
      note(tail, text.slice(0, first));
      bytes = bytes.subarray(first + READY_FOR_CORE.length);
      void send();
      continue;
    }
    if (begun) {
      const ready = text.indexOf(READY);
      if (ready >= 0) {
        note(tail, text.slice(0, ready));
        pipe.unread(bytes.subarray(ready + READY.length));
        return;
      }
    }
    if (bytes.length > MAX_NOISE) {
      // Only its end can be the beginning of a marker.
      note(tail, text.slice(0, -READY.length));
      bytes = bytes.subarray(-READY.length);
    }
    const chunk = await pipe.read();
    if (!chunk) {
      note(tail, latin1(bytes));
      throw new BootEofError(begun);
    }
    bytes = concat([bytes, chunk], bytes.length + chunk.length);
  }
}

function latin1(bytes: Uint8Array): string {
  return new TextDecoder("latin1").decode(bytes);
}

function note(tail: Tail, text: string): void {
  for (const line of text.split("\n")) if (line.trim()) tail.push(line);
}
