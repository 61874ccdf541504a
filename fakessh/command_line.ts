/** What a command line of ssh asks for. */
export interface SshCommandLine {
  /** Host as it was named, without user and port; empty only beside `-V`. */
  host: string;
  /** From `-l`, or ahead of the `@`. */
  user?: string;
  /** From `-p`, or from an `ssh://` URL. */
  port?: number;
  /** What to run there, joined by blanks as ssh joins it; unset for a login. */
  command?: string;
  /** Options without an argument, in order, without those named below. */
  flags: string[];
  /** Options with an argument, in order, without those named below. */
  options: [option: string, value: string][];
  /** From `-o`: each key in lower case, the first value of each. */
  settings: Map<string, string>;
  /** `-s`: the command is the name of a subsystem. */
  subsystem: boolean;
  /** `-t` and `-T`: how often a terminal was asked for; -1 is never. */
  tty: number;
  /** `-n`: input is empty. */
  nullInput: boolean;
  /** `-v`: how often. */
  verbose: number;
  /** `-q` */
  quiet: boolean;
}

/** ssh would print its usage and exit with 255. */
export class UsageError extends Error {
  /** The name of its class. */
  override name = "UsageError";
}

/** Options of ssh, as for getopt: a colon means that an argument follows. */
const OPTIONS =
  "1246ab:c:e:fgi:kl:m:no:p:qstvxAB:CD:E:F:GI:J:KL:MNO:P:Q:R:S:TVw:W:XYy";

/** Whether an option takes an argument; `undefined` when there is none such. */
export function takesArgument(option: string): boolean | undefined {
  const at = option === ":" ? -1 : OPTIONS.indexOf(option);
  return at < 0 ? undefined : OPTIONS[at + 1] === ":";
}

/** The options that {@linkcode takesArgument} knows. */
export const OPTION_LETTERS: string[] = [...OPTIONS].filter((c) => c !== ":");

/**
 * Reads a command line as OpenSSH does: bundled options, options on both sides
 * of the host, `--`, `user@host`, `ssh://user@host:port`.
 *
 * @param args without the program's own name
 * @throws {UsageError} when ssh would not understand it
 */
export function parseSshArgs(args: readonly string[]): SshCommandLine {
  const line: SshCommandLine = {
    host: "",
    flags: [],
    options: [],
    settings: new Map(),
    subsystem: false,
    tty: 0,
    nullInput: false,
    verbose: 0,
    quiet: false,
  };
  let rest = parseOptions(line, args);
  // Asked for its version, ssh looks at nothing else.
  if (line.flags.includes("V")) return line;
  const [destination] = rest;
  if (destination === undefined) throw new UsageError("Missing hostname");
  parseDestination(line, destination);
  // Options may follow the host; the first word that is none begins the command.
  rest = parseOptions(line, rest.slice(1));
  if (rest.length > 0) line.command = rest.join(" ");
  if (line.subsystem && line.command === undefined) {
    throw new UsageError("You must specify a subsystem to invoke.");
  }
  return line;
}

/** Takes options off the front, and answers what is left. */
function parseOptions(
  line: SshCommandLine,
  args: readonly string[],
): readonly string[] {
  let i = 0;
  for (; i < args.length; i++) {
    const word = args[i]!;
    if (word === "--") return args.slice(i + 1);
    if (!word.startsWith("-") || word === "-") break;
    for (let at = 1; at < word.length; at++) {
      const option = word[at]!;
      const argument = takesArgument(option);
      if (argument === undefined) {
        throw new UsageError(`unknown option -- ${option}`);
      }
      if (!argument) {
        setFlag(line, option);
        continue;
      }
      // What follows in the same word is the argument, else the next word is.
      const value = at + 1 < word.length ? word.slice(at + 1) : args[++i];
      if (value === undefined) {
        throw new UsageError(`option requires an argument -- ${option}`);
      }
      setOption(line, option, value);
      break;
    }
  }
  return args.slice(i);
}

function setFlag(line: SshCommandLine, option: string): void {
  switch (option) {
    case "s":
      line.subsystem = true;
      return;
    case "t":
      line.tty = Math.max(line.tty, 0) + 1;
      return;
    case "T":
      line.tty = -1;
      return;
    case "n":
      line.nullInput = true;
      return;
    case "v":
      line.verbose++;
      return;
    case "q":
      line.quiet = true;
      return;
  }
  line.flags.push(option);
}

function setOption(line: SshCommandLine, option: string, value: string): void {
  switch (option) {
    case "l":
      line.user ??= value;
      return;
    case "p":
      line.port ??= parsePort(value);
      return;
    case "o": {
      // `Key=Value`, `Key Value`, with blanks and quotes around either.
      const match = value.match(/^\s*([A-Za-z0-9]+)(?:\s*=\s*|\s+)(.*?)\s*$/s);
      if (!match) {
        throw new UsageError(
          `command-line: line 0: Bad configuration option: ${value}`,
        );
      }
      const key = match[1]!.toLowerCase();
      if (!line.settings.has(key)) {
        line.settings.set(key, match[2]!.replace(/^"(.*)"$/s, "$1"));
      }
      return;
    }
  }
  line.options.push([option, value]);
}

function parsePort(value: string): number {
  const port = Number(value);
  if (!/^\d+$/.test(value) || port < 1 || port > 65535) {
    throw new UsageError(`Bad port '${value}'`);
  }
  return port;
}

function parseDestination(line: SshCommandLine, destination: string): void {
  let host = destination;
  const url = destination.match(/^ssh:\/\/(.*?)\/?$/);
  if (url) {
    host = url[1]!;
    const port = host.match(/^(.*?):(\d+)$/s) ?? undefined;
    // The colons of an address in brackets are its own.
    if (port && !/\[[^\]]*$/.test(port[1]!)) {
      host = port[1]!;
      line.port ??= parsePort(port[2]!);
    }
  }
  const at = host.lastIndexOf("@");
  if (at === 0) throw new UsageError("Missing username");
  if (at > 0) {
    const user = host.slice(0, at);
    line.user ??= url ? decodeURIComponent(user) : user;
    host = host.slice(at + 1);
  }
  if (url) host = host.replace(/^\[(.*)\]$/, "$1");
  if (host === "") throw new UsageError("Missing hostname");
  line.host = host;
}
