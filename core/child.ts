import { DisconnectedError } from "./errors.ts";
import { Dispatcher, type ModuleSource } from "./dispatcher.ts";
import { toReason } from "./extensions.ts";
import type { FunctionResolver, ModuleStore } from "./functions.ts";
import { Handle } from "./frame.ts";
import { takeCollector } from "./garbage.ts";
import { type Keepalive, Link, type Transport } from "./link.ts";
import { forwardLogs } from "./logs.ts";
import type { RouterConfig } from "./router_config.ts";
import { Router } from "./router.ts";
import { atMost } from "./at_most.ts";

/** What a context is told when it is born. */
export interface ChildConfig extends RouterConfig {
  /** Milliseconds that it may take to end what is below it when its parent is lost. */
  orphanTimeout?: number;
  /** When it takes its parent for lost. Default: when the connection ends. */
  keepalive?: Keepalive;
}

/** What a context needs of whatever it lives in. */
export interface ChildHost {
  /** Its way to the parent. */
  transport: Transport;
  /** Where its functions come from. */
  functions: (router: Router) => FunctionResolver & ModuleStore & ModuleSource;
  /** This library's core, compressed: what the context's own children are sent. */
  core: Uint8Array;
  /** Ends the process, or what stands for it. */
  exit(code: number): void;
}

/** Makes this process, or Worker, a context: the end of the way down. */
export function startChild(config: ChildConfig, host: ChildHost): Router {
  takeCollector();
  const router = new Router(config);
  router.core = host.core;
  const functions = host.functions(router);
  router.functions = functions;
  router.onRecord = forwardLogs(router);
  new Dispatcher(router, functions);
  const link = new Link(router, host.transport, config.parentIds[0]!);
  router.parentLink = link;
  router.addLink(link);

  let ending = false;
  const end = async (code: number, timeout: number) => {
    if (ending) return;
    ending = true;
    router.shutdownTimeout = timeout;
    const reason = {
      kind: "shutdown",
      message: "it is shutting down",
    } as const;
    router.runner.close(new DisconnectedError(reason, router.path));
    try {
      await router.shutdown();
      // Answers that are under way are still of use to whoever waits for them.
      const { ending, lanes } = router;
      await atMost(timeout / 2, Promise.all([lanes.drained(), ...ending]));
      await link.flushed();
    } finally {
      host.exit(code);
    }
  };
  router.onOrphaned = () => {
    // Processes are ended ahead of those who read what they print.
    void end(1, config.orphanTimeout ?? 500);
    router.close();
  };
  router.addHandler((message) => {
    // Whoever asks leaves less time below than it has itself.
    const budget = message.size > 0 ? message.decode() : undefined;
    void end(0, typeof budget === "number" ? budget : 1000);
  }, {
    handle: Handle.SHUTDOWN,
    service: true,
    policy: (message) => router.hasParentAuthority(message),
  });
  router.addHandler((message) => {
    const [id, reason] = message.decode() as [number, unknown];
    router.contextLost(id, toReason(reason));
  }, {
    handle: Handle.DEL_ROUTE,
    service: true,
    policy: (_, from) => from === router.parentLink,
  });
  link.start();
  if (config.keepalive) link.keepAlive(config.keepalive);
  return router;
}
