import { ConnectError, type ConnectErrorKind } from "../core/mod.ts";
import type { Attempt } from "./connect.ts";
import type { Failure } from "./process_context.ts";
import { ProcessChild, type ProcessOptions } from "./process_child.ts";

/** Bytes of an answer. Who says more is not telling what it was asked. */
const MAX_ANSWER = 256 * 1024;

/** A program that is asked something on the way to a context. */
export interface Question extends ProcessOptions {
  /** Path of the context that is being made. */
  path: string;
  /** What its failure means. */
  explain(tail: string, status: Deno.CommandStatus): Failure | undefined;
}

/**
 * What a program prints, once it has ended well. Nothing is left of it.
 *
 * @throws {ConnectError} when it cannot be run, fails, or says too much
 */
export async function ask(
  attempt: Attempt,
  question: Question,
): Promise<string> {
  const { path, command, args, explain } = question;
  const { signal } = attempt;
  const fail = (kind: ConnectErrorKind, message: string, cause?: unknown) =>
    new ConnectError(`Cannot connect to ${path}: ${message}`, {
      kind,
      command: [command, ...args].join(" ").slice(0, 500),
      tail: child?.tail.toString() ?? "",
      hop: path,
      cause,
    });

  let child: ProcessChild | undefined;
  try {
    child = new ProcessChild(question);
  } catch (error) {
    const missing = error instanceof Deno.errors.NotFound;
    const message = missing
      ? `there is no program "${command}" here`
      : (error as Error).message;
    throw fail(missing ? "not-found" : "bootstrap", message, error);
  }
  const stop = () => child.close();
  signal.addEventListener("abort", stop);
  if (signal.aborted) stop();
  try {
    const decoder = new TextDecoder();
    let text = "";
    for (let chunk; (chunk = await child.read()) !== null;) {
      text += decoder.decode(chunk, { stream: true });
      if (text.length > MAX_ANSWER) {
        child.close();
        await child.gone;
        throw fail("bootstrap", `"${command}" says more than it was asked`);
      }
    }
    await child.gone;
    if (signal.aborted) {
      const { kind, message } = signal.reason as ConnectError;
      throw fail(kind, message.replace(/^Cannot connect: /, ""), signal.reason);
    }
    const status = child.status!;
    if (status.success) return text;
    const why = explain(child.tail.toString(), status) ?? {
      kind: "eof",
      message: `"${command}" exited with code ${status.code}: ${
        child.tail.last() || "it said nothing"
      }`,
    };
    throw fail(why.kind, why.message);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
