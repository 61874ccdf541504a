import {
  compress,
  once,
  ownRuntime,
  pieceOf,
  type Platform,
  platformOf,
  type RuntimeInfo,
  runtimeInfo,
  type RuntimePiece,
  type RuntimeSource,
} from "../parent/mod.ts";
import { fetchRuntime } from "./registry.ts";

/** The parts of a runtime that are sent: what a target is told, and the bytes. */
interface Held {
  info: RuntimeInfo;
  packed: () => Promise<Uint8Array>;
}

/**
 * The runtimes that a tree of contexts may be sent: the one that the master
 * runs on, and for other platforms and versions those of the npm registry.
 * Each is read, checked and compressed once.
 */
export class MasterRuntimes implements RuntimeSource {
  readonly #held = new Map<string, Promise<Held>>();
  readonly #bySha256 = new Map<string, Held>();
  readonly #versions = new Set([Deno.version.deno]);

  /** Lets contexts have a version; the master's own they may always have. */
  allow(version: string): void {
    this.#versions.add(version);
  }

  async info(name: string, version: string): Promise<RuntimeInfo> {
    version ||= Deno.version.deno;
    const platform = platformOf(name);
    if (!platform) throw new TypeError(`there is no Deno for ${name}`);
    // Each is kept in memory: what a context makes up must not fill it.
    if (!this.#versions.has(version)) {
      throw new TypeError(
        `the master has not asked for Deno ${version} anywhere: only it may choose a version`,
      );
    }
    const held = await once(
      this.#held,
      `${platform.npm}@${version}`,
      () => this.#find(platform, version),
    );
    this.#bySha256.set(held.info.sha256, held);
    return held.info;
  }

  async piece(sha256: string, offset: number): Promise<RuntimePiece> {
    const held = this.#bySha256.get(sha256);
    if (!held) throw new TypeError("there is no such runtime");
    return pieceOf(await held.packed(), offset);
  }

  async #find(platform: Platform, version: string): Promise<Held> {
    const { target, standalone } = Deno.build;
    // What a compiled program runs on is the program itself.
    if (
      platform.target === target && version === Deno.version.deno && !standalone
    ) {
      const info = await ownRuntime.info();
      return { info, packed: () => ownRuntime.packed() };
    }
    const bytes = await fetchRuntime(platform.npm, version);
    const info = await runtimeInfo(version, bytes);
    const packed = await compress(bytes);
    return { info, packed: () => Promise.resolve(packed) };
  }
}
