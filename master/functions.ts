import {
  type AnyFunction,
  type FunctionRef,
  type FunctionResolver,
  globalRef,
  libraryRef,
  type ModuleStore,
  type PackedModule,
} from "../core/mod.ts";
import { freeVariables } from "./free_variables.ts";
import type { Responder } from "./responder.ts";

/** Decides for each function that the master calls how it is sent. */
export class Functions implements FunctionResolver, ModuleStore {
  readonly #responder: Responder;
  /** By name and source, for closures that are made anew for every call. */
  readonly #alike = new Map<string, Promise<FunctionRef>>();
  readonly #refs = new WeakMap<
    AnyFunction,
    FunctionRef | Promise<FunctionRef>
  >();

  constructor(responder: Responder) {
    this.#responder = responder;
  }

  refer(
    fn: AnyFunction,
    caller: { stack?: string },
  ): FunctionRef | Promise<FunctionRef> {
    if (typeof fn !== "function") {
      throw new TypeError(
        `Cannot call ${typeof fn}: expected a function, as in context.call(fn, ...args)`,
      );
    }
    const known = this.#refs.get(fn);
    if (known) return known;
    const fixed = libraryRef(fn) ?? globalRef(fn);
    const ref = fixed ?? this.#find(fn, callers(caller.stack));
    this.#refs.set(fn, ref);
    if (ref instanceof Promise) {
      ref.then(
        (ref) => this.#refs.set(fn, ref),
        () => this.#refs.delete(fn),
      );
    }
    return ref;
  }

  #find(fn: AnyFunction, callers: string[]): Promise<FunctionRef> {
    if (this.#responder.finder.isExported(fn)) return this.#search(fn, callers);
    const key = `${fn.name}\0${Function.prototype.toString.call(fn)}`;
    let ref = this.#alike.get(key);
    if (!ref) {
      ref = this.#search(fn, callers);
      this.#alike.set(key, ref);
      ref.catch(() => this.#alike.delete(key));
    }
    return ref;
  }

  async #search(fn: AnyFunction, callers: string[]): Promise<FunctionRef> {
    const found = await this.#responder.finder.identify(
      fn as () => unknown,
      callers,
    );
    // The program's own main module would run again where it is sent. A
    // function of it that needs nothing else goes alone.
    if (found && !(found.acts && standsAlone(fn))) {
      this.#responder.offer(found.url);
      return [found.url, found.name];
    }
    return ["", bySource(fn)];
  }

  offer(specifier: string): Promise<string> {
    const url = URL.parse(specifier)?.href;
    if (url === undefined) {
      return Promise.reject(
        new TypeError(
          `Cannot import "${specifier}": it is not an absolute URL; use import.meta.resolve("${specifier}")`,
        ),
      );
    }
    this.#responder.offer(url);
    return Promise.resolve(url);
  }

  load(url: string): Promise<unknown> {
    return import(url);
  }

  ensure(url: string): Promise<void> {
    return this.#responder.ensure(url);
  }

  get(url: string): PackedModule | undefined {
    return this.#responder.get(url);
  }

  add(modules: readonly PackedModule[]): void {
    this.#responder.add(modules);
  }
}

/** The modules on a stack, nearest first: their graphs are searched too. */
function callers(stack = ""): string[] {
  const urls = stack.matchAll(/((?:file|https?|jsr):\/\/.+?):\d+:\d+/g);
  return [...new Set(Array.from(urls, (match) => match[1]!))];
}

function standsAlone(fn: AnyFunction): boolean {
  const found = freeVariables(Function.prototype.toString.call(fn));
  return !found.reason && found.names.length === 0 && !found.usesThis &&
    !found.usesSuper;
}

/**
 * The source of a function that can stand for itself.
 *
 * @throws {TypeError} when it cannot, with the reason and what to do
 */
function bySource(fn: AnyFunction): string {
  const name = fn.name ? `"${fn.name}"` : "a function without a name";
  const advice =
    "export it at the top level of a module, and it is sent by reference with all that it uses";
  const found = freeVariables(Function.prototype.toString.call(fn));
  if (found.reason === "native") {
    throw new TypeError(
      `Cannot call ${name} elsewhere: it is bound or built in and has no source; export a function that calls it`,
    );
  }
  if (found.reason !== undefined) {
    throw new TypeError(
      `Cannot call ${name} elsewhere: its source does not stand for itself; ${advice}`,
    );
  }
  if (found.names.length > 0) {
    const names = found.names.map((n) => `"${n}"`).join(", ");
    throw new TypeError(
      `Cannot call ${name} elsewhere: it is no export of a module that is imported by a fixed name, so it is sent by its source, and there ${names} would mean nothing; pass what it needs as arguments, or ${advice}`,
    );
  }
  if (found.usesThis || found.usesSuper) {
    throw new TypeError(
      `Cannot call ${name} elsewhere: it uses "${
        found.usesSuper ? "super" : "this"
      }", and its object does not go with it; ${advice}`,
    );
  }
  return found.expression;
}
