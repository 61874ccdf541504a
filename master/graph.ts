import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/** One import of a module. */
export interface Dependency {
  /** As it is written. */
  specifier: string;
  /** What it stands for; unset when it stands for nothing. */
  url?: string;
  /** Why it stands for nothing. */
  error?: string;
  /** Whether it is an `import()`. */
  dynamic: boolean;
  /** The `type` of its import attributes. */
  attribute?: string;
}

/** One module of a program, as Deno sees it. */
export interface GraphModule {
  url: string;
  kind: "esm" | "asserted" | "external" | "npm" | "node";
  mediaType: string;
  /** The file that holds its source. */
  local?: string;
  /** Why it cannot be had. */
  error?: string;
  dependencies: Dependency[];
}

/** The modules that a root leads to, by URL. */
export type Graph = ReadonlyMap<string, GraphModule>;

interface InfoTarget {
  specifier?: string;
  error?: string;
}

interface Info {
  roots: string[];
  redirects?: Record<string, string>;
  modules: {
    specifier: string;
    kind?: GraphModule["kind"];
    mediaType?: string;
    local?: string;
    error?: string;
    dependencies?: {
      specifier: string;
      code?: InfoTarget;
      isDynamic?: boolean;
      assertionType?: string;
      npmPackage?: string;
    }[];
  }[];
}

/**
 * The folder from which Deno finds the program's configuration. The program's
 * own import map, packages and workspace hold for all that it ships.
 */
function programFolder(): string {
  return Deno.mainModule.startsWith("file:")
    ? dirname(fileURLToPath(Deno.mainModule))
    : Deno.cwd();
}

/**
 * Asks Deno for the graph of a module, so that everything in it stands for
 * just what it stands for in the program itself.
 *
 * @throws {TypeError} when Deno cannot tell
 */
export async function loadGraph(
  root: string,
  denoPath: string,
): Promise<Graph> {
  const { success, stdout, stderr } = await new Deno.Command(denoPath, {
    args: ["info", "--json", "--unstable-raw-imports", root],
    cwd: programFolder(),
    stdin: "null",
  }).output();
  if (!success) {
    throw new TypeError(
      `Cannot find what ${root} imports: ${
        new TextDecoder().decode(stderr).trim()
      }`,
    );
  }
  const info: Info = JSON.parse(new TextDecoder().decode(stdout));
  const redirects = info.redirects ?? {};
  const final = (url: string): string => {
    const next = redirects[url];
    return next === undefined || next === url ? url : final(next);
  };
  const graph = new Map<string, GraphModule>();
  for (const module of info.modules) {
    const { specifier, kind = "esm", mediaType = "Unknown" } = module;
    const dependencies: Dependency[] = [];
    for (const dependency of module.dependencies ?? []) {
      const { specifier, code, isDynamic, assertionType } = dependency;
      // Without code it is there for types only, and gone when it runs.
      if (!code) continue;
      dependencies.push({
        specifier,
        dynamic: isDynamic ?? false,
        ...(code.specifier === undefined ? {} : { url: final(code.specifier) }),
        ...(code.error === undefined ? {} : { error: code.error }),
        ...(assertionType === undefined ? {} : { attribute: assertionType }),
      });
    }
    graph.set(specifier, {
      url: specifier,
      kind,
      mediaType,
      dependencies,
      ...(module.local === undefined ? {} : { local: module.local }),
      ...(module.error === undefined ? {} : { error: module.error }),
    });
  }
  const first = final(info.roots[0] ?? root);
  if (first !== root && graph.has(first)) graph.set(root, graph.get(first)!);
  return graph;
}
