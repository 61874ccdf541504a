/**
 * What a context needs to open others: the first stage, the ways in, ids,
 * routes, modules for those below.
 *
 * Needs the permission to run programs; where it listens, to read and write the
 * socket's folder as well. It is sent to a context when that must open others,
 * serve something, or outlive its parent.
 *
 * @module
 */
import {
  ChannelError,
  type Link,
  type Message,
  type Router,
  type ServeOptions,
} from "../core/mod.ts";
import { Parent } from "./parent.ts";
import { checkName, Services } from "./services.ts";

export * from "./connect.ts";
export * from "./connect_spec.ts";
export * from "./copy.ts";
export * from "./direct.ts";
export * from "./files/remote.ts";
export * from "./first_stage.ts";
export * from "./handshake.ts";
export * from "./keepalive.ts";
export * from "./log_sink.ts";
export * from "./parent.ts";
export * from "./permissions.ts";
export * from "./processes.ts";
export * from "./quote.ts";
export * from "./remote_process.ts";
export * from "./spec.ts";
export * from "./staged.ts";
export { doasArgs } from "./methods/doas.ts";
export * from "./tree_service.ts";
export { PLAIN_PATH, watchFolder } from "./watchdog.ts";
export * from "./within.ts";
export * from "./own_runtime.ts";
export * from "./platforms.ts";
export type { RuntimeInfo } from "./runtime_script.ts";
export * from "./runtimes.ts";
export { sshArgs } from "./methods/ssh.ts";
export { suArgs } from "./methods/su.ts";
export { sudoArgs } from "./methods/sudo.ts";

/** Lets others call the methods of an object. */
export function serve(
  router: Router,
  name: string,
  object: object,
  options?: ServeOptions,
): Disposable {
  checkName(name);
  if (Parent.isDown(router)) {
    throw new ChannelError(`Cannot serve "${name}": the router is shut down`);
  }
  return Services.of(router).add(name, object, options);
}

/** Takes a call of a service, which may have to be made first. */
export function takeCall(
  router: Router,
  message: Message,
  link: Link | undefined,
): void {
  Services.of(router).take(message, link);
}

export { detach } from "./detach.ts";
export { listen } from "./unix_listener.ts";
