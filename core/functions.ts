/**
 * How a function is named in a call.
 *
 * @module
 */

// deno-lint-ignore ban-types
export type AnyFunction = Function;

/**
 * A function as a call sends it: the URL of a module and the name under which
 * it is found there, or an empty URL and the function's source.
 */
export type FunctionRef = readonly [url: string, name: string];

/** The URL that stands for the global scope. */
export const GLOBAL = "global:";

/** Turns functions into references, and references into modules. */
export interface FunctionResolver {
  /**
   * How a function is sent. Answers at once for one that was sent before.
   *
   * @param caller an error made where the call was made; its stack says which modules are concerned
   */
  refer(
    fn: AnyFunction,
    caller: { stack?: string },
  ): FunctionRef | Promise<FunctionRef>;
  /** Makes a module available to other contexts; answers its full URL. */
  offer(specifier: string): Promise<string>;
  /** Imports a module here. */
  load(url: string): Promise<unknown>;
}

/** A module as it travels: its JavaScript is kept compressed until it is run. */
export interface PackedModule {
  /** Its URL in the caller's program. */
  url: string;
  /** How it is imported. */
  type: "module" | "json";
  /** Raw deflate of the source. */
  data: Uint8Array;
  /** What each specifier in it stands for. */
  imports: Record<string, string>;
  /** Why it cannot be had; the other fields are empty then. */
  error?: string;
}

/** Where the modules are that other contexts ask for. */
export interface ModuleStore {
  /**
   * Sees to it that a module and all that it imports are here.
   *
   * @throws {TypeError} when it cannot be had, or must not be
   */
  ensure(url: string): Promise<void>;
  /** What is here of a module. */
  get(url: string): PackedModule | undefined;
  /** Takes up modules that came from elsewhere. */
  add(modules: readonly PackedModule[]): void;
}

const library = new WeakMap<AnyFunction, FunctionRef>();

/** Registers functions of this library, which every context has or can get. */
export function registerLibrary(
  url: string,
  functions: Record<string, AnyFunction>,
): void {
  for (const [name, fn] of Object.entries(functions)) {
    library.set(fn, [url, name]);
  }
}

/** The reference of a library function. */
export function libraryRef(fn: AnyFunction): FunctionRef | undefined {
  return library.get(fn);
}

const SPACES = [
  "Deno",
  "Math",
  "JSON",
  "Object",
  "Array",
  "Number",
  "String",
  "Date",
  "Reflect",
  "Promise",
  "URL",
];

/** The reference of a built-in function, such as `Deno.hostname`. */
export function globalRef(fn: AnyFunction): FunctionRef | undefined {
  const root = globalThis as unknown as Record<string, unknown>;
  const { name } = fn;
  if (root[name] === fn) return [GLOBAL, name];
  for (const space of SPACES) {
    const members = root[space] as Record<string, unknown>;
    // Looked up by its name: a getter that is not asked for does not run.
    if (Object.hasOwn(members, name) && members[name] === fn) {
      return [GLOBAL, `${space}.${name}`];
    }
  }
  return undefined;
}

/**
 * Finds what a dotted name stands for in a module.
 *
 * @returns the function and the object it is a member of
 * @throws {TypeError} when there is no such function
 */
export function pick(
  module: unknown,
  ref: FunctionRef,
): [fn: AnyFunction, self: unknown] {
  let self: unknown;
  let value: unknown = module;
  for (const part of ref[1].split(".")) {
    self = value;
    value = value !== null && value !== undefined && Object.hasOwn(value, part)
      ? (value as Record<string, unknown>)[part]
      : undefined;
  }
  if (typeof value !== "function") {
    throw new TypeError(
      `Cannot call "${ref[1]}": ${ref[0]} exports no such function`,
    );
  }
  return [value, self === module && ref[0] !== GLOBAL ? undefined : self];
}
