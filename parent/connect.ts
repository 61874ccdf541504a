import {
  CallError,
  ConnectError,
  type ConnectOptions,
  type Context,
  current,
  DisconnectedError,
  errorMessage,
  type Methods,
  registerLibrary,
  type Router,
} from "../core/mod.ts";
import { through } from "./containers.ts";
import { buildah } from "./methods/buildah.ts";
import { connectChroot } from "./methods/chroot.ts";
import { docker } from "./methods/docker.ts";
import { incus } from "./methods/incus.ts";
import { jail } from "./methods/jail.ts";
import { kubectl } from "./methods/kubectl.ts";
import { connectDoas } from "./methods/doas.ts";
import { connectLocal } from "./methods/local.ts";
import { lxc } from "./methods/lxc.ts";
import { lxd } from "./methods/lxd.ts";
import { machinectl } from "./methods/machinectl.ts";
import { podman } from "./methods/podman.ts";
import { connectSetns } from "./methods/setns.ts";
import { connectSsh } from "./methods/ssh.ts";
import { connectSu } from "./methods/su.ts";
import { connectSudo } from "./methods/sudo.ts";
import { connectWorker } from "./methods/worker.ts";
import { Parent } from "./parent.ts";
import { borrow, lend } from "./questions.ts";

/** One way in: opens a context below this one. */
export type Method<O extends ConnectOptions> = (
  attempt: Attempt,
  options: O,
) => Promise<Context>;

/** The ways in. A new one is a file in `methods/` and a line here. */
const METHODS: { [M in keyof Methods]: Method<Methods[M]> } = {
  local: connectLocal,
  worker: connectWorker,
  ssh: connectSsh,
  docker: through("docker", docker),
  podman: through("podman", podman),
  buildah: through("buildah", buildah),
  kubectl: through("kubectl", kubectl),
  lxc: through("lxc", lxc),
  lxd: through("lxd", lxd),
  incus: through("incus", incus),
  jail: through("jail", jail),
  machinectl: through("machinectl", machinectl),
  setns: connectSetns,
  chroot: connectChroot,
  sudo: connectSudo,
  su: connectSu,
  doas: connectDoas,
};

/** What every way in has to do with. */
export interface Attempt {
  parent: Parent;
  /** Id of the new context. */
  id: number;
  /** Fires when the caller gives up or the time is over. */
  signal: AbortSignal;
}

const DEFAULT_TIMEOUT = 30_000;

/** Opens a context, here or by way of another one. */
export async function connect<M extends keyof Methods>(
  router: Router,
  method: M,
  options: Methods[M],
): Promise<Context> {
  if (!Object.hasOwn(METHODS, method)) {
    throw new TypeError(
      `Cannot connect: there is no way in of the name "${method}", only ${
        Object.keys(METHODS).join(", ")
      }`,
    );
  }
  const { via, ...rest } = options as Methods[M] & ConnectOptions;
  if (via && via.id !== router.id) {
    return await connectVia(router, via, method, rest as Methods[M]);
  }
  const timeout = options.connectTimeout ?? DEFAULT_TIMEOUT;
  const given = (options as ConnectOptions).signal;
  const controller = new AbortController();
  const abort = () =>
    controller.abort(
      new ConnectError(
        `Cannot connect: cancelled: ${errorMessage(given!.reason)}`,
        { kind: "cancelled", cause: given!.reason },
      ),
    );
  if (given?.aborted) abort();
  given?.addEventListener("abort", abort);
  const timer = setTimeout(() =>
    controller.abort(
      new ConnectError(`Cannot connect: not ready after ${timeout} ms`, {
        kind: "timeout",
      }),
    ), timeout);
  const { signal } = controller;
  try {
    signal.throwIfAborted();
    const parent = Parent.of(router);
    return await parent.attempt(controller, async () => {
      const id = await parent.ids.one();
      signal.throwIfAborted();
      return await METHODS[method]({ parent, id, signal }, options);
    });
  } finally {
    clearTimeout(timer);
    given?.removeEventListener("abort", abort);
  }
}

async function connectVia<M extends keyof Methods>(
  router: Router,
  via: Context,
  method: M,
  options: Methods[M],
): Promise<Context> {
  const { signal, ...own } = options as Methods[M] & ConnectOptions;
  using questions = lend(router, via, own);
  const id = await viaErrors(
    via,
    signal,
    () =>
      via.with(signal ? { signal } : {}).call(
        connectHere as (method: M, options: Methods[M]) => Promise<number>,
        method,
        questions.options as Methods[M],
      ),
  );
  // Its route came over the same links ahead of this answer.
  return router.contextById(id);
}

/** Makes what goes wrong on the way to a context that connects what it is there. */
export async function viaErrors<T>(
  via: Context,
  signal: AbortSignal | undefined,
  connect: () => Promise<T>,
): Promise<T> {
  try {
    return await connect();
  } catch (error) {
    if (error instanceof CallError && error.cause instanceof ConnectError) {
      throw error.cause;
    }
    if (error instanceof CallError) throw error.cause ?? error;
    const fields = { hop: via.path, cause: error };
    if (error instanceof DisconnectedError) {
      throw new ConnectError(errorMessage(error), { kind: "eof", ...fields });
    }
    if (signal?.aborted) {
      throw new ConnectError(
        `Cannot connect: cancelled: ${errorMessage(signal.reason)}`,
        { kind: "cancelled", ...fields },
      );
    }
    throw error;
  }
}

/** Runs in the context named by `via`. */
export async function connectHere<M extends keyof Methods>(
  method: M,
  options: Methods[M],
): Promise<number> {
  const { router, signal } = current();
  const context = await connect(router, method, {
    ...borrow(router, options),
    signal,
  });
  return context.id;
}

registerLibrary("mitogen:parent", { connectHere });
