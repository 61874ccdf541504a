/**
 * What the ways into containers and namespaces have in common: a tool runs
 * `sh` in the place, and that becomes the context.
 *
 * @module
 */
import type { ConnectErrorKind, ConnectOptions, Context } from "../core/mod.ts";
import type { Attempt, Method } from "./connect.ts";
import { firstStage } from "./first_stage.ts";
import { permissionFlags, resolvePermissions } from "./permissions.ts";
import { connectProcess, type Failure } from "./process_context.ts";

/**
 * A message of a tool, and what it means; `says` where the message says too
 * little. The first that matches is taken.
 */
export type Reason = [pattern: RegExp, kind: ConnectErrorKind, says?: string];

/** What is known of a tool that runs a program in a place. */
export interface Tool<O extends ConnectOptions> {
  /** The place, for the name of the context: `docker.` and this. */
  place(options: O): string;
  /**
   * The whole command line, the tool first.
   *
   * @param sh the program that is to run in the place, with its arguments
   * @throws {TypeError} on options that the tool would misread
   */
  argv(options: O, sh: string[]): string[];
  /** What its messages mean. */
  reasons: Reason[];
}

/** What is missing in the place: runtimes of containers all say it their way. */
const MISSING: Reason[] = [
  [
    /executable file not found|failed to (run command|exec\w*) .?\/?(bin\/)?sh\b|exec: "sh"|can't execute .sh.|No such file or directory.*\bsh\b/i,
    "runtime",
  ],
  [
    /Is \/proc mounted/,
    "runtime",
    "Deno needs /proc, which is not mounted there",
  ],
];

/** What messages of a tool mean. */
export function explainWith(
  reasons: Reason[],
): (tail: string) => Failure | undefined {
  return (tail) => {
    const lines = tail.split("\n");
    for (const [pattern, kind, says] of [...MISSING, ...reasons]) {
      const line = lines.find((line) => pattern.test(line));
      if (line !== undefined) return { kind, message: says ?? line.trim() };
    }
    return undefined;
  };
}

/**
 * A name as a word of a command line of its own: it goes there as it is, or
 * not at all.
 *
 * @throws {TypeError} when it is empty, or a tool would take it for an option
 */
export function word(what: string, value: string): string {
  // deno-lint-ignore no-control-regex
  if (typeof value !== "string" || /^-|^$|[\x00-\x1f\x7f]/.test(value)) {
    throw new TypeError(
      `Cannot connect: the ${what} ${
        JSON.stringify(value)
      } is no text, empty, begins with "-", or holds a control character`,
    );
  }
  return value;
}

/** `flag` and a checked value in one word; nothing where there is no value. */
export function flag(
  name: string,
  what: string,
  value: string | undefined,
): string[] {
  return value === undefined ? [] : [`${name}=${word(what, value)}`];
}

/** The place in the name of a context. */
export function placeName(method: string, place: string): string {
  const name = place.replace(/[\/\\]/g, "_").slice(0, 150);
  return `${method}.${name.toWellFormed()}`;
}

/** The script that becomes a context, from what every way in is told. */
export function script(options: ConnectOptions): string {
  const { deno, cwd, env, permissions } = options;
  return firstStage({
    flags: permissionFlags(resolvePermissions(permissions)),
    deno,
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env }),
  });
}

/** A way in through a tool. */
export function through<O extends ConnectOptions>(
  name: string,
  tool: Tool<O>,
): Method<O> {
  return (attempt: Attempt, options: O): Promise<Context> => {
    const [command, ...args] = tool.argv(options, [
      "sh",
      "-c",
      script(options),
    ]);
    return connectProcess(attempt, options, {
      command: command!,
      args,
      name: placeName(name, tool.place(options)),
      // The tool may read on its own account, or ask something.
      eager: false,
      explain: explainWith(tool.reasons),
    });
  };
}
