/**
 * Contexts that are named by a text: `method:target?key=value&key=value`.
 *
 * What is special in a part is written as in a URL, `%40` for `@`. A spec may
 * come from a command line or a file: it holds no secret, and an error about
 * it repeats no value that could be one.
 *
 * @module
 */
import type { Methods } from "../core/mod.ts";
import {
  decode,
  type Grammar,
  GRAMMARS,
  optionsOf,
  Unfit,
} from "./spec_grammars.ts";

/** What a spec says. */
export interface Spec {
  /** The way in. */
  method: keyof Methods;
  /** Its options. */
  options: Record<string, unknown>;
}

/**
 * Reads a spec.
 *
 * @throws {SyntaxError} that says which part is wrong, and what would be right
 * @example
 * ```ts
 * import { parseSpec } from "@mitogen/mitogen/parent";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(parseSpec("ssh:deploy@web1:2222?compression=true"), {
 *   method: "ssh",
 *   options: { username: "deploy", hostname: "web1", port: 2222, compression: true },
 * });
 * ```
 */
export function parseSpec(spec: string): Spec {
  if (typeof spec !== "string") {
    throw new TypeError(
      `Cannot read a spec: expected text such as "ssh:web1", not ${typeof spec}`,
    );
  }
  const method = spec.match(/^[a-z]*(?=:)/)?.[0];
  if (method === undefined || !Object.hasOwn(GRAMMARS, method)) {
    const ways = Object.keys(GRAMMARS).map((name) => `${name}:`).join(", ");
    throw new SyntaxError(
      `Cannot read the spec ${shown("", spec)}: ${
        method
          ? `there is no way in of the name "${method}"`
          : "it begins with no way in"
      }; expected one of ${ways}, such as ssh:${safe(spec) || "host"}`,
    );
  }
  const grammar = (GRAMMARS as Record<string, Grammar<string>>)[method]!;
  const rest = spec.slice(method.length + 1);
  try {
    return { method: method as keyof Methods, options: read(grammar, rest) };
  } catch (error) {
    if (!(error instanceof Unfit)) throw error;
    throw new SyntaxError(
      `Cannot read the spec ${
        shown(`${method}:`, rest)
      }: ${error.message}; expected ${grammar.form}`,
    );
  }
}

/** What may be shown of a spec: no value of an option, nothing before an `@` that looks like a password. */
function safe(text: string): string {
  return text.replace(/\?[^]*/, "").replace(/:[^@]*@/, ":...@").slice(0, 200);
}

function shown(method: string, rest: string): string {
  return JSON.stringify(
    `${method}${safe(rest)}${rest.includes("?") ? "?..." : ""}`,
  );
}

function read(grammar: Grammar<string>, rest: string): Record<string, unknown> {
  const [target, query] = cut(rest, "?");
  const options = grammar.target(target);
  if (query !== undefined) {
    for (const part of query.split("&")) {
      const [key, value] = cut(part, "=");
      set(grammar, options, decode("name of an option", key), value);
    }
  }
  const missing = grammar.missing?.(options);
  if (missing !== undefined) throw new Unfit(missing);
  return options;
}

/** The text before the first separator, and that after it. */
function cut(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

/** Puts one option in, once. `deno.path` is the `path` of `deno`. */
function set(
  grammar: Grammar<string>,
  options: Record<string, unknown>,
  key: string,
  text: string | undefined,
): void {
  const table = optionsOf(grammar);
  const reader = Object.hasOwn(table, key)
    ? table[key]
    : /^env\.[A-Za-z_][A-Za-z0-9_]*$/.test(key)
    ? table["env.NAME"]
    : undefined;
  if (!reader) {
    throw new Unfit(
      `there is no option ${JSON.stringify(key.slice(0, 50))}, only ${
        Object.keys(table).join(", ")
      }`,
    );
  }
  const [group, name] = cut(key, ".");
  const into = name === undefined
    ? options
    : (options[group] ??= {}) as Record<string, unknown>;
  const at = name ?? key;
  const before = Object.hasOwn(into, at) ? into[at] : undefined;
  if (before !== undefined && !Array.isArray(before)) {
    throw new Unfit(`"${key}" is given twice`);
  }
  const value = reader(key, text === undefined ? text : decode(key, text));
  // Not an assignment: the variable may be called __proto__.
  Object.defineProperty(into, at, {
    value: before ? [...before as string[], ...value as string[]] : value,
    enumerable: true,
    configurable: true,
    writable: true,
  });
}
