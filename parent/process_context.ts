import {
  type ChildConfig,
  ConnectError,
  type ConnectErrorKind,
  type ConnectOptions,
  type Context,
  Link,
} from "../core/mod.ts";
import { BootEofError, bootstrap } from "./bootstrap.ts";
import type { Attempt } from "./connect.ts";
import { Refused } from "./dialogue.ts";
import { preamble } from "./first_stage.ts";
import { keepaliveOf } from "./keepalive.ts";
import type { Parent } from "./parent.ts";
import { resolvePermissions } from "./permissions.ts";
import { ProcessChild, type ProcessOptions } from "./process_child.ts";
import { RuntimeError, RuntimeSupply } from "./runtime_supply.ts";

/** Milliseconds that a program gets to end after its output has. */
const ENDING = 500;

/** How a way in runs a program that becomes a context. */
export interface ProcessContextOptions extends ProcessOptions {
  /** Last part of the path, unless the caller gave one. */
  name: string;
  /** Whether nothing but our own first stage reads its input. */
  eager: boolean;
  /**
   * Whether nothing lies between: it sees the end of this context as the end of
   * its input, and need not take silence for that.
   */
  near?: boolean;
  /** What has to be said before its first stage begins. */
  begin?: (child: ProcessChild) => Promise<void>;
  /** Lines that it prints when it was ended on purpose, and nobody needs to see. */
  farewell?: RegExp;
  /** Takes out of a line what is not for people to see. */
  clean?: (line: string) => string;
  /** What this way in knows about how it fails. */
  explain?: (tail: string, status: Deno.CommandStatus) => Failure | undefined;
}

/** What went wrong, for a `ConnectError`. */
export interface Failure {
  kind: ConnectErrorKind;
  message: string;
}

/** What a new context is told about itself. */
export function childConfig(
  parent: Parent,
  id: number,
  path: string,
): ChildConfig {
  const { router } = parent;
  const ids = parent.ids.share();
  return {
    id,
    path,
    parentIds: [router.id, ...router.parentIds],
    maxMessageSize: router.maxMessageSize,
    unidirectional: router.unidirectional,
    ...(ids ? { ids } : {}),
  };
}

/**
 * The path of a new context.
 *
 * @throws {TypeError} when the name cannot be a part of a path
 */
export function childPath(parent: Parent, name: string): string {
  // deno-lint-ignore no-control-regex
  if (name === "" || name.length > 200 || /[\/\\\x00-\x1f\x7f]/.test(name)) {
    throw new TypeError(
      `Cannot name a context ${
        JSON.stringify(name)
      }: a name has 1 to 200 characters, none of them a slash, a backslash or a control character`,
    );
  }
  return `${parent.router.path}/${name}`;
}

/** Runs a program and makes it a context. Nothing is left of it if that fails. */
export async function connectProcess(
  attempt: Attempt,
  options: ConnectOptions,
  program: ProcessContextOptions,
): Promise<Context> {
  const { parent, id, signal, onProgress } = attempt;
  const { router } = parent;
  const path = childPath(parent, options.name ?? program.name);
  const alive = keepaliveOf(options);
  const config = {
    ...childConfig(parent, id, path),
    // Whoever is above may be stopped for a while by the user's Ctrl-Z, or
    // compute.
    ...(program.near
      ? {}
      : { keepalive: { ...alive, count: alive.count * PATIENCE } }),
  };
  // The first stage is long and always the same: what matters comes before it.
  const command = [program.command, ...program.args].join(" ").slice(0, 500);
  const fail = (kind: ConnectErrorKind, message: string, cause?: unknown) => {
    onProgress?.({ path, step: "failed", message });
    return new ConnectError(`Cannot connect to ${path}: ${message}`, {
      kind,
      command,
      tail: child?.tail.toString() ?? "",
      hop: path,
      ...(cause === undefined ? {} : { cause }),
    });
  };

  onProgress?.({ path, step: "start" });
  let child: ProcessChild | undefined;
  try {
    // Who may start programs can leave something behind anyway.
    const detachable = resolvePermissions(options.permissions).run === true;
    child = new ProcessChild({ ...program, detachable });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw fail(
        "not-found",
        `there is no program "${program.command}" here`,
        error,
      );
    }
    throw fail("bootstrap", (error as Error).message, error);
  }

  const { clean } = program;
  if (clean) child.onLine = (line) => child.tail.push(clean(line));
  const stop = () => child.close();
  signal.addEventListener("abort", stop);
  // Since this way in began, on which it may have asked for something.
  if (signal.aborted) stop();
  const supply = new RuntimeSupply({
    source: parent.runtimes.source,
    deno: options.deno,
    alive: attempt.alive,
    ended: () => signal.aborted || child.status !== undefined,
    onProgress: (progress) => onProgress?.({ path, ...progress }),
  });
  try {
    await program.begin?.(child);
    await bootstrap(child, preamble(router.core, config), {
      eager: program.eager,
      tail: child.tail,
      // Whoever has the runtime may be slow: the child's end ends the wait.
      answer: (code, text) =>
        Promise.race([supply.answer(code, text, child), child.gone]),
    });
    signal.throwIfAborted();
  } catch (error) {
    // One that ended its output is about to say how it ended.
    const ending = error instanceof BootEofError && !signal.aborted;
    child.close(ending ? ENDING : 0);
    await child.gone;
    if (signal.aborted) {
      const { kind, message } = signal.reason as ConnectError;
      throw fail(kind, message.replace(/^Cannot connect: /, ""), error);
    }
    if (error instanceof Refused) {
      throw fail(error.kind, error.message, error.cause);
    }
    if (error instanceof RuntimeError) {
      throw fail("runtime", error.message, error);
    }
    const why = explain(child, program, error as Error);
    throw fail(why.kind, why.message, error);
  } finally {
    signal.removeEventListener("abort", stop);
  }

  onProgress?.({ path, step: "ready" });
  const link = new Link(router, child, id);
  const { farewell } = program;
  child.onLine = (message) => {
    if (child.asked && farewell?.test(message)) return;
    child.tail.push(message);
    router.onRecord({
      level: "info",
      logger: "stdio",
      message,
      contextId: id,
      path,
      time: Date.now(),
    });
  };
  const context = parent.adopt(link, path, child, config.ids);
  link.keepAlive(alive, () => child.isBusy());
  return context;
}

/** How many times longer a context waits for its parent than the parent for it. */
const PATIENCE = 4;

/** What the output and the exit of a program that did not boot say. */
function explain(
  child: ProcessChild,
  program: ProcessContextOptions,
  error: Error,
): Failure {
  const tail = child.tail.toString();
  const status = child.status!;
  const known = program.explain?.(tail, status);
  if (known) return known;
  const said = child.tail.last();
  const how = status.signal
    ? `it was ended by ${status.signal}`
    : `it exited with code ${status.code}`;
  const message = said ? `${how}: ${said}` : `${how} and said nothing`;
  if (/Is \/proc mounted/.test(tail)) {
    return { kind: "runtime", message: "Deno needs /proc to be mounted there" };
  }
  // An old Deno runs the first stage, but has not what it needs.
  if (/registerHooks|unexpected argument/.test(tail)) {
    return {
      kind: "runtime",
      message: `the Deno there is too old, 2.9 is needed: ${said}`,
    };
  }
  if (status.code === 127 || status.code === 126) {
    return { kind: "runtime", message };
  }
  const begun = error instanceof BootEofError && error.begun;
  return { kind: begun ? "bootstrap" : "eof", message };
}
