/**
 * The second stage: what the first stage runs when this library has arrived.
 *
 * @module
 */
import type { Socket } from "node:net";
import { type ChildConfig, startChild } from "./child.ts";
import { Importer } from "./importer.ts";
import { tameWorker } from "./worker_scope.ts";
import {
  type Lender,
  type Port,
  PortTransport,
  SocketTransport,
} from "./transport.ts";

/** What the first stage of a process hands over. */
export interface ProcessBoot {
  config: ChildConfig;
  input: Socket;
  /** What `input` reads is lent: its buffer is used again. */
  lend: Lender;
  output: Socket;
  /** Bytes that were read after the preamble. */
  rest: Uint8Array;
  core: Uint8Array;
}

function importer(router: ConstructorParameters<typeof Importer>[0]): Importer {
  const importer = new Importer(router);
  importer.install();
  return importer;
}

/** Begins as a process. */
export function bootProcess(boot: ProcessBoot): void {
  startChild(boot.config, {
    transport: new SocketTransport(
      boot.input,
      boot.output,
      boot.rest,
      boot.lend,
    ),
    functions: importer,
    core: boot.core,
    exit(code) {
      // What user code started goes too, if this process leads its group and
      // may do so. Nothing after this line runs then.
      try {
        Deno.kill(-Deno.pid, "SIGKILL");
      } catch {
        // Not the leader, or not allowed: whoever opened it does it.
      }
      Deno.exit(code);
    },
  });
}

/** What the first stage of a Worker hands over. */
export interface WorkerBoot {
  config: ChildConfig;
  port: Port;
  core: Uint8Array;
}

/** Begins as a Worker. */
export function bootWorker(boot: WorkerBoot): void {
  const router = startChild(boot.config, {
    transport: new PortTransport(boot.port),
    functions: importer,
    core: boot.core,
    exit() {
      // Nobody is told when a Worker closes itself.
      boot.port.postMessage(null);
      globalThis.close();
    },
  });
  tameWorker(router, boot.port);
}
