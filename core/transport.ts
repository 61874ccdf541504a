/**
 * The transports that a context finds itself with: descriptors that it was
 * started with, a Worker's port, or the other half of a pair in memory.
 *
 * @module
 */
import type { Socket } from "node:net";
import { toReason } from "./extensions.ts";
import type { Transport, TransportEvents } from "./link.ts";

const EOF = { kind: "eof", message: "the connection ended" } as const;

/** Has chunks delivered to a function, which may keep none of them. */
export type Lender = (take: (chunk: Uint8Array) => void) => void;

/** Speaks over two sockets made from inherited descriptors. */
export class SocketTransport implements Transport {
  readonly #input: Socket;
  readonly #output: Socket;
  readonly #rest: Uint8Array;
  readonly #lender: Lender | undefined;

  /**
   * @param rest bytes that were read already
   * @param lender where the input reads to a buffer of its own, by `onread`.
   * That takes half the time of the chunks that it makes by itself.
   */
  constructor(
    input: Socket,
    output: Socket,
    rest: Uint8Array,
    lender?: Lender,
  ) {
    this.#input = input;
    this.#output = output;
    this.#rest = rest;
    this.#lender = lender;
  }

  start(events: TransportEvents): void {
    const input = this.#input;
    const end = () => events.end(EOF);
    const take = (bytes: Uint8Array, lent: boolean) => {
      const full = events.data(bytes, lent);
      if (!full) return;
      input.pause();
      full.then(() => input.resume());
    };
    if (this.#lender) this.#lender((chunk) => take(chunk, true));
    else {
      // Node's buffers are Uint8Arrays whose slices are not copies.
      input.on(
        "data",
        ({ buffer, byteOffset, length }: Uint8Array) =>
          take(new Uint8Array(buffer, byteOffset, length), false),
      );
    }
    input.on("end", end);
    input.on("error", end);
    this.#output.on("error", end);
    if (this.#rest.length > 0) void events.data(this.#rest);
    input.resume();
  }

  write(chunk: Uint8Array): Promise<void> {
    return new Promise((resolve) => this.#output.write(chunk, () => resolve()));
  }

  close(): void {
    this.#input.destroy();
    this.#output.end();
  }
}

/** The part of a Worker, a MessagePort or a worker's scope that is used here. */
export interface Port {
  postMessage(message: unknown): void;
  addEventListener(
    type: "message",
    listener: (event: MessageEvent) => void,
  ): void;
  removeEventListener(
    type: "message",
    listener: (event: MessageEvent) => void,
  ): void;
}

/** Speaks over a Worker's port. What is not bytes is the end: `null`, or the reason. */
export class PortTransport implements Transport {
  readonly #port: Port;
  #listener: ((event: MessageEvent) => void) | undefined;
  #events: TransportEvents | undefined;

  constructor(port: Port) {
    this.#port = port;
  }

  start(events: TransportEvents): void {
    this.#events = events;
    this.#listener = ({ data }) => {
      // A port cannot be told to wait. What is behind it shares this memory.
      if (data instanceof Uint8Array) void events.data(data);
      else this.end(data === null ? EOF : toReason(data));
    };
    this.#port.addEventListener("message", this.#listener);
  }

  /** Ends it from outside: the other end is known to be gone. */
  end(reason: Parameters<TransportEvents["end"]>[0]): void {
    const events = this.#events;
    this.#events = undefined;
    if (this.#listener) {
      this.#port.removeEventListener("message", this.#listener);
    }
    events?.end(reason);
  }

  write(chunk: Uint8Array): Promise<void> {
    // Posting a view would take its whole buffer along.
    this.#port.postMessage(
      chunk.byteLength === chunk.buffer.byteLength ? chunk : chunk.slice(),
    );
    return Promise.resolve();
  }

  close(): void {
    if (!this.#events) return;
    this.#port.postMessage(null);
    this.end(EOF);
  }
}

/** Two transports in memory, each the other's end. */
export function memoryPair(): [Transport, Transport] {
  const { port1, port2 } = new MessageChannel();
  port1.start();
  port2.start();
  return [new MemoryTransport(port1), new MemoryTransport(port2)];
}

class MemoryTransport extends PortTransport {
  readonly #port: MessagePort;

  constructor(port: MessagePort) {
    super(port as Port);
    this.#port = port;
  }

  override end(reason: Parameters<TransportEvents["end"]>[0]): void {
    super.end(reason);
    this.#port.close();
  }
}
