/**
 * Terminals for processes, by way of script(1): Deno has none of its own.
 *
 * @module
 */
import type { PtyOptions, RemoteCommandOptions } from "../core/mod.ts";
import { quoteAll } from "./quote.ts";

/** Runs its argument in a terminal, with whichever script(1) there is. */
const OUTER = `command -v script >/dev/null 2>&1 || {
  echo "there is no program called script; on Debian the package bsdutils has it" >&2
  exit 127
}
M_SHELL=$SHELL SHELL=/bin/sh
export M_SHELL SHELL
case $(script --version 2>&1) in
*util-linux*) exec script -qefc "$1" /dev/null ;;
*) exec script -q /dev/null /bin/sh -c "$1" ;;
esac`;

/** Says where the terminal is, and who leads the session in it. */
const INNER = `SHELL=$M_SHELL
[ "$SHELL" ] || unset SHELL
unset M_SHELL
echo "$(tty) $$"
exec `;

function whole(what: string, value: number): number {
  if (Number.isInteger(value) && value > 0 && value < 65536) return value;
  throw new RangeError(`Cannot make a terminal: ${what} is ${value}`);
}

/**
 * How a command is run in a terminal.
 *
 * @throws {TypeError} when its output is to go elsewhere
 */
export function inTerminal(
  command: string,
  { args = [], env, stdout = "piped" }: RemoteCommandOptions,
  options: PtyOptions,
): { command: string; args: string[]; env: Record<string, string> } {
  if (stdout !== "piped") {
    throw new TypeError(
      `Cannot make a terminal: what is printed to one is piped, not "${stdout}"`,
    );
  }
  const columns = whole("columns", options.columns ?? 80);
  const rows = whole("rows", options.rows ?? 24);
  const inner = `stty cols ${columns} rows ${rows}\n${INNER}${
    quoteAll([command, ...args])
  }`;
  return {
    command: "/bin/sh",
    args: ["-c", OUTER, "sh", inner],
    env: { TERM: options.term ?? "xterm", ...env },
  };
}

/** A terminal that was made. */
export interface Terminal {
  /** Its device. */
  path: string;
  /** The process that leads the session in it. */
  leader: number;
  /** What is printed to it. */
  output: ReadableStream<Uint8Array>;
}

const decoder = new TextDecoder();

/** No device's name is longer. */
const MAX_LINE = 1024;

/**
 * Reads the first line, which is not of the program.
 *
 * @param end ends what runs there without a terminal
 * @throws {Error} when there is no terminal
 */
export async function openTerminal(
  { stdout, stderr }: Deno.ChildProcess,
  end: () => void,
): Promise<Terminal> {
  const reader = stdout.getReader();
  let text = "";
  let rest: Uint8Array = new Uint8Array(0);
  while (text.length < MAX_LINE) {
    const { value, done } = await reader.read();
    if (done) break;
    const end = value.indexOf(10);
    text += decoder.decode(end < 0 ? value : value.subarray(0, end + 1));
    if (end < 0) continue;
    rest = value.subarray(end + 1);
    break;
  }
  const found = /(\/dev\/[\w/.-]+) (\d+)\r?\n$/.exec(text);
  if (!found) {
    end();
    await reader.cancel();
    const errors = await new Response(stderr).text();
    const said = text.trim() || errors.trim();
    throw new Error(`Cannot make a terminal: ${said.slice(0, 500)}`);
  }
  void stderr.cancel();
  const output = new ReadableStream<Uint8Array>({
    start(controller) {
      if (rest.length > 0) controller.enqueue(rest);
    },
    async pull(controller) {
      try {
        const { value, done } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      } catch {
        // A terminal whose last user has left gives an error, not an end.
        controller.close();
      }
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
  return { path: found[1]!, leader: Number(found[2]), output };
}

/** Changes the size of a terminal. Who is in it gets SIGWINCH. */
export async function resizeTerminal(
  path: string,
  columns: number,
  rows: number,
): Promise<void> {
  const { success, stderr } = await new Deno.Command("/bin/sh", {
    args: [
      "-c",
      'exec stty cols "$1" rows "$2" <"$0"',
      path,
      String(whole("columns", columns)),
      String(whole("rows", rows)),
    ],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (success) return;
  const why = new TextDecoder().decode(stderr).trim().slice(0, 200);
  throw new Error(`Cannot change the size of ${path}: ${why}`);
}
