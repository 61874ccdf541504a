import { inflateRawSync } from "node:zlib";
import {
  type ConnectOptions,
  current,
  type Methods,
  type PackedModule,
  type Router,
} from "../core/mod.ts";
import { connectHere } from "./connect.ts";
import { Services } from "./services.ts";

/** Under which name programs that have joined find what they need. */
export const TREE = "mitogen:tree";

/** What a context does for programs that have joined there. */
export interface TreeService {
  /** Takes the modules of functions that they are going to call. */
  take(modules: readonly PackedModule[]): void;
  /** Opens a context; answers its id. */
  open(
    method: keyof Methods,
    options: Methods[keyof Methods] & ConnectOptions,
  ): Promise<number>;
}

const served = new WeakSet<Router>();

/** Serves it, for whoever acts for this context. */
export function serveTree(router: Router): void {
  if (served.has(router)) return;
  served.add(router);
  const service: TreeService = { take, open: connectHere };
  Services.of(router).add(TREE, service);
}

function take(modules: readonly PackedModule[]): void {
  const { functions } = current().router;
  const fresh: PackedModule[] = [];
  for (const module of modules) {
    const known = functions.get(module.url);
    if (!known) fresh.push(module);
    else if (!same(known.data, module.data)) {
      throw new TypeError(
        `Cannot call anything of ${module.url}: the tree has another version of it`,
      );
    }
  }
  functions.add(fresh);
}

/** Whether two are the same when they are inflated; there are many ways to deflate. */
function same(a: Uint8Array, b: Uint8Array): boolean {
  return inflateRawSync(a).equals(inflateRawSync(b));
}
