import {
  after,
  CallError,
  checkTime,
  ConnectError,
  type ConnectOptions,
  type Context,
  current,
  DisconnectedError,
  errorMessage,
  type Methods,
  type Progress,
  registerLibrary,
  type Router,
  Sender,
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
  /** Says that there is progress: the time begins anew. */
  alive: () => void;
  /** Takes the steps, where somebody watches. */
  onProgress: ((progress: Progress) => void) | undefined;
}

const DEFAULT_TIMEOUT = 30_000;

/**
 * Opens a context, here or by way of another one.
 *
 * @param onProgress takes the steps. Default: that of the router
 */
export async function connect<M extends keyof Methods>(
  router: Router,
  method: M,
  options: Methods[M],
  onProgress: Attempt["onProgress"] = router.onProgress,
): Promise<Context> {
  if (!Object.hasOwn(METHODS, method)) {
    throw new TypeError(
      `Cannot connect: there is no way in of the name "${method}", only ${
        Object.keys(METHODS).join(", ")
      }`,
    );
  }
  const { via, ...rest } = options as Methods[M] & ConnectOptions;
  const timeout = options.connectTimeout ?? DEFAULT_TIMEOUT;
  checkTime("Cannot connect: connectTimeout", timeout);
  onProgress &&= guarded(router, onProgress);
  if (via && via.id !== router.id) {
    using watch = onProgress && watchBelow(via, onProgress);
    const sender = watch?.sender;
    return await connectVia(
      router,
      via,
      method,
      { ...rest as Methods[M], connectTimeout: timeout },
      sender,
    );
  }
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
  let stop = () => {};
  let over = false;
  const alive = () => {
    stop();
    // What was on its way when it ended may still arrive.
    if (over) return;
    stop = after(timeout, () =>
      controller.abort(
        new ConnectError(`Cannot connect: not ready after ${timeout} ms`, {
          kind: "timeout",
        }),
      ));
  };
  alive();
  const { signal } = controller;
  try {
    signal.throwIfAborted();
    const parent = Parent.of(router);
    return await parent.attempt(controller, async () => {
      const id = await parent.ids.one();
      signal.throwIfAborted();
      const attempt: Attempt = { parent, id, signal, alive, onProgress };
      return await METHODS[method](attempt, options);
    });
  } finally {
    over = true;
    stop();
    given?.removeEventListener("abort", abort);
  }
}

/** Whoever watches does not get to break what is watched. */
function guarded(
  router: Router,
  onProgress: (progress: Progress) => void,
): (progress: Progress) => void {
  return (progress) => {
    try {
      onProgress(progress);
    } catch (error) {
      router.log("error", `onProgress failed: ${errorMessage(error)}`);
    }
  };
}

/** Bytes of a step as it comes from below. */
const MAX_STEP = 4096;

/** Where a context below tells of its steps; only of such as it may take. */
function watchBelow(
  via: Context,
  onProgress: (progress: Progress) => void,
): Disposable & { sender: Sender<Progress> } {
  const { router } = via;
  const handle = router.addHandler((message) => {
    if (message.isDead) return;
    const { path, step, message: text, done, total } = message
      .decode() as Progress;
    if (typeof path !== "string" || !path.startsWith(`${via.path}/`)) return;
    onProgress({
      path,
      step,
      ...(typeof text === "string" ? { message: text } : {}),
      ...(typeof done === "number" ? { done } : {}),
      ...(typeof total === "number" ? { total } : {}),
    });
  }, { respondent: via, maxSize: MAX_STEP });
  return {
    sender: new Sender<Progress>(router.myself(), handle),
    [Symbol.dispose]: () => router.deleteHandler(handle),
  };
}

async function connectVia<M extends keyof Methods>(
  router: Router,
  via: Context,
  method: M,
  options: Methods[M],
  watch: Sender<Progress> | undefined,
): Promise<Context> {
  const { signal: _, ...own } = options as Methods[M] & ConnectOptions;
  using questions = lend(router, via, own);
  const id = await connectThere(
    via,
    options,
    (signal) =>
      via.with({ signal }).call(
        connectHere as (
          method: M,
          options: Methods[M],
          watch?: Sender<Progress>,
        ) => Promise<number>,
        method,
        questions.options as Methods[M],
        watch,
      ),
  );
  // Its route came over the same links ahead of this answer.
  return router.contextById(id);
}

/** Milliseconds by which a hop may be late: it is to say itself what is wrong. */
const GRACE = 1000;

/**
 * Gives up when a hop has not answered for as long as the connection may take.
 * As long as it answers, the time is for it to keep: here nobody knows what
 * progress there is.
 */
function watchHop(
  via: Context,
  timeout: number,
  given: AbortSignal | undefined,
): Disposable & { signal: AbortSignal } {
  const controller = new AbortController();
  const abort = () => controller.abort(given!.reason);
  if (given?.aborted) abort();
  given?.addEventListener("abort", abort);
  let stop = () => {};
  let over = timeout === Infinity;
  const ask = () => {
    if (over) return;
    stop = after(timeout + GRACE, () =>
      controller.abort(
        new ConnectError(
          `Cannot connect: ${via.path} has not answered for ${timeout} ms`,
          { kind: "timeout", hop: via.path },
        ),
      ));
    via.ping().then(() => {
      stop();
      if (!over) stop = after(Math.max(timeout / 4, GRACE), ask);
    }, () => stop());
  };
  ask();
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      over = true;
      stop();
      given?.removeEventListener("abort", abort);
    },
  };
}

/**
 * Has a context connect, which keeps the time itself. Here it is only made sure
 * that it is there to do so.
 *
 * @throws {ConnectError} whatever goes wrong on the way
 */
export async function connectThere<T>(
  via: Context,
  { signal, connectTimeout = DEFAULT_TIMEOUT }: ConnectOptions,
  connect: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  using watched = watchHop(via, connectTimeout, signal);
  try {
    return await connect(watched.signal);
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
  watch?: Sender<Progress>,
): Promise<number> {
  const { router, signal } = current();
  const context = await connect(
    router,
    method,
    { ...borrow(router, options), signal },
    watch && ((progress) => watch.send(progress)),
  );
  return context.id;
}

registerLibrary("mitogen:parent", { connectHere });
