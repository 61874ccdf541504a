// The real std from npm, which comes without types: these are the ones in use.
import * as args from "npm:deno-std@1.4.0/cli/parse_args.js";

export interface ParseOptions {
  alias?: Record<string, string | readonly string[]>;
  boolean?: boolean | string | readonly string[];
  collect?: string | readonly string[];
  default?: Record<string, unknown>;
  negatable?: string | readonly string[];
  stopEarly?: boolean;
  string?: string | readonly string[];
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
  "--"?: boolean;
}

// deno-lint-ignore no-explicit-any
export type Args = { [name: string]: any; _: (string | number)[] };

export const { parseArgs } = args as unknown as {
  parseArgs(args: readonly string[], options?: ParseOptions): Args;
};
