import { CallError, errorMessage, errorName, errorStack } from "./errors.ts";
import { Magic } from "./frame.ts";
import { Message } from "./message.ts";
import type { Router } from "./router.ts";

/** The stack without the frames of this library and of the runtime below it. */
function cleanStack(stack: string): string {
  return stack.split("\n").filter((line) =>
    !/^\s+at .*(mitogen:core|node:async_hooks|ext:)/.test(line)
  ).join("\n");
}

/** What was thrown here, as whoever called gets it. */
export function toCallError(error: unknown, path: string): CallError {
  const name = errorName(error);
  const message = errorMessage(error);
  let stack = `${name}: ${message}`;
  try {
    // A chain's failure is handed to the calls after it as it is.
    if (error instanceof CallError && error.path === path) return error;
    if (error instanceof Error) {
      stack = cleanStack(errorStack(error)) || stack;
      error.stack = stack;
    }
  } catch {
    // A frozen error keeps the stack it has; others cannot be looked at.
  }
  return new CallError([error, path, name, stack, message]);
}

/** The same without what cannot cross. */
function bare(failure: CallError): CallError {
  const { cause, path, remoteName, remoteStack, message } = failure;
  let kept: unknown = message;
  try {
    if (cause instanceof Error) {
      kept = new Error(message);
      Object.assign(kept as Error, { name: remoteName, stack: remoteStack });
    }
  } catch {
    // One that cannot be asked what it is: its text has to do.
  }
  return new CallError([kept, path, remoteName, remoteStack, message]);
}

/** Answers a message with what was thrown. */
export function replyFailure(
  router: Router,
  message: Message,
  failure: CallError,
): void {
  const reply = (error: CallError) =>
    message.reply(Message.value(error, { router, magic: Magic.ERROR }));
  try {
    reply(failure);
  } catch {
    reply(bare(failure));
  }
}
