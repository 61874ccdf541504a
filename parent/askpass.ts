import {
  errorMessage,
  type OnPrompt,
  type Prompt,
  Secret,
} from "../core/mod.ts";

import { redact } from "./dialogue.ts";

/**
 * What ssh runs to ask. It speaks to the keeper over two named pipes beside
 * itself, so that it works behind a ProxyCommand, which has ssh's input.
 */
const ASK = `#!/bin/sh
[ "$1" = --try ]&&exit
d=\${0%/*}
printf '%s\\036%s\\036\\n' "$SSH_ASKPASS_PROMPT" "$1">"$d/q"
[ "$SSH_ASKPASS_PROMPT" = none ]&&exit
IFS= read -r l<"$d/a"
case $l in +*)printf '%s\\n' "\${l#+}";;*)exit 1;;esac
`;

/**
 * Makes a folder for that which nobody else may enter, and removes it when its
 * input ends: also when whoever started it is killed. Folders in which no
 * program may run are passed over.
 */
const KEEPER = `umask 077
for t in "\${TMPDIR:-/tmp}" /tmp /var/tmp "\${XDG_RUNTIME_DIR:-/dev/shm}" "$HOME"
do d=$(mktemp -d "$t/mitogen-ask.XXXXXX" 2>/dev/null)||continue
trap 'rm -rf "$d"' EXIT
trap 'exit 1' HUP INT TERM
printf %s "$1">"$d/ask"&&chmod 700 "$d/ask"&&"$d/ask" --try 2>/dev/null&&mkfifo "$d/q" "$d/a"&&break
rm -rf "$d"
d=
done
[ "$d" ]||exit 1
exec 3<>"$d/q" 4<>"$d/a"
cat <"$d/q" 3>&- 4>&- &
trap "kill $!;"'rm -rf "$d"' EXIT
printf '%s\\n' "$d"
while IFS= read -r l;do printf '%s\\n' "$l">&4;done`;

/** How much of a question is read. */
const MAX_QUESTION = 16 * 1024;

/** Answers what ssh asks through SSH_ASKPASS. No terminal is needed. */
export class Askpass implements AsyncDisposable {
  /** Why questions were not answered, for the error that follows. */
  readonly declined: string[] = [];
  /** Told when something is asked again: there is no other answer. */
  onRepeat: (() => void) | undefined;
  readonly #process: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #asked = new Set<string>();
  readonly #secrets: string[] = [];
  /** Rejects at the end: nobody waits for an answer after it. */
  readonly #over = Promise.withResolvers<never>();
  #folder = "";
  #listening: Promise<void> | undefined;

  private constructor() {
    this.#process = new Deno.Command("sh", {
      args: ["-c", KEEPER, "sh", ASK],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
      detached: true,
    }).spawn();
    this.#writer = this.#process.stdin.getWriter();
    this.#writer.closed.catch(() => {});
    this.#over.promise.catch(() => {});
  }

  /**
   * Makes ready to be asked.
   *
   * @throws {Error} when no folder can be found for it
   */
  static async start(answer: OnPrompt, path: string): Promise<Askpass> {
    const askpass = new Askpass();
    const reader = askpass.#process.stdout
      .pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes("\n")) {
      const { value, done } = await reader.read();
      if (done) {
        await askpass[Symbol.asyncDispose]();
        throw new Error(
          "no folder was found in which ssh could run a program to ask with: tried TMPDIR, /tmp, /var/tmp, XDG_RUNTIME_DIR and HOME",
        );
      }
      text += value;
    }
    const end = text.indexOf("\n");
    askpass.#folder = text.slice(0, end);
    askpass.#listening = askpass.#listen(
      reader,
      text.slice(end + 1),
      (prompt) => answer({ ...prompt, path }),
    );
    return askpass;
  }

  /** What makes ssh ask here. Versions before 8.4 also want a display. */
  get env(): Record<string, string> {
    return {
      SSH_ASKPASS: `${this.#folder}/ask`,
      SSH_ASKPASS_REQUIRE: "force",
      DISPLAY: "none:0",
    };
  }

  /** Takes answers out of a line. */
  clean(line: string): string {
    return this.#secrets.reduce(redact, line);
  }

  async #listen(
    reader: ReadableStreamDefaultReader<string>,
    text: string,
    answer: (prompt: Omit<Prompt, "path">) => Promise<Secret>,
  ): Promise<void> {
    for (;;) {
      const end = text.indexOf("\x1e\n");
      if (end >= 0) {
        const [hint = "", question = ""] = text.slice(0, end).split("\x1e");
        text = text.slice(end + 2);
        // Not a question but a notice, such as to touch a token.
        if (hint !== "none") await this.#answer(question, hint, answer);
        continue;
      }
      const { value, done } = await reader.read();
      if (done) return;
      text = (text + value).slice(-MAX_QUESTION);
    }
  }

  async #answer(
    text: string,
    hint: string,
    answer: (prompt: Omit<Prompt, "path">) => Promise<Secret>,
  ): Promise<void> {
    let line = "-";
    if (this.#asked.has(text)) return this.onRepeat?.();
    this.#asked.add(text);
    try {
      const secret = await Promise.race([
        answer({ kind: kindOf(text, hint), text }),
        this.#over.promise,
      ]);
      if (!(secret instanceof Secret)) {
        throw new TypeError("an answer must be a Secret");
      }
      const value = secret.reveal();
      if (/[\n\0]/.test(value)) throw new TypeError("an answer is one line");
      this.#secrets.push(value);
      line = `+${value}`;
    } catch (error) {
      this.declined.push(`"${text.trim()}": ${errorMessage(error)}`);
    }
    await this.#writer.write(new TextEncoder().encode(`${line}\n`))
      .catch(() => {});
  }

  /** Removes what was made for it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close().catch(() => {});
    await this.#process.status;
    this.#over.reject(new Error("the attempt is over"));
    await this.#listening;
  }
}

function kindOf(text: string, hint: string): Prompt["kind"] {
  if (hint === "confirm" || /\(yes\/no/.test(text)) return "confirm";
  if (/^Enter (passphrase|PIN) for /i.test(text)) return "passphrase";
  return /password/i.test(text) ? "password" : "code";
}
