import type { CallOptions } from "./call.ts";
import type { Context } from "./context.ts";
import type { Copier } from "./copy_to_all.ts";
import type { DetachOptions } from "./current.ts";
import type { Link } from "./link.ts";
import type { Message } from "./message.ts";
import type { ConnectOptions, Methods } from "./options.ts";
import type { RemoteCommandOptions, RemoteProcess } from "./process.ts";
import type { Router } from "./router.ts";
import type { Listener, ServeOptions } from "./service.ts";

/** What the parent room adds to a router: what not every context needs. */
export interface ParentRoom extends Copier {
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
  /** Lets others call the methods of an object. */
  serve(
    router: Router,
    name: string,
    object: object,
    options?: ServeOptions,
  ): Disposable;
  /** Takes a call of a service, which may have to be made first. */
  takeCall(router: Router, message: Message, link: Link | undefined): void;
  /** Lets other programs of this user join. */
  listen(router: Router, path: string): Promise<Listener>;
  /** Lets this context outlive its parent. */
  detach(router: Router, options: DetachOptions): Promise<void>;
}
