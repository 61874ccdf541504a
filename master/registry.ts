import { createHash } from "node:crypto";

const DEFAULT_REGISTRY = "https://registry.npmjs.org/";

/** Bytes of a package that are taken; Deno's have 40 MB. */
const MAX_TARBALL = 300 * 1024 * 1024;

/** Where npm packages come from, and what to show there. */
export interface Registry {
  url: URL;
  headers: Record<string, string>;
}

/**
 * The registry that npm would ask for Deno's packages: from the environment,
 * from the `.npmrc` of the folder and of the user. What this program may not
 * read is taken for absent.
 */
export async function registryOf(scope: string): Promise<Registry> {
  const settings = new Map<string, string>();
  const home = variable("HOME") ?? variable("USERPROFILE");
  for (const folder of [home, "."]) {
    if (folder === undefined) continue;
    const text = await Deno.readTextFile(`${folder}/.npmrc`).catch(() => "");
    for (
      const [, key, value] of text.matchAll(/^\s*([^#;=\s]+)\s*=\s*(.*?)\s*$/gm)
    ) {
      settings.set(key!, expand(value!.replace(/^"(.*)"$/, "$1")));
    }
  }
  const address = settings.get(`${scope}:registry`) ??
    variable("NPM_CONFIG_REGISTRY") ?? variable("npm_config_registry") ??
    settings.get("registry") ?? DEFAULT_REGISTRY;
  let url;
  try {
    url = new URL(address.endsWith("/") ? address : `${address}/`);
  } catch (cause) {
    throw new TypeError(`Cannot use the npm registry "${address}": no URL`, {
      cause,
    });
  }
  const token = settings.get(`//${url.host}${url.pathname}:_authToken`);
  return {
    url,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  };
}

/** `${NAME}` in a value stands for a variable, as npm has it. */
function expand(value: string): string {
  return value.replace(
    /\$\{(\w+)\}/g,
    (all, name: string) => variable(name) ?? all,
  );
}

/** A variable of the environment, if it is set and may be read. */
function variable(name: string): string | undefined {
  const descriptor = { name: "env", variable: name } as const;
  const { state } = Deno.permissions.querySync(descriptor);
  return state === "granted" ? Deno.env.get(name) : undefined;
}

/**
 * Fetches Deno's executable for another platform or version.
 *
 * @param name the npm package, such as `@deno/linux-arm64-glibc`
 * @throws {Error} when it cannot be had, or is not what the registry says it is
 */
export async function fetchRuntime(
  name: string,
  version: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const { url, headers } = await registryOf(name.split("/")[0]!);
  const what =
    `Deno ${version} could not be fetched (${name} from ${url.host})`;
  try {
    const response = await get(new URL(name.replace("/", "%2f"), url), {
      ...headers,
      accept: "application/vnd.npm.install-v1+json, application/json",
    });
    const { versions } = await response.json();
    const dist = Object.hasOwn(versions, version)
      ? versions[version].dist
      : undefined;
    if (!dist) throw new Error("there is no such version");
    const from = new URL(dist.tarball, url);
    // The token is for the registry only, wherever the file is.
    const bytes = await download(from, from.host === url.host ? headers : {});
    check(bytes, dist.integrity);
    return await executable(bytes);
  } catch (error) {
    throw new Error(`${what}: ${(error as Error).message}`, { cause: error });
  }
}

async function get(
  url: URL,
  headers: Record<string, string>,
): Promise<Response> {
  const response = await fetch(url, { headers });
  if (response.ok) return response;
  await response.body?.cancel();
  throw new Error(`${url} answered ${response.status}`);
}

async function download(
  url: URL,
  headers: Record<string, string>,
): Promise<Uint8Array<ArrayBuffer>> {
  const response = await get(url, headers);
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for await (const part of response.body!) {
    size += part.length;
    if (size > MAX_TARBALL) throw new Error(`${url} is too large`);
    parts.push(part);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** Holds a file against what the registry says: `sha512-...`, in base64. */
function check(bytes: Uint8Array, integrity: unknown): void {
  const match = String(integrity).match(/\bsha512-([A-Za-z0-9+\/]+=*)/);
  if (!match) throw new Error("the registry has no SHA-512 for it");
  const hash = createHash("sha512").update(bytes).digest("base64");
  if (hash !== match[1]) {
    throw new Error("it is not what the registry says: its SHA-512 differs");
  }
}

/** Bytes of a header, and what files are padded to. */
const BLOCK = 512;

/** Takes `package/deno` out of the package, a compressed tar. */
async function executable(
  tarball: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([tarball]).stream()
    .pipeThrough(new DecompressionStream("gzip"));
  const tar = new Uint8Array(await new Response(stream).arrayBuffer());
  const text = (from: number, to: number) =>
    new TextDecoder().decode(tar.subarray(from, to)).split("\0", 1)[0]!;
  for (let at = 0; at + BLOCK <= tar.length;) {
    const name = text(at, at + 100);
    const size = parseInt(text(at + 124, at + 136), 8);
    if (name === "" || !(size >= 0)) break;
    const from = at + BLOCK;
    if (name === "package/deno" && from + size <= tar.length) {
      return tar.slice(from, from + size);
    }
    at = from + Math.ceil(size / BLOCK) * BLOCK;
  }
  throw new Error("there is no executable in the package");
}
