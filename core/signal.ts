import type { Message } from "./message.ts";
import { End, type Ends } from "./ends.ts";
import { Magic } from "./frame.ts";

/** The owner's end of a signal. */
export class SignalOwner extends End {
  override readonly ofCall = true;
  readonly #signal: AbortSignal;
  readonly #abort = () => {
    this.refuse(this.#signal.reason);
    this.#end();
  };

  constructor(ends: Ends, otherId: number, signal: AbortSignal) {
    super(ends, otherId);
    this.#signal = signal;
  }

  protected override start(): void {
    if (this.over) return;
    if (this.#signal.aborted) this.#abort();
    else this.#signal.addEventListener("abort", this.#abort);
  }

  #end(): void {
    this.#signal.removeEventListener("abort", this.#abort);
    this.finish();
  }

  override receive({ magic }: Message): void {
    // Credit is a greeting.
    if (magic !== Magic.BYTES) this.#end();
  }

  override lost(): void {
    this.#end();
  }

  override release(): void {
    this.post({ magic: Magic.TEXT });
    this.#end();
  }
}

/** A signal that fires when its owner's does, or its owner is gone. */
export class SignalPeer extends End {
  override readonly ofCall = true;
  readonly #controller = new AbortController();

  constructor(ends: Ends, otherId: number, handle: number) {
    super(ends, otherId, handle);
    if (ends.greets) this.grant(0);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  override receive(message: Message): void {
    this.finish();
    // Anything but a reason says that it will never fire.
    if (message.magic !== Magic.ERROR) return;
    try {
      message.decode();
    } catch (reason) {
      this.#controller.abort(reason);
    }
  }

  override lost(error: unknown): void {
    this.finish();
    this.#controller.abort(error);
  }

  override release(): void {
    this.post({ magic: Magic.TEXT });
    this.finish();
  }
}
