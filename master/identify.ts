import {
  children,
  isNode,
  type Node,
  parseFunction,
  parseModule,
  shape,
} from "./ast.ts";
import type { Finder } from "./finder.ts";
import type { Graph } from "./graph.ts";

type Fn = (...args: never[]) => unknown;

/** Where a function is exported. */
export interface Export {
  url: string;
  /** Such as `run`, `default`, or `Class.method`. */
  name: string;
  /** Whether to evaluate the module would do more than to declare things. */
  acts?: boolean;
}

/**
 * Finds the module that exports a function.
 *
 * A function does not know where it was born, so the modules of the program
 * are imported once more - which runs nothing, they are loaded - and what they
 * export is compared with it. A module that is still being evaluated cannot be
 * imported without waiting for itself: its exports are compared by source.
 */
export class Identifier {
  readonly #finder: Finder;
  readonly #exports = new WeakMap<object, Export>();
  readonly #indexed = new Set<string>();
  /** Names and syntax trees of what modules export that may be unfinished. */
  readonly #declared = new Map<string, Promise<Declared>>();

  constructor(finder: Finder) {
    this.#finder = finder;
  }

  /** Whether a function was found before. */
  knows(fn: object): boolean {
    return this.#exports.has(fn);
  }

  /** Where a function is exported, if it is. */
  async identify(fn: Fn, callers: string[]): Promise<Export | undefined> {
    const roots = [Deno.mainModule, ...callers];
    const graphs: Graph[] = [];
    const unfinished = new Set<string>(roots);
    for (const root of new Set(roots)) {
      // The main module of a test run or a REPL is not a file: it has no graph.
      const graph = await this.#finder.graph(root).catch(() => undefined);
      if (!graph) continue;
      graphs.push(graph);
      for (const url of importers(graph, unfinished)) unfinished.add(url);
    }
    const dynamic: string[] = [];
    for (const graph of graphs) {
      const { still, dynamic: later } = reachable(graph, roots);
      dynamic.push(...later);
      for (const url of still) {
        if (!unfinished.has(url)) await this.#index(url);
      }
    }
    const known = this.#exports.get(fn);
    if (known) return known;
    const source = Function.prototype.toString.call(fn);
    for (const graph of graphs) {
      for (const url of unfinished) {
        if (!graph.has(url)) continue;
        const found = await this.#match(graph, url, fn, source);
        if (!found) continue;
        this.#exports.set(fn, found);
        return found;
      }
    }
    for (const url of dynamic) {
      // Importing it runs it, if the program has not done so: only where the
      // function seems to come from there.
      if (unfinished.has(url) || !await this.#mentions(graphs, url, fn.name)) {
        continue;
      }
      await this.#index(url);
      const found = this.#exports.get(fn);
      if (found) return found;
    }
    return undefined;
  }

  /** Notes what a loaded module exports. */
  async #index(url: string): Promise<void> {
    if (this.#indexed.has(url) || this.#finder.roomOf(url)) return;
    this.#indexed.add(url);
    let module: Record<string, unknown>;
    try {
      module = await import(url);
    } catch {
      return;
    }
    const note = (value: unknown, name: string) => {
      if (typeof value === "function" && !this.#exports.has(value)) {
        this.#exports.set(value, { url, name });
      }
    };
    for (const [name, value] of Object.entries(module)) {
      note(value, name);
      const holder = typeof value === "function" ||
        typeof value === "object" && value !== null &&
          Object.getPrototypeOf(value) === Object.prototype;
      if (!holder) continue;
      const members = Object.getOwnPropertyDescriptors(value);
      for (const [member, { value }] of Object.entries(members)) {
        if (!member.includes(".") && member !== "constructor") {
          note(value, `${name}.${member}`);
        }
      }
    }
  }

  async #mentions(
    graphs: Graph[],
    url: string,
    name: string,
  ): Promise<boolean> {
    if (name === "") return false;
    for (const graph of graphs) {
      if (!graph.has(url)) continue;
      const source = await this.#finder.source(graph, url).catch(() => "");
      if (source.includes(name)) return true;
    }
    return false;
  }

  /** The name under which an unfinished module exports this very source. */
  async #match(
    graph: Graph,
    url: string,
    fn: Fn,
    source: string,
  ): Promise<Export | undefined> {
    let declared = this.#declared.get(url);
    if (!declared) {
      declared = this.#finder.source(graph, url).then(declaredIn);
      declared.catch(() => {});
      this.#declared.set(url, declared);
    }
    const { exports, acts } = await declared.catch(() => NOTHING);
    const last = (name: string) => name.slice(name.lastIndexOf(".") + 1);
    // By name and by source: a local function of the same name is another one.
    const named = [...exports].filter(([name]) =>
      last(name) === fn.name || name === "default"
    );
    if (named.length === 0) return undefined;
    const node = parseFunction(source)?.node;
    if (!node) return undefined;
    const wanted = JSON.stringify(shape(node));
    const name = named.find(([, shape]) => shape === wanted)?.[0];
    return name === undefined ? undefined : { url, name, acts };
  }
}

/** The modules that lead to one of these. */
function importers(graph: Graph, targets: ReadonlySet<string>): Set<string> {
  const found = new Set(targets);
  for (let grown = true; grown;) {
    grown = false;
    for (const { url, dependencies } of graph.values()) {
      if (found.has(url)) continue;
      if (dependencies.some((d) => !d.dynamic && d.url && found.has(d.url))) {
        found.add(url);
        grown = true;
      }
    }
  }
  return found;
}

/** What the roots import at once, and what only by `import()`. */
function reachable(
  graph: Graph,
  roots: readonly string[],
): { still: string[]; dynamic: string[] } {
  const still = new Set<string>();
  const dynamic = new Set<string>();
  const walk = (url: string) => {
    if (still.has(url)) return;
    still.add(url);
    for (const dependency of graph.get(url)?.dependencies ?? []) {
      if (!dependency.url || dependency.attribute) continue;
      if (dependency.dynamic) dynamic.add(dependency.url);
      else walk(dependency.url);
    }
  };
  for (const root of roots) if (graph.has(root)) walk(root);
  return {
    still: [...still],
    dynamic: [...dynamic].filter((url) => !still.has(url)),
  };
}

/** What a module says of itself. */
interface Declared {
  /** What it exports of its own, as comparable trees. */
  exports: Map<string, string>;
  acts: boolean;
}

const NOTHING: Declared = { exports: new Map(), acts: false };

function declaredIn(source: string): Declared {
  const body = parseModule(source).body as Node[];
  return { exports: exportedShapes(body), acts: body.some(acts) };
}

/**
 * Whether a statement at the top level does something when it is evaluated,
 * such as to call. What is behind `if (import.meta.main)` is not evaluated
 * where the module is shipped to.
 */
function acts(node: Node): boolean {
  if (node.type === "IfStatement" && isMain(node.test as Node)) return false;
  if (/Function|^Class|^Import/.test(node.type)) return false;
  return /^(Call|New|Await|TaggedTemplate)Expression$|^For/.test(node.type) ||
    node.await === true || [...children(node)].some(acts);
}

function isMain(node: Node): boolean {
  const { object, property } = node as { object?: Node; property?: Node };
  return object?.type === "MetaProperty" && property?.name === "main";
}

function exportedShapes(body: Node[]): Map<string, string> {
  const locals = new Map<string, Node>();
  const exports = new Map<string, Node>();
  const declare = (declaration: Node, into: Map<string, Node>) => {
    const { id, declarations } = declaration;
    if (isNode(id)) into.set(id.name as string, declaration);
    for (const { id, init } of (declarations ?? []) as Node[]) {
      if (isNode(id) && id.type === "Identifier" && isNode(init)) {
        into.set(id.name as string, init);
      }
    }
  };
  for (const statement of body) {
    const { declaration } = statement;
    if (!isNode(declaration)) {
      declare(statement, locals);
    } else if (statement.type === "ExportDefaultDeclaration") {
      exports.set("default", declaration);
      declare(declaration, locals);
    } else {
      declare(declaration, locals);
      declare(declaration, exports);
    }
  }
  for (const statement of body) {
    if (statement.type === "ExportDefaultDeclaration") {
      const { declaration } = statement;
      const local = isNode(declaration) && declaration.type === "Identifier"
        ? locals.get(declaration.name as string)
        : undefined;
      if (local) exports.set("default", local);
    }
    if (statement.type !== "ExportNamedDeclaration" || statement.source) {
      continue;
    }
    for (const { local, exported } of (statement.specifiers ?? []) as Node[]) {
      const node = locals.get((local as Node).name as string);
      const { name, value } = exported as Node;
      if (node) exports.set((name ?? value) as string, node);
    }
  }
  const shapes = new Map<string, string>();
  for (const [name, node] of exports) {
    shapes.set(name, JSON.stringify(shape(node)));
    for (const [member, method] of members(node)) {
      shapes.set(`${name}.${member}`, JSON.stringify(shape(method)));
    }
  }
  return shapes;
}

/** Static methods of a class, and functions in an object. */
function* members(node: Node): Generator<[name: string, method: Node]> {
  const list = /^Class/.test(node.type)
    ? ((node.body as Node).body as Node[]).filter((m) => m.static)
    : node.type === "ObjectExpression"
    ? node.properties as Node[]
    : [];
  for (const { key, value, computed } of list) {
    if (!computed && isNode(key) && isNode(value)) {
      yield [String(key.name ?? key.value), value];
    }
  }
}
