import {
  captureStdio,
  type DetachOptions,
  Handle,
  type LogRecord,
  Message,
  type Router,
} from "../core/mod.ts";
import { LogSink } from "./log_sink.ts";
import { DETACHED } from "./parent.ts";

const detached = new WeakMap<Router, Promise<void>>();

/** Lets a context outlive its parent. */
export function detach(router: Router, options: DetachOptions): Promise<void> {
  let done = detached.get(router);
  if (!done) {
    done = begin(router, options);
    detached.set(router, done);
    done.catch(() => detached.delete(router));
  }
  return done;
}

async function begin(router: Router, { log }: DetachOptions): Promise<void> {
  if (!router.parentLink) {
    throw new TypeError(`Cannot detach ${router.path}: it has no parent`);
  }
  if ("WorkerGlobalScope" in globalThis) {
    throw new TypeError(
      `Cannot detach ${router.path}: a Worker ends with its process`,
    );
  }
  // Ahead of all else: where it cannot be opened, nothing has changed.
  const file = log === undefined
    ? undefined
    : Deno.openSync(log, { append: true, create: true, mode: 0o600 });
  const parent = router.contextById(router.parentIds[0]!);
  try {
    await parent.ask(new Message({ handle: Handle.DETACHING }));
  } catch (error) {
    file?.close();
    throw error;
  }
  router.onOrphaned = () => {
    // Those below send theirs to where the tree begins: that is here now.
    if (file) new LogSink(router);
    else router.onRecord = () => {};
    router.cutOff(DETACHED);
  };
  if (file) router.onRecord = writeTo(file);
  // Its descriptors lead to a parent that will be gone.
  captureStdio(router);
  // The terminal that it was started from may go as well.
  Deno.addSignalListener("SIGHUP", () => {});
  const fatal = (event: Event, error: unknown) =>
    router.log("error", `${event.type}: ${Deno.inspect(error)}`);
  addEventListener("error", (event) => fatal(event, event.error));
  addEventListener("unhandledrejection", (event) => fatal(event, event.reason));
}

/** Writes records to a file, one on a line. */
function writeTo(file: Deno.FsFile): (record: LogRecord) => void {
  const utf8 = new TextEncoder();
  return ({ time, level, path, logger, message }) => {
    const line = `${
      new Date(time).toISOString()
    } ${level} ${path} ${logger}: ${message}\n`;
    try {
      file.writeSync(utf8.encode(line));
    } catch {
      // A full disk does not end the context.
    }
  };
}
