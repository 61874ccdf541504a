import {
  AllowParents,
  CallScope,
  errorMessage,
  findFunction,
  type Found,
  Handle,
  type Link,
  Message,
  type ModuleSource,
  type Router,
  scopes,
  type ServeOptions,
  type ServicePayload,
} from "../core/mod.ts";
import { Shared } from "./shared_call.ts";
import { Slots } from "./slots.ts";

/** Bytes that the calls may take which those behind one neighbour have made. */
const MAX_OWED = 32 * 1024 * 1024;

/** What a call takes beside its arguments. */
const CALL_COST = 4096;

/** Characters of a name. */
const MAX_NAME = 200;

/** An object whose methods others may call. */
interface Served {
  name: string;
  methods: ReadonlyMap<string, Found>;
  options: ServeOptions;
  slots: Slots | undefined;
  shared: Map<unknown, Shared>;
}

const all = new WeakMap<Router, Services>();

/** What a context serves: named objects, of which only some may call. */
export class Services {
  readonly #router: Router;
  readonly #served = new Map<string, Served>();
  readonly #making = new Map<string, Promise<Served>>();
  readonly #owed = new WeakMap<Link, number>();

  private constructor(router: Router) {
    this.#router = router;
    router.addHandler((message, link) => this.take(message, link), {
      handle: Handle.CALL_SERVICE,
      service: true,
      overwrite: true,
    });
  }

  /** The services of a router. */
  static of(router: Router): Services {
    let services = all.get(router);
    if (!services) all.set(router, services = new Services(router));
    return services;
  }

  /** @throws {TypeError} when the name is taken, or there is nothing to call */
  add(name: string, object: object, options: ServeOptions = {}): Disposable {
    const { concurrency, methods } = options;
    if (this.#served.has(name)) {
      throw new TypeError(`Cannot serve "${name}": it is served already`);
    }
    const served: Served = {
      name,
      methods: methodsOf(name, object, methods),
      options,
      slots: concurrency === undefined ? undefined : new Slots(concurrency),
      shared: new Map(),
    };
    this.#served.set(name, served);
    return {
      [Symbol.dispose]: () => {
        if (this.#served.get(name) === served) this.#served.delete(name);
      },
    };
  }

  /** Takes a call. */
  take(message: Message, link: Link | undefined): void {
    const [name, method, args, url, maker] = payloadOf(message);
    const served = this.#served.get(name);
    if (served) return this.#call(served, method, args, message, link);
    const router = this.#router;
    if (url === undefined || !router.hasParentAuthority(message)) {
      const advice = url === undefined ? "" : ", and only a parent may make it";
      const shown = name.slice(0, MAX_NAME);
      return refuse(message, `no service "${shown}" is served there${advice}`);
    }
    const { runner } = router;
    const scope = runner.wait(message);
    this.#make(name, [url, maker!], message).then(
      (served) => {
        if (!runner.ready(scope)) return;
        this.#call(served, method, args, message, link, scope);
      },
    ).catch((error) => {
      runner.ready(scope);
      runner.fail(message, error);
    });
  }

  /** Makes a service: once, however many ask for it meanwhile. */
  #make(
    name: string,
    ref: readonly [string, string],
    message: Message,
  ): Promise<Served> {
    let making = this.#making.get(name);
    if (!making) {
      const forget = () => this.#making.delete(name);
      making = this.#made(name, ref, message);
      making.then(forget, forget);
      this.#making.set(name, making);
    }
    return making;
  }

  async #made(
    name: string,
    ref: readonly [string, string],
    message: Message,
  ): Promise<Served> {
    const router = this.#router;
    const source = router.functions as Partial<ModuleSource>;
    if (!source.module) {
      throw new TypeError(
        `Cannot make "${name}" in ${router.path}: it runs nothing for others; serve it there`,
      );
    }
    checkName(name);
    const { fn, self } = await findFunction(source as ModuleSource, ref);
    const scope = new CallScope(router, message);
    const object = await scopes.run(scope, () => Reflect.apply(fn, self, []));
    // It may have done so itself, with options of its own.
    if (!this.#served.has(name)) this.add(name, object);
    return this.#served.get(name)!;
  }

  #call(
    served: Served,
    method: string,
    args: unknown[],
    message: Message,
    link: Link | undefined,
    scope?: CallScope,
  ): void {
    const router = this.#router;
    const { name } = served;
    const refused = this.#refusal(served, method, message);
    if (refused !== undefined) {
      if (link) link.complain(refused, message);
      return refuse(message, `refused by policy of the service "${name}"`);
    }
    const found = served.methods.get(method);
    if (!found) {
      return refuse(
        message,
        `the service "${name}" has no method "${method.slice(0, MAX_NAME)}"`,
      );
    }
    const end = this.#charge(message, link);
    if (!end) return;
    const { runner } = router;
    runner.run(
      limited(router, served, found, method, message),
      message,
      args,
      scope,
      end,
      (error) => {
        runner.fail(message, error);
        end();
      },
    );
  }

  /** Why a caller may not call; what its policy throws is for the log only. */
  #refusal(
    { name, options: { policy = AllowParents } }: Served,
    method: string,
    message: Message,
  ): string | undefined {
    const caller = this.#router.contextById(message.srcId);
    const who = `policy of the service "${name}"`;
    try {
      // A promise is not true, whatever it will be.
      const may = policy({ method, caller, message }) === true;
      return may ? undefined : `refused by ${who}`;
    } catch (error) {
      return `${who} failed: ${errorMessage(error).slice(0, 1000)}`;
    }
  }

  /** Who is not trusted may only have so much running here at a time. */
  #charge(message: Message, link: Link | undefined): (() => void) | undefined {
    if (!link || this.#router.hasParentAuthority(message)) return () => {};
    const cost = message.size + CALL_COST;
    const owed = (this.#owed.get(link) ?? 0) + cost;
    if (owed > MAX_OWED) {
      const why = "too many calls of services at once";
      link.complain(why, message);
      refuse(message, why);
      return undefined;
    }
    this.#owed.set(link, owed);
    return () => this.#owed.set(link, this.#owed.get(link)! - cost);
  }
}

/** The method as it is run: when there is room, and once for each key. */
function limited(
  router: Router,
  { slots, shared, options: { dedupe } }: Served,
  { fn, self }: Found,
  method: string,
  message: Message,
): Found {
  if (!slots && !dedupe) return { fn, self };
  const run = (args: unknown[]) => {
    const call = () => Reflect.apply(fn, self, args);
    return slots ? slots.run(scopes.getStore()!.signal, call) : call();
  };
  return {
    self: undefined,
    fn(...args: unknown[]) {
      const key = dedupe?.(method, args);
      if (key === undefined) return run(args);
      let one = shared.get(key);
      if (!one) {
        const scope = new CallScope(router, message);
        const begun = new Shared(scope, () => run(args), () => {
          if (shared.get(key) === begun) shared.delete(key);
        });
        shared.set(key, one = begun);
      }
      return one.join(scopes.getStore()!.signal);
    },
  };
}

function refuse(message: Message, why: string): void {
  message.reply(Message.dead(why));
}

/** What a call says; it may come from anyone. */
function payloadOf(message: Message): ServicePayload {
  const payload = message.take() as ServicePayload;
  const [name, method, args, url, maker] = payload;
  const texts = url === undefined ? [name, method] : [name, method, url, maker];
  if (
    !texts.every((text) => typeof text === "string") || !Array.isArray(args)
  ) throw new TypeError("malformed call of a service");
  return payload;
}

/** @throws {TypeError} when a service cannot be called so */
export function checkName(name: string): void {
  if (
    name === "" || name.length > MAX_NAME || name.startsWith("mitogen:") ||
    // deno-lint-ignore no-control-regex
    /[\x00-\x1f\x7f]/.test(name)
  ) {
    throw new TypeError(
      `Cannot serve ${
        JSON.stringify(name.slice(0, MAX_NAME + 1))
      }: a name has 1 to ${MAX_NAME} characters, no control character, and does not begin with "mitogen:"`,
    );
  }
}

/**
 * What of an object may be called, noted once: what is put into it later, what
 * it inherits from `Object`, getters and what begins with `_` are not.
 */
function methodsOf(
  service: string,
  object: object,
  names: readonly string[] | undefined,
): ReadonlyMap<string, Found> {
  const methods = new Map<string, Found>();
  for (const name of names ?? Object.keys(object)) {
    const fn = isPrivate(name) ? undefined : functionOf(object, name, !names);
    if (fn) methods.set(name, { fn, self: object });
    else if (names) {
      throw new TypeError(
        `Cannot serve "${service}": it has no public method "${name}"`,
      );
    }
  }
  if (methods.size > 0) return methods;
  throw new TypeError(
    `Cannot serve "${service}": it has no functions of its own; name the methods of its class, as in { methods: ["run"] }`,
  );
}

/** `then` would make a promise of the other end. */
function isPrivate(name: string): boolean {
  return name.startsWith("_") || name === "constructor" || name === "then";
}

function functionOf(
  object: object,
  name: string,
  own: boolean,
): Found["fn"] | undefined {
  for (
    let holder: object | null = object;
    holder && holder !== Object.prototype;
    holder = own ? null : Object.getPrototypeOf(holder)
  ) {
    const property = Object.getOwnPropertyDescriptor(holder, name);
    if (!property) continue;
    return typeof property.value === "function" ? property.value : undefined;
  }
  return undefined;
}
