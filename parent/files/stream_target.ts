import { copyError, systemError } from "./copy_error.ts";
import type { Target } from "./records.ts";

/** Gives what is in a file to a stream. */
export class StreamTarget implements Target {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #path: string;
  readonly #context: string;

  /** @param path of the file that is copied, for errors */
  constructor(
    stream: WritableStream<Uint8Array>,
    path: string,
    context: string,
  ) {
    this.#writer = stream.getWriter();
    // Whoever writes is told.
    this.#writer.closed.catch(() => {});
    this.#path = path;
    this.#context = context;
  }

  whole(_: unknown, bytes: Uint8Array): Promise<void> | undefined {
    return bytes.length > 0 ? this.write(bytes) : undefined;
  }

  open(): undefined {}

  /** A stream may keep what it is given: it gets bytes of its own. */
  write(bytes: Uint8Array): Promise<void> {
    return this.#writer.write(bytes.slice());
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  enter(): never {
    throw copyError(
      "read",
      this.#path,
      this.#context,
      systemError("EISDIR"),
    );
  }

  leave(): undefined {}

  link(): void {}

  async end(): Promise<void> {
    await this.#writer.close();
  }

  /** The stream gets no end but an error. */
  abort(reason: unknown): void {
    void this.#writer.abort(reason).catch(() => {});
  }
}
