import {
  ConnectError,
  type ConnectOptions,
  type Context,
} from "../core/mod.ts";
import type { Password } from "../core/mod.ts";
import type { Attempt } from "./connect.ts";
import { Dialogue, once } from "./dialogue.ts";
import { firstStage } from "./first_stage.ts";
import { permissionFlags, resolvePermissions } from "./permissions.ts";
import { connectProcess, type Failure } from "./process_context.ts";
import { quote, quoteAll } from "./quote.ts";

/** Drops lines up to an empty one. */
const DROP = 'while IFS= read -r l&&[ "$l" ];do :;done';

/** Where the new user may not be, Deno cannot start. */
const SOMEWHERE = "cd . 2>/dev/null||cd /";

/** What makes another user of this process. */
export interface PrivilegeTool {
  /** As in the path of the context: `sudo`. */
  name: string;
  /** The program to run. */
  path: string;
  username: string;
  password: Password | undefined;
  /**
   * How the tool asks where there is a terminal.
   *
   * - `stdin`: on its error output, and reads the input, terminal or not; it
   *   may insist on having one all the same
   * - `tty`: on the terminal itself, and leaves input and output alone
   * - `tty-stdin`: reads the input, which must be a terminal
   */
  asks: "stdin" | "tty" | "tty-stdin";
  /** Whether it can ask without a terminal. */
  asksWithout: boolean;
  /** What it prints when its shell is ended on purpose. */
  farewell?: RegExp;
  /** Arguments that run a script for `sh` as that user. */
  args(script: string, prompt: string): string[];
}

/** @throws {TypeError} when a program would take the name for something else */
export function checkUser(username: string): string {
  // deno-lint-ignore no-control-regex
  if (/^-|^$|[\x00-\x20\x7f:]/.test(username)) {
    throw new TypeError(
      `Cannot connect: the username ${
        JSON.stringify(username)
      } is empty, begins with "-", or holds a blank, a colon or a control character`,
    );
  }
  return username;
}

/** Opens a context under another user of this machine. */
export async function connectPrivileged(
  attempt: Attempt,
  options: ConnectOptions,
  tool: PrivilegeTool,
): Promise<Context> {
  const password = once(tool.password);
  const first = !tool.asksWithout && password !== undefined;
  const run = (terminal: boolean) => {
    const word = crypto.randomUUID().slice(-12);
    const ready = `mitogen-${word}`;
    const prompt = `[mitogen-prompt-${word}]`;
    const dialogue = new Dialogue({
      tool: tool.name,
      prompt,
      ready,
      password,
      terminal: terminal && tool.asks !== "stdin",
    });
    const words = { ready, prompt };
    const context = connectProcess(attempt, options, {
      ...privilegedCommand(tool, options, { ...words, terminal }),
      name: `${tool.name}.${tool.username}`.replace(/[\/\\]/g, "_"),
      eager: false,
      ...(tool.farewell ? { farewell: tool.farewell } : {}),
      begin: (child) => dialogue.run(child),
      clean: (line) => dialogue.clean(line),
      explain: (tail, status) => explain(tool, dialogue, tail, status),
    });
    return { dialogue, context };
  };
  const { dialogue, context } = run(first);
  try {
    return await context;
  } catch (error) {
    // requiretty, and tools that insist: not before it is known to be needed.
    const again = !first && dialogue.asked === 0 && !dialogue.through &&
      error instanceof ConnectError && error.kind === "auth" &&
      /\btty\b|terminal/i.test(error.tail);
    if (!again) throw error;
    return await run(true).context;
  }
}

/** The words that tell a dialogue from everything else. */
export interface PrivilegeWords {
  ready: string;
  prompt: string;
  /** Whether the tool gets a terminal. Data never passes through it. */
  terminal: boolean;
}

/** What is run to become another user. */
export function privilegedCommand(
  tool: PrivilegeTool,
  options: ConnectOptions,
  { ready, prompt, terminal }: PrivilegeWords,
): { command: string; args: string[] } {
  const first = firstStage({
    deno: options.deno,
    // The one that runs here is most likely one that runs there.
    prefer: Deno.execPath(),
    flags: permissionFlags(resolvePermissions(options.permissions)),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
  });
  const say = `echo ${ready}`;
  if (!terminal) {
    const script = [say, DROP, SOMEWHERE, first].join(";");
    return { command: tool.path, args: tool.args(script, prompt) };
  }
  const { asks } = tool;
  const script = {
    stdin: [say, DROP],
    tty: [say, `{ ${DROP};} </dev/tty`],
    "tty-stdin": [say, DROP, "exec <&3 3<&-"],
  }[asks].concat(SOMEWHERE, first).join(";");
  const inner = [
    '[ -z "$MITOGEN_SHELL" ]||SHELL=$MITOGEN_SHELL',
    "unset MITOGEN_SHELL",
    "stty -echo",
    // Not with exec: the shell keeps the terminal open where the tool has not
    // got it, or what makes it would take that for the end.
    `${quoteAll([tool.path, ...tool.args(script, prompt)])} ${
      asks === "tty-stdin" ? "" : "<&3 3<&- "
    }>&4 2>&5 4>&- 5>&-`,
    "exit $?",
  ].join(";");
  const wrapper = [
    "exec 3<&0 4>&1 5>&2 >&2",
    `c=${quote(inner)}`,
    asks === "stdin"
      ? `exec </dev/null\n${ON_TERMINAL}`
      // The end of the tool must be the end of the output.
      : `${TYPE}|{\n${ON_TERMINAL}\n}&\nexec 4>&-;wait $!`,
  ].join("\n");
  return { command: "sh", args: ["-c", wrapper] };
}

/** Exit code of the script below when there is nothing that makes a terminal. */
const NO_TERMINAL = 69;

/**
 * Passes on lines of the input up to an empty one, which says that all that
 * follows is data.
 */
const TYPE =
  `{ exec 4>&-;while IFS= read -r l<&3;do printf '%s\\n' "$l";[ "$l" ]||break;done;}`;

/**
 * Runs the command in `$c` on a terminal of its own: what comes in is typed
 * there, and what is printed there goes to the error output. Only the `script`
 * of util-linux takes these options; it runs the command with `$SHELL`.
 */
const ON_TERMINAL = `if script --version 2>&1 </dev/null|grep -q util-linux
then exec env MITOGEN_SHELL="\${SHELL-}" SHELL=/bin/sh script -qefc "$c" /dev/null >&5
elif command -v python3 >/dev/null
then exec python3 -c "import pty,sys;s=pty.spawn(['sh','-c',sys.argv[1]]);sys.exit(s>>8 or s)" "$c" >&5
else echo "a terminal is needed, and neither script of util-linux nor python3 is there to make one" >&5
exit ${NO_TERMINAL}
fi`;

const UNKNOWN =
  /unknown (user|group)|no passwd entry|does not exist|no such user|user .* not found|invalid user/i;

const NOT_PERMITTED =
  /not allowed|not in the sudoers|not permitted|may not run|permission denied|can't do that/i;

/** What the end of a tool means that came before its shell. */
function explain(
  tool: PrivilegeTool,
  { through, asked }: Dialogue,
  tail: string,
  { code, signal }: Deno.CommandStatus,
): Failure | undefined {
  if (through || signal !== null) return undefined;
  const { name, username } = tool;
  const find = (pattern: RegExp) =>
    tail.split("\n").findLast((line) => pattern.test(line))?.trim()
      .slice(0, 300);
  if (code === NO_TERMINAL && find(/a terminal is needed/)) {
    return { kind: "not-found", message: `${name}: ${find(/./)}` };
  }
  if (code === 126 || code === 127) {
    return {
      kind: "not-found",
      message: `${name} could not be run: ${find(/./) ?? `exit code ${code}`}`,
    };
  }
  const unknown = find(UNKNOWN);
  if (unknown) return { kind: "not-found", message: unknown };
  const forbidden = find(NOT_PERMITTED);
  if (forbidden) {
    const rules = { sudo: "sudoers", doas: "doas.conf" }[name] ?? "PAM's rules";
    return {
      kind: "auth",
      message: `${forbidden} (may this user become ${username}? See ${rules})`,
    };
  }
  const hint = tool.password === undefined
    ? "no password was given: set `password` if one is asked for"
    : asked > 0
    ? "the password is wrong, or there is more to it than a password"
    : "it never asked for the password";
  const said = find(/./) ?? `exit code ${code}`;
  const who = said.startsWith(name) ? "" : `${name}: `;
  return { kind: "auth", message: `${who}${said} (${hint})` };
}
