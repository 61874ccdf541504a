import {
  concat,
  type ConnectErrorKind,
  errorMessage,
  type Password,
  Secret,
} from "../core/mod.ts";
import { BootEofError } from "./bootstrap.ts";
import type { ProcessChild } from "./process_child.ts";

/** Milliseconds after which output that ends like a prompt is one. */
const PAUSE = 80;

/** How prompts end in all languages: a colon or a question mark, and blanks. */
const PROMPT = /[:：?？]\s*$/;

/** Characters of output without a line end that are looked at. */
const MAX_PROMPT = 4096;

/** Noise on the way that is kept in memory. */
const MAX_NOISE = 64 * 1024;

/** What is typed before this many characters a terminal takes. */
const MAX_PASSWORD = 1000;

/** The dialogue ended: there will be no context. */
export class Refused extends Error {
  readonly kind: ConnectErrorKind;

  constructor(kind: ConnectErrorKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
  }
}

/**
 * Takes a secret out of a line. A very short one would show in what is taken
 * out elsewhere.
 */
export function redact(line: string, secret: string): string {
  return secret.length < 4 ? line : line.replaceAll(secret, "[secret]");
}

/** A password that is asked for once, however often it is needed. */
export function once(
  password: Password | undefined,
): (() => Promise<Secret>) | undefined {
  if (password === undefined) return undefined;
  let asked: Promise<Secret> | undefined;
  return () =>
    asked ??= (async () => {
      const secret = typeof password === "function"
        ? await password()
        : password;
      if (!(secret instanceof Secret)) {
        throw new TypeError("a password must be a Secret");
      }
      return secret;
    })();
}

/** What a dialogue is about. */
export interface DialogueOptions {
  /** Who asks, for messages. */
  tool: string;
  /** What it was told to ask with. Without, prompts are known by their looks. */
  prompt?: string;
  /** What is printed on the output when no more is asked. */
  ready: string;
  password: (() => Promise<Secret>) | undefined;
  /** Whether a terminal reads it: control characters have a meaning there. */
  terminal: boolean;
}

/**
 * What sudo and its like and we say to each other before there is a context.
 *
 * They ask on their error output or on a terminal that is copied there, and
 * get one line on the input. Then a shell prints `ready` and drops lines up to
 * an empty one: whatever was mistaken for a prompt, the first stage begins
 * with nothing of it left in the pipe.
 */
export class Dialogue {
  /** How often it was asked for a password. */
  asked = 0;
  /** Whether the shell on the other side was reached. */
  through = false;
  readonly #options: DialogueOptions;
  readonly #refused = Promise.withResolvers<never>();
  readonly #decoder = new TextDecoder();
  #secret: string | undefined;
  #line = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: DialogueOptions) {
    this.#options = options;
    this.#refused.promise.catch(() => {});
  }

  /**
   * Answers what is asked until the shell is reached.
   *
   * @throws {Refused} when there is no answer, or it was wrong
   * @throws {BootEofError} when the other side ends
   */
  async run(child: ProcessChild): Promise<void> {
    child.onOutput = (chunk) => this.#hear(child, chunk);
    try {
      await Promise.race([this.#reach(child), this.#refused.promise]);
    } finally {
      child.onOutput = undefined;
      clearTimeout(this.#timer);
    }
  }

  /** Takes out of a line what is not for people to see. */
  clean(line: string): string {
    const { prompt } = this.#options;
    if (prompt) line = line.replaceAll(prompt, "");
    return this.#secret === undefined ? line : redact(line, this.#secret);
  }

  async #reach(child: ProcessChild): Promise<void> {
    const ready = new TextEncoder().encode(this.#options.ready + "\n");
    let bytes: Uint8Array = new Uint8Array(0);
    for (;;) {
      const chunk = await child.read();
      if (!chunk) {
        this.#note(child, bytes);
        throw new BootEofError(false);
      }
      bytes = concat([bytes, chunk], bytes.length + chunk.length);
      const at = indexOf(bytes, ready);
      if (at >= 0) {
        this.through = true;
        this.#note(child, bytes.subarray(0, at));
        clearTimeout(this.#timer);
        child.unread(bytes.subarray(at + ready.length));
        await child.write(new TextEncoder().encode("\n"));
        return;
      }
      if (bytes.length > MAX_NOISE) {
        // Only its end can be the beginning of that word.
        this.#note(child, bytes);
        bytes = bytes.slice(-ready.length);
      }
    }
  }

  /** What a profile printed may say what went wrong. */
  #note(child: ProcessChild, bytes: Uint8Array): void {
    for (const line of new TextDecoder().decode(bytes).split("\n")) {
      if (line.trim()) child.tail.push(this.clean(line));
    }
  }

  #hear(child: ProcessChild, chunk: Uint8Array): void {
    if (this.through) return;
    clearTimeout(this.#timer);
    const text = this.#line + this.#decoder.decode(chunk, { stream: true });
    const { prompt } = this.#options;
    const known = prompt === undefined ? -1 : text.indexOf(prompt);
    if (known >= 0) {
      this.#line = "";
      return this.#answer(child);
    }
    this.#line = text.slice(text.lastIndexOf("\n") + 1).slice(-MAX_PROMPT);
    // PAM and its modules have prompts of their own, in their own language.
    if (PROMPT.test(this.#line)) {
      this.#timer = setTimeout(() => {
        this.#line = "";
        this.#answer(child);
      }, PAUSE);
    }
  }

  #answer(child: ProcessChild): void {
    const { tool, password, terminal } = this.#options;
    const refuse = (message: string, cause?: unknown) =>
      this.#refused.reject(new Refused("auth", message, cause));
    if (++this.asked > 1) {
      return refuse(`${tool} did not accept the password`);
    }
    if (!password) {
      return refuse(
        `${tool} asks for a password, and none was given: set \`password\``,
      );
    }
    password().then(async (secret) => {
      const value = secret.reveal();
      this.#secret = value;
      // deno-lint-ignore no-control-regex
      const bad = terminal ? /[\x00-\x1f\x7f]/ : /[\n\0]/;
      if (value === "" || value.length > MAX_PASSWORD || bad.test(value)) {
        return refuse(
          `the password is empty, longer than ${MAX_PASSWORD} characters, or holds what cannot be typed`,
        );
      }
      await child.write(new TextEncoder().encode(`${value}\n`));
    }).catch((error) =>
      refuse(`the password could not be had: ${errorMessage(error)}`, error)
    );
  }
}

/** Where some bytes begin in others; -1 if they do not. */
function indexOf(bytes: Uint8Array, part: Uint8Array): number {
  for (let at = bytes.indexOf(part[0]!); at >= 0;) {
    if (part.every((byte, i) => bytes[at + i] === byte)) return at;
    at = bytes.indexOf(part[0]!, at + 1);
  }
  return -1;
}
