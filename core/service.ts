import type { CallOptions } from "./call.ts";
import type { Context, Remote } from "./context.ts";
import type { Message } from "./message.ts";

/** A call of a service, as its policy sees it. */
export interface ServiceCall {
  /** The method that is called. */
  method: string;
  /** The context that calls. */
  caller: Context;
  /** What it has sent. */
  message: Message;
}

/** Who may call a service. */
export type ServicePolicy = (call: ServiceCall) => boolean;

/** Whoever acts for the context that serves, or for one above it. */
export function AllowParents({ message }: ServiceCall): boolean {
  return message.router!.hasParentAuthority(message);
}

/** Every context of the tree. */
export function AllowAny(_: ServiceCall): boolean {
  return true;
}

/** How a service is offered. */
export interface ServeOptions {
  /** Who may call it. @default {AllowParents} */
  policy?: ServicePolicy;
  /** Names of what is served; needed for methods of a class. */
  methods?: readonly string[];
  /**
   * How many calls run at a time; the others wait in order. A call runs until
   * it has returned: a stream or an iterator that it returns goes on without a
   * place. Default: all.
   */
  concurrency?: number;
  /**
   * Calls with the same key run once, as long as that takes, and all get what
   * it returns. A call with the key `undefined` runs by itself.
   */
  dedupe?: (method: string, args: unknown[]) => unknown;
}

/** How a service is found. */
export interface ServiceOptions<T> extends Omit<CallOptions, "chain"> {
  /**
   * Makes the service there when it is called and nothing of its name is
   * served: once, and for parents only. What it returns is served for parents,
   * unless it has served something by that name itself.
   */
  activate?: () => T;
}

/** A service of another context: each method answers with a promise. */
export type RemoteService<T> = Remote<Awaited<T>>;

/** Where other programs can join. */
export interface Listener extends AsyncDisposable {
  /** The path of its socket. */
  readonly path: string;
  /** Stops listening. Programs that have joined are let go. */
  close(): Promise<void>;
}
