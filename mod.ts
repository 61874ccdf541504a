/**
 * Self-replicating programs for Deno, after Python's Mitogen: one script opens
 * contexts on other machines, under other users and in containers, with
 * nothing installed there, and calls typed functions in them.
 *
 * @example
 * ```ts
 * import { Router } from "@mitogen/mitogen";
 *
 * await using router = new Router();
 * const context = await router.local({ permissions: { sys: true } });
 * console.log(await context.call(Deno.hostname));
 * ```
 *
 * @module
 */
export {
  type AnyFunction,
  type Budget,
  type BuildahOptions,
  CallChain,
  type Caller,
  CallError,
  type CallNumbers,
  type CallOptions,
  type CallScope,
  Channel,
  ChannelError,
  type ChannelOptions,
  type ChrootOptions,
  type CloseReason,
  CodecError,
  ConnectError,
  type ConnectErrorFields,
  type ConnectErrorKind,
  type ConnectOptions,
  Context,
  current,
  type DenoOptions,
  DisconnectedError,
  type DockerOptions,
  type EncodeValue,
  type End,
  type Ends,
  type Extensions,
  type FunctionRef,
  type FunctionResolver,
  type HandlerFunction,
  type HandlerOptions,
  type Handlers,
  type IncusOptions,
  type JailOptions,
  type Keepalive,
  type KubectlOptions,
  type Lanes,
  type Link,
  type LocalOptions,
  type LogLevel,
  type LogRecord,
  type LxcOptions,
  type LxdOptions,
  type MachinectlOptions,
  Message,
  type MessageFields,
  type Methods,
  type ModuleStore,
  type PackedModule,
  type ParentRoom,
  type Password,
  type Permissions,
  type PodmanOptions,
  type Policy,
  type Post,
  ProcessError,
  type ProcessErrorFields,
  type ProcessOutput,
  type Progress,
  type PtyOptions,
  Receiver,
  type ReceiverOptions,
  release,
  type Remote,
  type RemoteCommandOptions,
  type RemoteProcess,
  type Router as CoreRouter,
  type RouterConfig,
  Secret,
  Select,
  type SelectEvent,
  type SelectOptions,
  Sender,
  type SetnsKind,
  type SetnsOptions,
  type Source,
  type SshOptions,
  type WaitOptions,
  type WaysIn,
  type WorkerOptions,
} from "./core/mod.ts";
export {
  pool,
  type PoolOptions,
  type PoolResult,
  type PoolScope,
} from "./core/pool.ts";
export { Router, type RouterOptions } from "./master/mod.ts";
