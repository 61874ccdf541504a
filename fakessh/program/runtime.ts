/**
 * A compiled program is the runtime of the contexts that it opens: there may be
 * no other here. The first stage calls it as it calls Deno, with
 * `run FLAGS data:...`.
 *
 * @module
 */

/** Kinds of permissions, as flags name them. */
const KINDS = ["read", "write", "net", "env", "run", "sys", "ffi", "import"];

/** The module that the first stage asks to be run; `undefined` when it is not it. */
export function bootModule(args: readonly string[]): string | undefined {
  const url = args.at(-1);
  return args[0] === "run" && url?.startsWith("data:application/javascript,")
    ? url
    : undefined;
}

/**
 * Gives up what the flags do not grant.
 *
 * @throws {TypeError} when they grant a part of a kind: only all of one can be given up
 */
export async function narrow(args: readonly string[]): Promise<void> {
  const granted = new Set<string>();
  for (const flag of args) {
    if (flag === "-A" || flag === "--allow-all") return;
    const [, kind, part] = flag.match(/^--allow-([a-z]+)(=.*)?$/) ?? [];
    if (kind === undefined) continue;
    if (part !== undefined) {
      throw new TypeError(
        `Cannot grant ${flag}: a compiled program can give up all of a kind of permission or nothing of it; install Deno there, or grant all of it`,
      );
    }
    granted.add(kind);
  }
  for (const name of KINDS.filter((kind) => !granted.has(kind))) {
    await Deno.permissions.revoke({ name } as Deno.PermissionDescriptor);
  }
}
