import type { ClientFolder } from "./client_folder.ts";
import {
  close,
  Control,
  Frame,
  type Hello,
  ID_LENGTH,
  parseHello,
  PREFIX_LENGTH,
  TOKEN_LENGTH,
} from "./wire.ts";

/** Milliseconds that a connection gets to say what it is. */
const GREETING_TIMEOUT = 10_000;

/** Somebody has called the client as ssh. */
export interface Invocation extends Hello {
  /** Frames to and from the client. */
  control: Control;
  /** stdin and stdout, with what was read of stdin already. */
  data: Promise<{ conn: Deno.Conn; rest: Uint8Array }>;
}

interface Data {
  conn: Deno.Conn;
  rest: Uint8Array;
}

/** Where the two connections of an invocation meet. */
interface Meeting extends PromiseWithResolvers<Data> {
  /** Runs while only one of them is there. */
  timer: ReturnType<typeof setTimeout>;
}

/**
 * Listens for clients: any number of them, one after another or at once. Who
 * does not know the token is cut off.
 */
export class HostEnd {
  readonly #folder: ClientFolder;
  readonly #serve: (invocation: Invocation) => Promise<void>;
  readonly #onRequest: ((what: string) => unknown) | undefined;
  readonly #listener: Deno.UnixListener;
  readonly #conns = new Set<Deno.Conn>();
  readonly #data = new Map<string, Meeting>();
  readonly #serving = new Set<Promise<void>>();
  #served = 0;
  #closed = false;

  /**
   * Begins to listen.
   *
   * @param serve does what a client asks for; its promise says when that is done
   * @param onRequest answers requests about the host itself with JSON
   */
  constructor(
    folder: ClientFolder,
    serve: (invocation: Invocation) => Promise<void>,
    onRequest?: (what: string) => unknown,
  ) {
    this.#folder = folder;
    this.#serve = serve;
    this.#onRequest = onRequest;
    this.#listener = Deno.listen({ transport: "unix", path: folder.socket });
    void this.#accept();
  }

  /** How many invocations are under way. */
  get running(): number {
    return this.#serving.size;
  }

  /** How many invocations there have been. */
  get served(): number {
    return this.#served;
  }

  async #accept(): Promise<void> {
    while (!this.#closed) {
      let conn;
      try {
        conn = await this.#listener.accept();
      } catch {
        // One that went away at once, or descriptors ran out, or the end.
        if (this.#closed) return;
        await new Promise((resolve) => setTimeout(resolve, 10));
        continue;
      }
      void this.#greet(conn);
    }
  }

  /** Finds out what a connection is. */
  async #greet(conn: Deno.Conn): Promise<void> {
    this.#conns.add(conn);
    const timer = setTimeout(() => close(conn), GREETING_TIMEOUT);
    let buffer = new Uint8Array(4096);
    let size = 0;
    try {
      while (size < PREFIX_LENGTH) {
        const count = await conn.read(buffer.subarray(size));
        if (count === null) break;
        size += count;
      }
      buffer = buffer.subarray(0, size);
      const prefix = new TextDecoder().decode(
        buffer.subarray(0, PREFIX_LENGTH),
      );
      const token = prefix.slice(1, 1 + TOKEN_LENGTH);
      const id = prefix.slice(1 + TOKEN_LENGTH);
      const rest = buffer.subarray(PREFIX_LENGTH);
      if (id.length !== ID_LENGTH || !same(token, this.#folder.token)) {
        return;
      }
      switch (prefix[0]) {
        case "D":
          this.#expect(id).resolve({ conn, rest });
          // It is the invocation's now.
          return void this.#conns.delete(conn);
        case "C":
          return await this.#invoke(id, new Control(conn, rest), timer);
        case "Q":
          return await this.#answer(new Control(conn, rest));
      }
    } catch {
      // It went away.
    } finally {
      clearTimeout(timer);
      if (this.#conns.delete(conn)) close(conn);
    }
  }

  #expect(id: string): Meeting {
    const there = this.#data.get(id);
    if (there) {
      clearTimeout(there.timer);
      return there;
    }
    const resolvers = Promise.withResolvers<Data>();
    resolvers.promise.catch(() => {});
    const timer = setTimeout(
      () => this.#forget(id, "the client did not open its second connection"),
      GREETING_TIMEOUT,
    );
    const meeting = { ...resolvers, timer };
    this.#data.set(id, meeting);
    return meeting;
  }

  #forget(id: string, why: string): void {
    const meeting = this.#data.get(id);
    if (!meeting) return;
    this.#data.delete(id);
    clearTimeout(meeting.timer);
    meeting.reject(new TypeError(`Cannot go on: ${why}`));
    void meeting.promise.then(({ conn }) => close(conn), () => {});
  }

  async #invoke(
    id: string,
    control: Control,
    timer: ReturnType<typeof setTimeout>,
  ): Promise<void> {
    const waiting = this.#expect(id);
    const greeting = await control.read();
    clearTimeout(timer);
    if (greeting?.[0] === Frame.HELLO) {
      const hello = parseHello(greeting[1]);
      this.#served++;
      const served = this.#serve({ ...hello, control, data: waiting.promise });
      this.#serving.add(served);
      try {
        await served;
      } finally {
        this.#serving.delete(served);
      }
    }
    this.#forget(id, "the client is gone");
  }

  async #answer(control: Control): Promise<void> {
    const request = await control.read();
    if (!request) return;
    const answer = await this.#onRequest?.(request[0]);
    await control.say(JSON.stringify(answer ?? null));
  }

  /** Resolves when no invocation is under way. */
  async idle(): Promise<void> {
    while (this.#serving.size > 0) await Promise.allSettled(this.#serving);
  }

  /** Ends all invocations: their clients exit with 255. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#listener.close();
    for (const conn of this.#conns) close(conn);
    for (const id of [...this.#data.keys()]) {
      this.#forget(id, "the host is closed");
    }
    await this.idle();
  }
}

/** Whether two texts are the same, in a time that does not tell how much is. */
function same(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let at = 0; at < a.length; at++) {
    difference |= a.charCodeAt(at) ^ b.charCodeAt(at);
  }
  return difference === 0;
}
