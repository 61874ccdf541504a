/**
 * The errors that callers are expected to catch.
 *
 * @module
 */

/** Why a context is gone. The first reason is the one that is kept. */
export interface CloseReason {
  /**
   * - `shutdown`: it was asked to end, and did
   * - `exit`: its process ended by itself; `code` says how
   * - `signal`: its process was ended by a signal; `signal` says which
   * - `eof`: its connection ended
   * - `protocol`: it sent something that no context sends
   * - `route`: something between here and there is gone; `message` says what
   * - `detached`: it goes on without its parent
   * - `timeout`: it was silent for too long
   */
  kind:
    | "shutdown"
    | "exit"
    | "signal"
    | "eof"
    | "protocol"
    | "route"
    | "detached"
    | "timeout";
  /** One sentence for people. */
  message: string;
  /** Exit code of the process, where it is known. */
  code?: number;
  /** Signal that ended the process, where it is known. */
  signal?: string;
}

/** Reasons of dead messages that code depends on. The first five are Mitogen's. */
export const Dead = {
  POLICY: "refused by policy",
  HANDLE: "invalid handle",
  RESPONDENT: "the respondent Context has disconnected",
  REPLY: "reply from unexpected context",
  CLOSED: "Sender was explicitly closed",
  SIZE: "message too large",
  ROUTER: "the router has shut down",
  NO_ROUTE: "no route to ",
  NO_SERVICE: "no service is served there",
} as const;

/**
 * A channel or a call cannot go on: refused by policy, an unknown handle, a
 * message over the limit, the other end closed.
 */
export class ChannelError extends Error {
  /** The name of its class. */
  override name = "ChannelError";
}

/** The context that was asked is gone, or the way to it is. */
export class DisconnectedError extends ChannelError {
  /** The name of its class. */
  override name = "DisconnectedError";
  /** Why, where it is known. */
  readonly reason: CloseReason;
  /** Path of the context that was lost, such as `master/ssh.web1`. */
  readonly path: string;

  /** Made by the router when a context is lost. */
  constructor(reason: CloseReason, path = "") {
    super(
      `Cannot reach ${path || "the context"}: ${reason.message}`,
    );
    this.reason = reason;
    this.path = path;
  }
}

/** The error that a dead message stands for. */
export function fromDead(text: string, path = ""): ChannelError {
  if (text.startsWith(Dead.RESPONDENT)) {
    const why = text.slice(Dead.RESPONDENT.length).replace(/^: /, "");
    return new DisconnectedError(routeLost(why || text), path);
  }
  if (text.startsWith(Dead.NO_ROUTE) || text === Dead.ROUTER) {
    return new DisconnectedError(routeLost(text), path);
  }
  return new ChannelError(text || "the other end closed the channel");
}

/** The text of the dead message that stands for an error. */
export function toDead(error: ChannelError): string {
  return error instanceof DisconnectedError
    ? `${Dead.RESPONDENT}: ${error.reason.message}`
    : error.message;
}

/** What a {@linkcode CallError} is made of when it crosses. */
export type CallErrorParts = [
  cause: unknown,
  path: string,
  remoteName: string,
  remoteStack: string,
  message: string,
];

/**
 * The function that was called threw.
 *
 * @example
 * ```ts
 * import { CallError, Router } from "@mitogen/mitogen";
 *
 * await using router = new Router();
 * const context = await router.local();
 * try {
 *   await context.call(() => Deno.readTextFileSync("/nowhere"));
 * } catch (error) {
 *   if (error instanceof CallError) console.log(error.remoteName);
 * }
 * ```
 */
export class CallError extends Error {
  /** The name of its class. */
  override name = "CallError";
  /** Name of the error's class on the other side. */
  readonly remoteName: string;
  /** Stack on the other side, with the caller's own file names and lines. */
  readonly remoteStack: string;
  /** Path of the context in which it was thrown. */
  readonly path: string;

  /** Made by the dispatcher of the context that was called. */
  constructor(parts: CallErrorParts) {
    const [cause, path, remoteName, remoteStack, message] = parts;
    super(message, { cause });
    this.path = path;
    this.remoteName = remoteName;
    this.remoteStack = remoteStack;
  }

  /** The parts that cross. */
  static parts(error: CallError): CallErrorParts {
    return [
      error.cause,
      error.path,
      error.remoteName,
      error.remoteStack,
      error.message,
    ];
  }
}

/** What kept a context from being made. */
export type ConnectErrorKind =
  | "auth"
  | "hostkey"
  | "eof"
  | "timeout"
  | "bootstrap"
  | "not-found"
  | "runtime"
  | "cancelled";

/** Fields of a {@linkcode ConnectError}. */
export interface ConnectErrorFields {
  /** What kept the context from being made. */
  kind: ConnectErrorKind;
  /** The command line that was run, for people; never holds a secret. */
  command?: string;
  /** The last lines that the other end printed. */
  tail?: string;
  /** Path of the context that could not be made, such as `master/ssh.web1`. */
  hop?: string;
}

/** A context could not be made. Keeps its class and kind behind any number of hops. */
export class ConnectError extends Error implements ConnectErrorFields {
  /** The name of its class. */
  override name = "ConnectError";
  readonly kind: ConnectErrorKind;
  readonly command: string;
  readonly tail: string;
  readonly hop: string;

  /** Made by a connection method. */
  constructor(
    message: string,
    fields: ConnectErrorFields & { cause?: unknown },
  ) {
    super(message, "cause" in fields ? { cause: fields.cause } : undefined);
    this.kind = fields.kind;
    this.command = fields.command ?? "";
    this.tail = fields.tail ?? "";
    this.hop = fields.hop ?? "";
  }
}

/** Fields of a {@linkcode CopyError}. */
export interface CopyErrorFields {
  /** The file or directory that could not be read or written. */
  path: string;
  /** Path of the context in which that is, such as `master/ssh.web1`. */
  context: string;
  /** What the system calls the reason, such as `ENOSPC`; empty for others. */
  code: string;
}

/**
 * A file could not be copied. What it was to replace is as it was.
 *
 * @example
 * ```ts
 * import { CopyError, Router } from "@mitogen/mitogen";
 * import { assertEquals } from "@std/assert";
 *
 * await using router = new Router();
 * const context = await router.local();
 * try {
 *   await context.copyTo("/etc/hostname", "/no/such/place");
 * } catch (error) {
 *   if (!(error instanceof CopyError)) throw error;
 *   assertEquals([error.path, error.code], ["/no/such", "ENOENT"]);
 * }
 * ```
 */
export class CopyError extends Error implements CopyErrorFields {
  /** The name of its class. */
  override name = "CopyError";
  readonly path: string;
  readonly context: string;
  readonly code: string;

  /** Made by the context that reads or writes the file. */
  constructor(message: string, fields: CopyErrorFields & { cause?: unknown }) {
    super(message, "cause" in fields ? { cause: fields.cause } : undefined);
    this.path = fields.path;
    this.context = fields.context;
    this.code = fields.code;
  }
}

// What is thrown may be anything, such as a proxy: to look at it may throw.

/** The name to show for something thrown: its class, or its type. */
export function errorName(error: unknown): string {
  try {
    if (!(error instanceof Error)) {
      return error === null ? "null" : typeof error;
    }
    // A class that sets no name has that of its parent: its own says more.
    const named = error instanceof DOMException || Object.hasOwn(error, "name");
    return String(named ? error.name : error.constructor?.name || error.name);
  } catch {
    return "Error";
  }
}

/** The message of anything thrown. */
export function errorMessage(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error);
  } catch {
    return "something that cannot be printed";
  }
}

/** The stack of an error; empty where there is none. */
export function errorStack(error: Error): string {
  try {
    return String(error.stack ?? "");
  } catch {
    return "";
  }
}

/** Why something is gone that is not a neighbour. */
export function routeLost(message: string): CloseReason {
  return { kind: "route", message };
}

/** Why what was behind a context is gone, when that is. */
export function behind(path: string, reason: CloseReason): CloseReason {
  return routeLost(`${path} on the way to it was lost: ${reason.message}`);
}
