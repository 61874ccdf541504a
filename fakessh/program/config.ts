import { join } from "node:path";
import { ArgumentError, checkName } from "./arguments.ts";

/** Names, and the chain of hops that each stands for. */
export type Names = Map<string, string[]>;

/** Where the configuration is. */
export function configFile(): string {
  const base = Deno.env.get("XDG_CONFIG_HOME") ||
    join(Deno.env.get("HOME") ?? "/", ".config");
  return join(base, "fakessh", "config.json");
}

/**
 * Reads the configuration; a file that is not there has no names.
 *
 * @throws {ArgumentError} when it is not as it should be
 */
export async function readConfig(path = configFile()): Promise<Names> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return new Map();
    throw new ArgumentError(`Cannot read ${path}: ${(error as Error).message}`);
  }
  const wrong = (what: string) =>
    new ArgumentError(`Cannot use ${path}: ${what}`);
  let config: { names?: Record<string, unknown> };
  try {
    config = JSON.parse(text);
  } catch (error) {
    throw wrong((error as Error).message);
  }
  const names: Names = new Map();
  for (const [name, chain] of Object.entries(config?.names ?? {})) {
    checkName(name);
    const hops = typeof chain === "string" ? [chain] : chain;
    if (
      !Array.isArray(hops) || hops.length === 0 ||
      !hops.every((hop) => typeof hop === "string")
    ) {
      throw wrong(
        `"${name}" is not a hop such as "ssh:web1", or a list of them`,
      );
    }
    names.set(name, hops);
  }
  return names;
}

/**
 * Hops with every name in them replaced by what it stands for.
 *
 * @throws {ArgumentError} when one stands for nothing, or for itself
 */
export function resolveHops(
  hops: readonly string[],
  names: Names,
  within: readonly string[] = [],
): string[] {
  return hops.flatMap((hop) => {
    if (hop.includes(":")) return [hop];
    const chain = names.get(hop);
    if (!chain) {
      throw new ArgumentError(
        `Cannot find "${hop}": nothing of this name is open, and ${configFile()} does not have it; a hop is written like ssh:${hop}`,
      );
    }
    if (within.includes(hop)) {
      throw new ArgumentError(`Cannot use "${hop}": it stands for itself`);
    }
    return resolveHops(chain, names, [...within, hop]);
  });
}
