import type { DenoOptions, Progress } from "../core/mod.ts";
import type { BootPipe } from "./bootstrap.ts";
import { PLATFORM_NAMES, platformOf } from "./platforms.ts";
import { type RuntimeInfo, runtimeScript } from "./runtime_script.ts";
import { PIECE, type RuntimePiece, type RuntimeSource } from "./runtimes.ts";
import { clean } from "./tail.ts";

/** There is no Deno on the other side, and none can be sent. */
export class RuntimeError extends Error {}

/** Times that a target may ask: once for each directory that it tries. */
const MAX_SENT = 8;

/** Times that a target may say that it waits, about a second apart. */
const MAX_WAITS = 600;

/** Pieces that are on their way here while one is written. */
const AHEAD = 2;

/** What the sending of a runtime depends on. */
export interface SupplyOptions {
  source: RuntimeSource | undefined;
  deno: DenoOptions | undefined;
  /** Called whenever there is progress: the connection is not to be given up. */
  alive: () => void;
  /** Whether nobody reads any more: what is left need not be sent. */
  ended: () => boolean;
  /** Told of each piece. */
  onProgress: (progress: Omit<Progress, "path">) => void;
}

/** Answers a first stage that found no Deno. One for each connection. */
export class RuntimeSupply {
  readonly #options: SupplyOptions;
  #platform = "";
  #info: RuntimeInfo | undefined;
  #sent = 0;
  #waits = 0;

  constructor(options: SupplyOptions) {
    this.#options = options;
  }

  /**
   * Does what the first stage asks for.
   *
   * @param code what stands in its line after `MITO4`
   * @param line what stands after that
   * @throws {RuntimeError} when it cannot be helped
   */
  async answer(code: string, line: string, pipe: BootPipe): Promise<void> {
    const text = clean(line);
    if (code === "02") {
      throw new RuntimeError(
        `${this.#none()}, and none can run there: ${text}`,
      );
    }
    if (code === "03") {
      throw new RuntimeError(
        `${this.#none()}, and nowhere to put one. Tried ${text}`,
      );
    }
    if (code === "04") return await this.#begin(text, pipe);
    if (!this.#info || this.#sent > MAX_SENT || this.#waits > MAX_WAITS) {
      throw new RuntimeError("its first stage asks for what it cannot want");
    }
    if (code === "08") {
      this.#sent++;
      return await this.#send(this.#info, text, pipe);
    }
    if (this.#waits++ === 0) {
      this.#options.onProgress({
        step: "runtime",
        message: "another connection is sending Deno there",
      });
    }
    this.#options.alive();
  }

  #none(): string {
    return `there is no usable Deno on that machine (${this.#platform || "?"})`;
  }

  async #begin(name: string, pipe: BootPipe): Promise<void> {
    const { deno, source } = this.#options;
    this.#platform = name;
    const none = this.#none();
    if (deno?.ship === "never" || !source) {
      throw new RuntimeError(`${none}; install Deno there, 2.9 or newer`);
    }
    const platform = platformOf(name);
    if (!platform) {
      throw new RuntimeError(
        `${none}, and there is no Deno for it, only for ${PLATFORM_NAMES}`,
      );
    }
    try {
      this.#info = await source.info(name, deno?.version ?? "");
    } catch (error) {
      throw new RuntimeError(`${none}, and ${(error as Error).message}`, {
        cause: error,
      });
    }
    const script = runtimeScript(platform, this.#info, deno?.cacheDir);
    await pipe.write(new TextEncoder().encode(script));
  }

  async #send(
    info: RuntimeInfo,
    format: string,
    pipe: BootPipe,
  ): Promise<void> {
    const { onProgress, alive, ended } = this.#options;
    const message = `sending Deno ${info.version}`;
    try {
      const pieces = this.#pieces(info, (done, total) => {
        alive();
        onProgress({ step: "runtime", message, done, total });
      });
      const first = await pieces.next();
      const total = format === "gzip" ? first.value!.total : info.size;
      await pipe.write(new TextEncoder().encode(`${total}\n`));
      let stream = ReadableStream.from(joined(first.value!, pieces));
      if (format !== "gzip") {
        stream = stream.pipeThrough(new DecompressionStream("gzip"));
      }
      for await (const bytes of stream) {
        if (ended()) return;
        await pipe.write(bytes);
      }
    } catch (error) {
      throw new RuntimeError(
        `Deno could not be sent: ${(error as Error).message}`,
        { cause: error },
      );
    }
  }

  /** The pieces in their order, some of them asked for ahead. */
  async *#pieces(
    info: RuntimeInfo,
    taken: (done: number, total: number) => void,
  ): AsyncGenerator<RuntimePiece> {
    const ask = (offset: number) => {
      const piece = this.#options.source!.piece(info.sha256, offset);
      piece.catch(() => {});
      return piece;
    };
    const first = await ask(0);
    const { total } = first;
    const waiting: Promise<RuntimePiece>[] = [Promise.resolve(first)];
    let next = PIECE;
    let done = 0;
    for (;;) {
      while (next < total && waiting.length <= AHEAD) {
        waiting.push(ask(next));
        next += PIECE;
      }
      const piece = await waiting.shift();
      if (!piece) return;
      taken(done, total);
      yield piece;
      done += piece.bytes.length;
      if (done >= total) taken(total, total);
    }
  }
}

async function* joined(
  first: RuntimePiece,
  rest: AsyncIterable<RuntimePiece>,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  yield first.bytes as Uint8Array<ArrayBuffer>;
  for await (const { bytes } of rest) yield bytes as Uint8Array<ArrayBuffer>;
}
