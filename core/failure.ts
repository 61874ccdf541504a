import { CallError, errorMessage, errorName } from "./errors.ts";
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
  // A chain's failure is handed to the calls after it as it is.
  if (error instanceof CallError && error.path === path) return error;
  const name = errorName(error);
  const message = errorMessage(error);
  let stack = `${name}: ${message}`;
  if (error instanceof Error && error.stack) {
    stack = cleanStack(error.stack);
    try {
      error.stack = stack;
    } catch {
      // A frozen error keeps the stack it has.
    }
  }
  return new CallError([error, path, name, stack, message]);
}

/** The same without what cannot cross. */
function bare(failure: CallError): CallError {
  const { cause, path, remoteName, remoteStack, message } = failure;
  let kept: unknown = message;
  if (cause instanceof Error) {
    kept = new Error(cause.message);
    Object.assign(kept as Error, { name: cause.name, stack: cause.stack });
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
