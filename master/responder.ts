import { deflateRawSync } from "node:zlib";
import type { ModuleStore, PackedModule } from "../core/mod.ts";
import { Finder } from "./finder.ts";
import { roomModule } from "./pack.ts";

/**
 * Has the modules that contexts ask for: those that the master has called a
 * function of, or offered, and what they import. Nothing that a context names
 * becomes a path: it is only ever looked up among these.
 */
export class Responder implements ModuleStore {
  readonly finder: Finder = Finder.ofProgram;
  readonly #offered = new Map<string, Promise<void> | undefined>();
  readonly #modules = new Map<string, PackedModule>();

  /** Lets contexts have a module and all that it imports. */
  offer(url: string): void {
    if (!this.#offered.has(url)) this.#offered.set(url, undefined);
  }

  async ensure(url: string): Promise<void> {
    if (this.#modules.has(url)) return;
    if (this.#addRoom(url)) return;
    if (!this.#offered.has(url)) {
      throw new TypeError(
        `Cannot load ${url}: the master has not called or offered anything of it`,
      );
    }
    let found = this.#offered.get(url);
    if (!found) {
      found = this.#pack(url);
      this.#offered.set(url, found);
      // A failure is not kept: a file may be mended while the program runs.
      found.catch(() => this.#offered.set(url, undefined));
    }
    await found;
  }

  /** Takes a room of this library, with those that it imports. */
  #addRoom(url: string): boolean {
    const room = roomModule(url);
    if (!room) return false;
    this.#modules.set(url, room);
    for (const target of Object.values(room.imports)) this.#addRoom(target);
    return true;
  }

  async #pack(root: string): Promise<void> {
    for (const record of await this.finder.closure(root)) {
      const { url, type, source, imports } = record;
      if (this.#modules.has(url)) continue;
      const data = new Uint8Array(deflateRawSync(source));
      this.#modules.set(url, { url, type, data, imports });
      // Rooms of this library that it imports are shipped like the rest.
      for (const target of Object.values(imports)) {
        this.#addRoom(target);
      }
    }
  }

  /** Takes up modules of a program that has joined. */
  add(modules: readonly PackedModule[]): void {
    for (const module of modules) this.#modules.set(module.url, module);
  }

  get(url: string): PackedModule | undefined {
    return this.#modules.get(url);
  }
}
