import { fileURLToPath } from "node:url";
import type { ModuleRecord } from "../core/mod.ts";
import { type Graph, type GraphModule, loadGraph } from "./graph.ts";
import { type Export, Identifier } from "./identify.ts";
import { bundleNpm } from "./npm.ts";
import { asModule, dropAttributes, transpile } from "./transpile.ts";

/** Where the finder finds things. */
export interface FinderOptions {
  /** The Deno that knows the program. Default: the one that runs it. */
  denoPath?: string;
  /** URL of the folder of this library. */
  libraryRoot?: string;
}

/** Finds the modules of the user's program and makes them fit to be shipped. */
export class Finder {
  /**
   * The one for all routers: there is one program. Like the runtime's own cache
   * of modules it keeps what it has read until the program ends.
   */
  static readonly ofProgram: Finder = new Finder();

  readonly #denoPath: string;
  readonly #library: string;
  readonly #graphs = new Map<string, Promise<Graph>>();
  readonly #records = new Map<string, Promise<ModuleRecord>>();
  readonly #identifier: Identifier;

  constructor(options: FinderOptions = {}) {
    this.#denoPath = options.denoPath ?? Deno.execPath();
    this.#library = options.libraryRoot ?? new URL("../", import.meta.url).href;
    this.#identifier = new Identifier(this);
  }

  /**
   * The module that exports a function, if one of the program does.
   *
   * @param callers URLs of modules that are part of the program
   */
  identify(
    fn: (...args: never[]) => unknown,
    callers: string[],
  ): Promise<Export | undefined> {
    return this.#identifier.identify(
      fn,
      callers.filter((url) => this.roomOf(url) === undefined),
    );
  }

  /** Whether a function was found to be exported before. */
  isExported(fn: object): boolean {
    return this.#identifier.knows(fn);
  }

  /** The graph of a module; asked for once. */
  graph(root: string): Promise<Graph> {
    let graph = this.#graphs.get(root);
    if (!graph) {
      graph = loadGraph(root, this.#denoPath);
      this.#graphs.set(root, graph);
      graph.catch(() => this.#graphs.delete(root));
    }
    return graph;
  }

  /**
   * What a module of this library is called in a context: there it is the one
   * that runs, never another copy.
   */
  roomOf(url: string): string | undefined {
    if (!url.startsWith(this.#library)) return undefined;
    const path = url.slice(this.#library.length);
    const room = path === "mod.ts"
      ? "mod"
      : path.match(/^(core|parent|master|fakessh)\//)?.[1];
    return room && `mitogen:${room}`;
  }

  /**
   * A module and everything that it imports, static or by a literal
   * `import()`. Every module is read once, when it is first needed.
   *
   * @throws {TypeError} when one of them cannot be had; names it and who imports it
   */
  async closure(root: string): Promise<ModuleRecord[]> {
    if (root.startsWith("npm:")) return [await this.#npm(root)];
    const graph = await this.graph(root);
    const records: ModuleRecord[] = [];
    const seen = new Set<string>();
    const queue: [url: string, importer: string, optional: boolean][] = [
      [root, "", false],
    ];
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [url, importer, optional] = next;
      if (seen.has(url) || url.startsWith("node:")) continue;
      if (this.roomOf(url)) continue;
      seen.add(url);
      try {
        const record = await this.#record(graph, url);
        records.push(url === root ? { ...record, url: root } : record);
      } catch (error) {
        // An import() that cannot be had fails when it is run, if it is.
        if (optional) continue;
        const by = importer && ` (imported by ${importer})`;
        throw new TypeError(`${(error as Error).message}${by}`, {
          cause: error,
        });
      }
      for (const { url: target, dynamic } of graph.get(url)!.dependencies) {
        if (target) queue.push([target, url, optional || dynamic]);
      }
    }
    return records;
  }

  #record(graph: Graph, url: string): Promise<ModuleRecord> {
    let record = this.#records.get(url);
    if (!record) {
      record = this.#make(graph, url);
      this.#records.set(url, record);
      record.catch(() => this.#records.delete(url));
    }
    return record;
  }

  async #npm(url: string): Promise<ModuleRecord> {
    const source = await bundleNpm(url, this.#denoPath);
    return { url, type: "module", source, imports: {} };
  }

  async #make(graph: Graph, url: string): Promise<ModuleRecord> {
    const module = graph.get(url);
    if (url.startsWith("npm:")) return await this.#npm(url);
    if (!module) {
      throw new TypeError(`Cannot ship ${url}: Deno does not know it`);
    }
    if (module.error) {
      throw new TypeError(`Cannot ship ${url}: ${module.error}`);
    }
    const data = await this.#read(module);
    if (module.kind === "external") {
      const source = asModule(data, this.#attribute(graph, url));
      return { url, type: "module", source, imports: {} };
    }
    const text = new TextDecoder().decode(data);
    if (module.mediaType === "Json") {
      return { url, type: "json", source: text, imports: {} };
    }
    let source = transpile(url, text, module.mediaType);
    const imports: Record<string, string> = {};
    for (const dependency of module.dependencies) {
      const { specifier, url: target, error, dynamic, attribute } = dependency;
      if (target === undefined) {
        if (dynamic) continue;
        throw new TypeError(
          `Cannot ship ${url}: "${specifier}" stands for nothing: ${error}`,
        );
      }
      if (attribute === "text" || attribute === "bytes") {
        source = dropAttributes(source);
      }
      if (!target.startsWith("node:")) {
        imports[specifier] = this.roomOf(target) ?? target;
      }
    }
    return { url, type: "module", source, imports };
  }

  async #read({ url, local }: GraphModule): Promise<Uint8Array> {
    const path = local ?? (url.startsWith("file:") ? fileURLToPath(url) : "");
    try {
      return await Deno.readFile(path);
    } catch (error) {
      throw new TypeError(
        `Cannot ship ${url}: ${(error as Error).message}`,
        { cause: error },
      );
    }
  }

  /** The attribute with which somebody imports a file. */
  #attribute(graph: Graph, url: string): string {
    for (const { dependencies } of graph.values()) {
      for (const dependency of dependencies) {
        if (dependency.url === url && dependency.attribute) {
          return dependency.attribute;
        }
      }
    }
    return "text";
  }

  /** The JavaScript of a module of a graph. */
  async source(graph: Graph, url: string): Promise<string> {
    return (await this.#record(graph, url)).source;
  }
}
