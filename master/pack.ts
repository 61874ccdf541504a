import type { PackedModule } from "../core/mod.ts";
import { core, fakessh, mod, parent } from "./pack.gen.ts";

function bytes(base64: string): Uint8Array {
  return Uint8Array.fromBase64(base64);
}

let coreBytes: Uint8Array | undefined;

/** This library's core, compressed, as a child is sent it at birth. */
export function corePack(): Uint8Array {
  return coreBytes ??= bytes(core);
}

/** Rooms, and those that they import beside core. */
const ROOMS: Record<string, [packed: string, imports: string[]]> = {
  "mitogen:parent": [parent, []],
  "mitogen:mod": [mod, []],
  "mitogen:fakessh": [fakessh, ["mitogen:parent"]],
};

/**
 * The rooms of this library as modules. They come from the generated pack,
 * never from disk: a program without read permission ships them just the same.
 */
export function roomModule(url: string): PackedModule | undefined {
  const room = Object.hasOwn(ROOMS, url) ? ROOMS[url] : undefined;
  return room && {
    url,
    type: "module",
    data: bytes(room[0]),
    imports: Object.fromEntries(room[1].map((name) => [name, name])),
  };
}
