/**
 * What `@mitogen/mitogen` is in a context: the same names, from the core that
 * runs there. The bundler makes `mitogen:mod` of it.
 *
 * @module
 */
export {
  CallChain,
  CallError,
  Channel,
  ChannelError,
  CodecError,
  ConnectError,
  Context,
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
export { pool } from "./pool.ts";

/** A context has a router already. */
export class Router {
  /** @throws {TypeError} always */
  constructor() {
    throw new TypeError(
      "Cannot make a Router in a context that another one opened: a function there uses current().router; a program that also exports functions does its own work behind `if (import.meta.main)`",
    );
  }
}
