/**
 * What `@mitogen/mitogen` is in a context: the same names, from the core that
 * runs there. The bundler makes `mitogen:mod` of it.
 *
 * @module
 */
export {
  AllowAny,
  AllowParents,
  CallChain,
  CallError,
  Channel,
  ChannelError,
  CodecError,
  ConnectError,
  Context,
  CopyError,
  current,
  DisconnectedError,
  Message,
  ProcessError,
  Receiver,
  release,
  Secret,
  Select,
  Sender,
} from "./mod.ts";
// Not in the core, which every context is sent.
export { copyToAll } from "./copy_to_all.ts";
export { pool } from "./pool.ts";

function refuse(what: string): never {
  throw new TypeError(
    `Cannot ${what} in a context that another one opened: a function there uses current().router; a program that also exports functions does its own work behind \`if (import.meta.main)\``,
  );
}

/** A context has a router already. */
export class Router {
  /** @throws {TypeError} always */
  constructor() {
    refuse("make a Router");
  }
}

/** A context is in a tree already. */
export async function connectUnix(): Promise<never> {
  return await refuse("join another tree");
}
