/** What the program `fakessh` is asked to do. */
export type Task =
  | { kind: "help" }
  | { kind: "version" }
  | { kind: "list"; json: boolean }
  | { kind: "close"; name: string }
  | OpenTask
  | { kind: "run"; via: string[]; argv: string[]; verbose: boolean }
  | { kind: "ssh"; via: string[]; args: string[]; verbose: boolean };

/** Keep a chain of contexts in the background. */
export interface OpenTask {
  kind: "open";
  name: string;
  via: string[];
  /** Seconds without an ssh after which it ends; 0 is never. */
  idle: number;
  verbose: boolean;
}

/** A command line that means nothing. */
export class ArgumentError extends Error {
  override name = "ArgumentError";
}

/** What `--help` prints. */
export const HELP =
  `fakessh stands in for ssh: rsync, scp, sftp, git and scripts, over connections of
mitogen for Deno, through any number of hops.

  fakessh --via SPEC [--via SPEC ...] -- PROGRAM [ARGUMENT ...]
      Runs a program whose ssh leads to the last hop, whatever host it names.
  fakessh --open NAME [--via SPEC ...] [--idle SECONDS]
      Keeps such a chain up in the background, under a name.
  fakessh [ssh's options] NAME [COMMAND]
      What ssh would do, over the chain of this name. Use it as rsync -e fakessh,
      scp -S fakessh, sftp -S fakessh, GIT_SSH=fakessh.
  fakessh --via SPEC [--via SPEC ...] [ssh's options] HOST [COMMAND]
      The same over a chain that is made for it.
  fakessh --list [--json]     What is open.
  fakessh --close NAME        Ends it.

  --via SPEC      a hop: ssh:user@host:port, sudo:user, docker:container, local:;
                  or a NAME that is open or that the configuration has
  --idle SECONDS  for --open: ends after so long without an ssh (default: never)
  -v              ahead of a long option: says how each hop is made
  --help, --version

Names are taken from what is open, then from
\${XDG_CONFIG_HOME:-~/.config}/fakessh/config.json:
  { "names": { "web1-root": ["ssh:web1", "sudo:root"] } }
`;

/** Names become folders. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}$/;

/** @throws {ArgumentError} when it is no name */
export function checkName(name: string): string {
  if (NAME.test(name)) return name;
  throw new ArgumentError(
    `Cannot use the name ${
      JSON.stringify(name)
    }: a name has 1 to 64 letters, digits, and any of _ . @ + - behind the first`,
  );
}

/**
 * Reads the arguments of the program. What is not one of its own long options
 * is for ssh.
 *
 * @throws {ArgumentError} with a message for the user
 */
export function parseArguments(args: readonly string[]): Task {
  const via: string[] = [];
  const given: Record<string, string | true> = {};
  let verbose = false;
  let at = 0;
  for (; at < args.length; at++) {
    const word = args[at]!;
    if (word === "-v") {
      verbose = true;
      continue;
    }
    if (word === "--" || !word.startsWith("--")) break;
    const [name, inline] = cut(word.slice(2));
    const takesValue = VALUED.has(name);
    if (!takesValue && !PLAIN.has(name)) {
      throw new ArgumentError(
        `Cannot understand --${name}: there is no such option; see fakessh --help`,
      );
    }
    if (!takesValue && inline !== undefined) {
      throw new ArgumentError(`Cannot give --${name} a value: it takes none`);
    }
    const value = takesValue ? inline ?? args[++at] : true;
    if (value === undefined || value === "") {
      throw new ArgumentError(
        `Cannot use --${name}: expected a value after it`,
      );
    }
    if (name === "via") via.push(value as string);
    else if (Object.hasOwn(given, name)) {
      throw new ArgumentError(`Cannot use --${name} twice`);
    } else given[name] = value;
  }
  const rest = args.slice(at);
  const own = Object.keys(given);
  if (given.help) return { kind: "help" };
  if (given.version) return { kind: "version" };
  const kinds = own.filter((name) => KINDS.has(name));
  if (kinds.length > 1) {
    throw new ArgumentError(`Cannot do --${kinds.join(" and --")} at once`);
  }
  const allowed = ALLOWED[kinds[0] ?? ""]!;
  for (const name of via.length > 0 ? [...own, "via"] : own) {
    if (!allowed.includes(name)) {
      const where = kinds[0] ? `with --${kinds[0]}` : "here";
      throw new ArgumentError(`Cannot use --${name} ${where}`);
    }
  }
  if (kinds[0] !== undefined && rest.length > 0) {
    throw new ArgumentError(
      `Cannot use ${JSON.stringify(rest[0])} with --${kinds[0]}`,
    );
  }
  switch (kinds[0]) {
    case "list":
      return { kind: "list", json: given.json === true };
    case "close":
      return { kind: "close", name: checkName(given.close as string) };
    case "open": {
      const name = checkName(given.open as string);
      return { kind: "open", name, via, idle: seconds(given.idle), verbose };
    }
  }
  if (via.length === 0) {
    // Nothing of ours: every word is ssh's, the -v as well.
    return { kind: "ssh", via, args: [...args], verbose: false };
  }
  if (rest[0] === "--") {
    const argv = rest.slice(1);
    if (argv.length === 0) {
      throw new ArgumentError("Cannot run a program: expected one after --");
    }
    return { kind: "run", via, argv, verbose };
  }
  return { kind: "ssh", via, args: rest, verbose };
}

const VALUED = new Set(["via", "open", "close", "idle"]);
const PLAIN = new Set(["list", "json", "help", "version"]);
const KINDS = new Set(["open", "close", "list"]);
const ALLOWED: Record<string, string[]> = {
  open: ["open", "via", "idle"],
  close: ["close"],
  list: ["list", "json"],
  "": ["via"],
};

function cut(word: string): [name: string, value: string | undefined] {
  const at = word.indexOf("=");
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

function seconds(text: string | true | undefined): number {
  if (text === undefined) return 0;
  const value = Number(text);
  if (/^\d{1,7}(\.\d+)?$/.test(String(text)) && value > 0) return value;
  throw new ArgumentError(
    `Cannot use --idle ${text}: expected a number of seconds above 0`,
  );
}
