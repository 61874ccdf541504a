/**
 * Makes `master/pack.gen.ts`: what children are sent, bundled, minified and
 * compressed. `--check` only says whether it is stale.
 *
 * @module
 */
import { deflateRawSync } from "node:zlib";
import { dirname, fromFileUrl, join, relative } from "@std/path";

const ROOT = dirname(dirname(fromFileUrl(import.meta.url)));
const TARGET = join(ROOT, "master/pack.gen.ts");

/** The rooms that are sent, and where each begins. */
const ROOMS = {
  core: "core/mod.ts",
  mod: "core/mod_child.ts",
  parent: "parent/mod.ts",
  fakessh: "fakessh/mod.ts",
};

/** What the pack is made of: the files of the rooms, and this tool. */
async function inputs(): Promise<string[]> {
  const files = ["tools/pack.ts"];
  async function walk(folder: string): Promise<void> {
    for await (const entry of Deno.readDir(join(ROOT, folder))) {
      const path = join(folder, entry.name);
      if (entry.isDirectory) await walk(path);
      else if (path.endsWith(".ts")) files.push(path);
    }
  }
  await walk("core");
  await walk("parent");
  await walk("fakessh");
  return files.sort();
}

/** One number for all inputs: the pack is stale when it differs. */
export async function inputHash(): Promise<string> {
  const parts: string[] = [];
  for (const file of await inputs()) {
    parts.push(file, await Deno.readTextFile(join(ROOT, file)));
  }
  const bytes = new TextEncoder().encode(parts.join("\0"));
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return new Uint8Array(digest).toHex();
}

/** Rooms of which a context has one instance, whoever imports them. */
const SHARED = {
  [ROOMS.core]: "mitogen:core",
  [ROOMS.parent]: "mitogen:parent",
};

/**
 * Bundles a room. What it takes from another room is left to be imported from
 * the one that runs in the child: there is one instance of everything.
 */
async function bundle(entry: string, folder: string): Promise<string> {
  for (const file of await inputs()) {
    let text = await Deno.readTextFile(join(ROOT, file));
    const to = join(folder, file);
    await Deno.mkdir(dirname(to), { recursive: true });
    for (const [room, url] of Object.entries(SHARED)) {
      if (entry === room) continue;
      const path = relative(dirname(file), room);
      const specifier = path.startsWith(".") ? path : `./${path}`;
      text = text.replaceAll(`"${specifier}"`, `"${url}"`);
    }
    await Deno.writeTextFile(to, text);
  }
  const output = join(folder, "out.js");
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "bundle",
      "--quiet",
      "--minify",
      "--no-lock",
      "--platform=deno",
      ...Object.values(SHARED).map((url) => `--external=${url}`),
      "--output",
      output,
      join(folder, entry),
    ],
    cwd: folder,
    stderr: "piped",
  }).output();
  if (!success) {
    throw new Error(
      `Cannot bundle ${entry}: ${new TextDecoder().decode(stderr)}`,
    );
  }
  return await Deno.readTextFile(output);
}

/** The generated file as it should be now. */
async function generate(): Promise<string> {
  const lines = [
    "// Made by `deno task pack` from core/, parent/ and fakessh/. Do not edit.",
    `export const hash = "${await inputHash()}";`,
  ];
  for (const [name, entry] of Object.entries(ROOMS)) {
    const folder = await Deno.makeTempDir({ prefix: "mitogen-pack-" });
    try {
      const source = await bundle(entry, folder);
      const data = deflateRawSync(source, { level: 9 }).toString("base64");
      lines.push(`export const ${name} =\n  "${data}";`);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
  return lines.join("\n") + "\n";
}

/** Whether the generated file was made of what is there now. */
export async function isFresh(): Promise<boolean> {
  try {
    const text = await Deno.readTextFile(TARGET);
    return text.includes(`export const hash = "${await inputHash()}";`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

if (import.meta.main) {
  if (Deno.args.includes("--check")) {
    if (!await isFresh()) {
      console.error("master/pack.gen.ts is stale: run `deno task pack`");
      Deno.exit(1);
    }
  } else {
    await Deno.writeTextFile(TARGET, await generate());
    console.log(`wrote ${relative(ROOT, TARGET)}`);
  }
}
