import {
  ConnectError,
  type Context,
  errorMessage,
  type LogRecord,
  type Methods,
  type Prompt,
  type Router,
} from "../../core/mod.ts";
import { parseSpec } from "../../parent/mod.ts";
import type { Ask } from "./ask.ts";

/** Makes the user's router; the rooms below know none. */
export type MakeRouter = (onLog: (record: LogRecord) => void) => Router;

/** Ways in that ask for a password, where none is given. */
const ASKING = new Set(["sudo", "su", "doas"]);

/** Opens a hop. What it asks for is asked of whoever is there. */
async function openHop(
  router: Router,
  spec: string,
  via: Context | undefined,
  ask: Ask | undefined,
): Promise<Context> {
  const { method, options } = parseSpec(spec);
  const all: Record<string, unknown> = via ? { ...options, via } : options;
  if (ask && ASKING.has(method)) {
    all.password ??= () => ask(`Password for ${spec}: `);
  }
  if (ask && method === "ssh") {
    all.onPrompt = ({ text }: Prompt) => ask(`${spec}: ${text}`);
  }
  if (
    Deno.build.standalone && !via && (ASKING.has(method) || method === "local")
  ) {
    // There may be no other Deno on this machine: see `runtime.ts`.
    all.deno ??= { path: Deno.execPath() };
  }
  return await router.open(method, all as Methods[typeof method]);
}

/** Where people are told what happens. */
export interface Teller {
  /** What is being done now; the next replaces it. */
  progress(text: string): void;
  /** Something that stays. */
  line(text: string): void;
}

/** Tells on stderr: all of it, or, on a terminal, what is being done. */
export function tellerOnStderr(verbose: boolean): Teller {
  const terminal = Deno.stderr.isTerminal();
  const write = (text: string) => {
    try {
      Deno.stderr.writeSync(new TextEncoder().encode(text));
    } catch {
      // Nobody is there to be told.
    }
  };
  return {
    progress(text) {
      if (verbose) {
        if (text !== "") write(`fakessh: ${text}\r\n`);
      } else if (terminal) {
        write(text === "" ? "\r\x1b[K" : `\r\x1b[Kfakessh: ${text}`);
      }
    },
    line(text) {
      write(`${terminal && !verbose ? "\r\x1b[K" : ""}fakessh: ${text}\r\n`);
    },
  };
}

/** Opens a chain of hops, and answers the last. */
export async function openChain(
  router: Router,
  hops: readonly string[],
  ask: Ask | undefined,
  teller: Teller,
): Promise<Context> {
  let context: Context | undefined;
  for (const [index, hop] of hops.entries()) {
    const step = hops.length > 1 ? ` (${index + 1} of ${hops.length})` : "";
    teller.progress(`connecting ${hop}${step}`);
    const begin = performance.now();
    context = await openHop(router, hop, context, ask);
    const time = Math.round(performance.now() - begin);
    teller.progress(`${context.path} is there, in ${time} ms`);
  }
  teller.progress("");
  return context!;
}

/** Why a chain could not be made, for people. */
export function describeFailure(error: unknown): string {
  const message = errorMessage(error);
  if (!(error instanceof ConnectError) || error.tail === "") return message;
  const said = error.tail.trim().split("\n")
    .filter((line) => !message.includes(line.trim()));
  return said.length === 0
    ? message
    : `${message}\r\n${said.map((line) => `  ${line}`).join("\r\n")}`;
}
