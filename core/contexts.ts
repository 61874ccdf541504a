import { Context } from "./context.ts";
import type { Router } from "./router.ts";

/** The contexts that a router knows: one object for each id. */
export class Contexts {
  readonly #router: Router;
  readonly #known = new Map<number, Context>();
  /** Programs that have joined: they are there, but run nothing for others. */
  readonly #guests = new Set<number>();
  /** Contexts that are only known by name; kept as long as somebody holds them. */
  readonly #mentioned = new Map<number, WeakRef<Context>>();
  /** Those among them whose end somebody waits for: a wait holds nothing by itself. */
  readonly #awaited = new Set<Context>();
  readonly #forget = new FinalizationRegistry((id: number) => {
    if (!this.#mentioned.get(id)?.deref()) this.#mentioned.delete(id);
  });

  /** Made by the router. */
  constructor(router: Router) {
    this.#router = router;
  }

  #find(id: number): Context | undefined {
    return this.#known.get(id) ?? this.#mentioned.get(id)?.deref();
  }

  /** The context of an id; its path is only used where nobody said it before. */
  byId(id: number, path?: string): Context {
    const known = this.#find(id);
    if (known) return known;
    // Whoever mentions this context or one above does not get to name it.
    path = this.#pathOf(id) ?? path ?? `context.${id}`;
    const context = new Context(this.#router, id, path);
    if (id === this.#router.id) {
      this.#known.set(id, context);
    } else {
      this.#mentioned.set(id, new WeakRef(context));
      this.#forget.register(context, id);
    }
    return context;
  }

  /** Keeps a context until its end is known. */
  hold(context: Context): void {
    if (this.#find(context.id) === context) this.#awaited.add(context);
  }

  /** The path of this context or of an ancestor. */
  #pathOf(id: number): string | undefined {
    const { id: own, parentIds, path } = this.#router;
    const up = id === own ? 0 : parentIds.indexOf(id) + 1;
    if (id !== own && up === 0) return undefined;
    const parts = path.split("/");
    return parts.slice(0, parts.length - up).join("/");
  }

  /** All that anybody has heard of. */
  ids(): number[] {
    return [...this.#known.keys(), ...this.#mentioned.keys()];
  }

  /** Those below that are open. */
  open(): Context[] {
    return [...this.#known.values()].filter((c) =>
      c.id !== this.#router.id && !this.#guests.has(c.id)
    );
  }

  /** A context below has been opened, and is called so. */
  add(id: number, path: string, guest = false): Context {
    if (guest) this.#guests.add(id);
    let context = this.byId(id, path);
    // A stranger may have mentioned the id before, under a name of its own.
    if (context.path !== path) context = new Context(this.#router, id, path);
    this.#known.set(id, context);
    this.#mentioned.delete(id);
    return context;
  }

  /** Forgets a context; answers which it was. */
  remove(id: number): Context | undefined {
    const context = this.#find(id);
    this.#known.delete(id);
    this.#guests.delete(id);
    this.#mentioned.delete(id);
    if (context) this.#awaited.delete(context);
    return context;
  }
}
