import type { Permissions } from "../core/mod.ts";

const NAMES = [
  "read",
  "write",
  "net",
  "env",
  "run",
  "sys",
  "ffi",
  "import",
] as const;

type Name = (typeof NAMES)[number];

/**
 * The permissions of this process, as far as it can know them.
 *
 * Deno says whether all of a kind is granted, not which parts of it: a kind
 * that is granted in part counts as not granted, so that nothing is passed on
 * that was not there.
 */
export function ownPermissions(): Deno.PermissionOptionsObject {
  const own: Deno.PermissionOptionsObject = {};
  for (const name of NAMES) {
    const { state, partial } = Deno.permissions.querySync(
      { name } as Deno.PermissionDescriptor,
    );
    if (state === "granted" && !partial) own[name] = true;
  }
  return own;
}

/** What a context is really given: `inherit` and `none` spelled out. */
export function resolvePermissions(
  permissions: Permissions = "inherit",
): Deno.PermissionOptionsObject {
  if (permissions === "none") return {};
  if (permissions === "inherit") return ownPermissions();
  const own = ownPermissions();
  const resolved: Deno.PermissionOptionsObject = {};
  for (const [name, value] of Object.entries(permissions)) {
    if (!NAMES.includes(name as Name)) {
      throw new TypeError(
        `Cannot grant the permission "${name}": there is none of that name, only ${
          NAMES.join(", ")
        }`,
      );
    }
    const granted = value === "inherit" ? own[name as Name] ?? false : value;
    if (granted !== false && granted !== undefined) {
      Object.assign(resolved, { [name]: granted });
    }
  }
  return resolved;
}

/**
 * The flags that give a process these permissions.
 *
 * @throws {TypeError} when a value cannot be written as a flag
 */
export function permissionFlags(
  permissions: Deno.PermissionOptionsObject,
): string[] {
  const flags: string[] = [];
  for (const name of NAMES) {
    const value: boolean | string | (string | URL)[] | undefined =
      permissions[name];
    if (value === undefined || value === false) continue;
    if (value === true) {
      flags.push(`--allow-${name}`);
      continue;
    }
    if (!Array.isArray(value)) {
      throw new TypeError(
        `Cannot grant ${name}: expected true, false or a list, not ${
          JSON.stringify(value)
        }`,
      );
    }
    // An empty flag would grant all of the kind.
    if (value.length === 0) continue;
    flags.push(`--allow-${name}=${value.map((v) => item(name, v)).join(",")}`);
  }
  return flags.length === NAMES.length && flags.every((f) => !f.includes("="))
    ? ["-A"]
    : flags;
}

function item(name: string, value: string | URL): string {
  const text = value instanceof URL
    ? decodeURIComponent(value.pathname)
    : String(value);
  if (text === "" || text.includes(",")) {
    throw new TypeError(
      `Cannot grant ${name} for ${
        JSON.stringify(text)
      }: Deno cannot take an empty name or a comma in this flag`,
    );
  }
  return text;
}
