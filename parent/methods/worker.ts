import {
  type CloseReason,
  ConnectError,
  type Context,
  Link,
  type Port,
  PortTransport,
  type WorkerOptions,
} from "../../core/mod.ts";
import type { Attempt } from "../connect.ts";
import { WORKER_SOURCE } from "../first_stage.ts";
import type { Child } from "../parent.ts";
import { childConfig, childPath } from "../process_context.ts";

/** Opens a Worker of this process. */
export async function connectWorker(
  attempt: Attempt,
  options: WorkerOptions,
): Promise<Context> {
  const { parent, id, signal } = attempt;
  const { router } = parent;
  const path = childPath(parent, options.name ?? parent.serial("worker"));
  const { permissions = "inherit" } = options;
  const fail = (
    message: string,
    kind: "bootstrap" | "runtime",
    cause: unknown,
  ) =>
    new ConnectError(`Cannot connect to ${path}: ${message}`, {
      kind,
      hop: path,
      cause,
    });

  let worker: Worker;
  const url = URL.createObjectURL(
    new Blob([WORKER_SOURCE], { type: "application/javascript" }),
  );
  try {
    worker = new Worker(url, {
      type: "module",
      name: path,
      // The option is unstable; who only inherits needs no flag for it.
      ...(permissions === "inherit" ? {} : { deno: { permissions } }),
    });
  } catch (error) {
    throw fail(
      `${
        (error as Error).message
      }; to give a worker its own permissions, run with --unstable-worker-options`,
      "runtime",
      error,
    );
  } finally {
    URL.revokeObjectURL(url);
  }

  const ready = Promise.withResolvers<void>();
  const child = new WorkerChild(
    worker,
    (reason) => ready.reject(fail(reason.message, "bootstrap", undefined)),
  );
  worker.addEventListener("message", ({ data }) => {
    if (data === "MITO001") ready.resolve();
  }, { once: true });
  const abort = () => {
    const reason = signal.reason as ConnectError;
    ready.reject(
      new ConnectError(
        reason.message.replace("Cannot connect", `Cannot connect to ${path}`),
        { kind: reason.kind, hop: path, cause: reason.cause },
      ),
    );
  };
  signal.addEventListener("abort", abort);
  const config = childConfig(parent, id, path);
  worker.postMessage({ core: router.core, config });
  try {
    signal.throwIfAborted();
    await ready.promise;
  } catch (error) {
    worker.terminate();
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
  }
  return parent.adopt(new Link(router, child, id), path, child, config.ids);
}

/** A Worker as a child: it tells of its own end, or is ended. */
class WorkerChild extends PortTransport implements Child {
  readonly gone: Promise<void>;
  readonly #worker: Worker;
  #resolve!: () => void;
  #asked = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(worker: Worker, failed: (reason: CloseReason) => void) {
    super(worker as Port);
    this.#worker = worker;
    this.gone = new Promise((resolve) => this.#resolve = resolve);
    worker.addEventListener("error", (event) => {
      // Not the end of this process.
      event.preventDefault();
      const reason: CloseReason = {
        kind: "exit",
        message: `its Worker ended with an error: ${event.message}`,
        code: 1,
      };
      failed(reason);
      this.end(reason);
    });
  }

  override end(reason: CloseReason): void {
    clearTimeout(this.#timer);
    this.#worker.terminate();
    super.end(reason);
    this.#resolve();
  }

  reap(timeout: number): void {
    if (this.#asked) return;
    this.#asked = true;
    this.#timer = setTimeout(
      () => this.end({ kind: "signal", message: "it was terminated" }),
      timeout,
    );
  }

  override close(): void {
    super.close();
    this.reap(0);
  }
}
