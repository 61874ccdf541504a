import { registerHooks } from "node:module";
import { inflateRawSync } from "node:zlib";
import type { ModuleSource } from "./dispatcher.ts";
import { DisconnectedError } from "./errors.ts";
import { Handle } from "./frame.ts";
import {
  type AnyFunction,
  type FunctionRef,
  type FunctionResolver,
  GLOBAL,
  globalRef,
  libraryRef,
  type ModuleStore,
  type PackedModule,
} from "./functions.ts";
import { Message } from "./message.ts";
import type { Router } from "./router.ts";

/** Where functions that came by their source live. */
const CLOSURE = "mitogen:closure/";

/** Whether every context has it without asking. */
function isOwn(url: string): boolean {
  return url === "mitogen:core" || url.startsWith(CLOSURE) ||
    url.startsWith("node:");
}

/**
 * Gives this context the modules of the master: asks the parent once for a
 * module and all that it imports, keeps them in memory, and lets the runtime
 * import them from there under their own URLs.
 */
export class Importer implements FunctionResolver, ModuleStore, ModuleSource {
  readonly #router: Router;
  readonly #modules = new Map<string, PackedModule>();
  readonly #wanted = new Map<string, Promise<void>>();
  readonly #loaded = new Map<string, Promise<unknown>>();
  readonly #refs = new WeakMap<AnyFunction, FunctionRef>();
  readonly #closures = new Map<string, string>();

  constructor(router: Router) {
    this.#router = router;
  }

  /** Begins to serve `import`. Once per process. */
  install(): void {
    registerHooks({
      resolve: (specifier, context, next) => {
        const url = this.#resolve(specifier, context.parentURL);
        return url === undefined
          ? next(specifier, context)
          : { url, shortCircuit: true };
      },
      load: (url, context, next) => {
        const module = this.#modules.get(url);
        return module ? load(module) : next(url, context);
      },
    });
  }

  #resolve(specifier: string, parent: string | undefined): string | undefined {
    const from = parent === undefined ? undefined : this.#modules.get(parent);
    const url = from?.imports[specifier] ?? absolute(specifier, parent);
    if (url === undefined) return undefined;
    if (url.startsWith("node:")) return undefined;
    // The first stage has core.
    if (this.#modules.has(url) || url === "mitogen:core") return url;
    if (from) {
      throw new TypeError(
        `Cannot import "${specifier}" from ${parent}: it was not sent with it; import it by a literal specifier, or load it with context.import()`,
      );
    }
    return undefined;
  }

  /** What is there of a module; for those who forward it. */
  get(url: string): PackedModule | undefined {
    return this.#modules.get(url);
  }

  /** Sees to it that a module and all that it imports are here. */
  async ensure(url: string): Promise<void> {
    if (this.#modules.has(url) || isOwn(url)) return;
    let wanted = this.#wanted.get(url);
    if (!wanted) {
      wanted = this.#request(url).finally(() => this.#wanted.delete(url));
      this.#wanted.set(url, wanted);
    }
    await wanted;
  }

  async #request(url: string): Promise<void> {
    const router = this.#router;
    const parent = router.contextById(router.parentIds[0]!);
    const answer = await parent.ask(
      Message.value(url, { handle: Handle.GET_MODULE }),
    );
    this.add(answer as PackedModule[]);
    if (!this.#modules.has(url)) {
      throw new TypeError(`Cannot load ${url}: the parent did not send it`);
    }
  }

  /** Takes up modules that came from elsewhere. */
  add(modules: readonly PackedModule[]): void {
    for (const module of modules) {
      if (module.error !== undefined) throw new TypeError(module.error);
      this.#modules.set(module.url, module);
    }
  }

  /** Imports a module here. */
  load(url: string): Promise<unknown> {
    let loaded = this.#loaded.get(url);
    if (!loaded) {
      loaded = this.ensure(url).then(() => import(url));
      this.#loaded.set(url, loaded);
      // A failure is not kept: the next call may find the way open.
      loaded.catch((error) => {
        if (error instanceof DisconnectedError) this.#loaded.delete(url);
      });
    }
    return loaded;
  }

  /** The module of a reference. */
  module([url, name]: FunctionRef): unknown {
    if (url === GLOBAL) return globalThis;
    return this.load(url === "" ? this.#closure(name) : url);
  }

  /** The URL of a module whose default export is this source. */
  #closure(source: string): string {
    let url = this.#closures.get(source);
    if (!url) {
      url = `${CLOSURE}${this.#closures.size + 1}`;
      this.#closures.set(source, url);
      this.#modules.set(url, {
        url,
        type: "module",
        data: new TextEncoder().encode(`export default (${source});`),
        imports: {},
      });
    }
    return url;
  }

  /** A function of a shipped module goes by reference, any other by its source. */
  refer(fn: AnyFunction): FunctionRef | Promise<FunctionRef> {
    const known = this.#refs.get(fn);
    if (known) return known;
    const fixed = libraryRef(fn) ?? globalRef(fn);
    if (!fixed) return this.#search(fn);
    this.#refs.set(fn, fixed);
    return fixed;
  }

  async #search(fn: AnyFunction): Promise<FunctionRef> {
    for (const url of this.#modules.keys()) {
      const loaded = this.#loaded.get(url) ?? this.#reachable(url);
      if (!loaded) continue;
      const module = await loaded.catch(() => ({})) as Record<string, unknown>;
      for (const [name, value] of Object.entries(module)) {
        if (typeof value !== "function") continue;
        this.#refs.set(value, [url, name]);
        for (const member of Object.getOwnPropertyNames(value)) {
          const method = Object.getOwnPropertyDescriptor(value, member)?.value;
          if (typeof method === "function") {
            this.#refs.set(method, [url, `${name}.${member}`]);
          }
        }
      }
    }
    const found = this.#refs.get(fn);
    if (found) return found;
    const source = String(fn);
    if (/\{\s*\[native code\]\s*\}\s*$/.test(source)) {
      throw new TypeError(
        `Cannot send "${fn.name}": it has no source; export a function that calls it`,
      );
    }
    return ["", source];
  }

  /** Imports again what a loaded module has imported: that runs nothing. */
  #reachable(url: string): Promise<unknown> | undefined {
    const seen = new Set<string>();
    const visit = (from: string): boolean => {
      if (from === url) return true;
      if (seen.has(from)) return false;
      seen.add(from);
      return Object.values(this.#modules.get(from)?.imports ?? {}).some(visit);
    };
    for (const root of this.#loaded.keys()) {
      if (visit(root)) return import(url);
    }
    return undefined;
  }

  /** A context offers what it was itself sent. */
  async offer(specifier: string): Promise<string> {
    await this.ensure(specifier);
    return specifier;
  }
}

function absolute(
  specifier: string,
  parent: string | undefined,
): string | undefined {
  return URL.parse(specifier, parent)?.href;
}

/** What the runtime gets to run. */
function load({ url, type, data }: PackedModule) {
  // A closure was made here and never compressed.
  const raw = url.startsWith(CLOSURE) ? data : inflateRawSync(data);
  return {
    format: type,
    shortCircuit: true,
    source: new TextDecoder().decode(raw),
  };
}
