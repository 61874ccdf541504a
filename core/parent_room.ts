import type { CallOptions } from "./call.ts";
import type { Context } from "./context.ts";
import type { ConnectOptions, Methods } from "./options.ts";
import type { RemoteCommandOptions, RemoteProcess } from "./process.ts";
import type { Router } from "./router.ts";

/** What the parent room adds to a router when it must create contexts. */
export interface ParentRoom {
  /** Opens a context. */
  connect<M extends keyof Methods>(
    router: Router,
    method: M,
    options: Methods[M],
  ): Promise<Context>;
  /** Opens what a text names; see {@linkcode Router.connect}. */
  connectSpec(
    router: Router,
    spec: string | readonly string[],
    options: ConnectOptions,
  ): Promise<Context>;
  /** Starts a program in a context. */
  spawn(
    context: Context,
    command: string | URL,
    options: RemoteCommandOptions | undefined,
    call: CallOptions,
  ): Promise<RemoteProcess>;
  /** Ends all contexts that this router opened. */
  shutdown(router: Router): Promise<void>;
}
