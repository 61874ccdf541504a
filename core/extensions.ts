import type { Extensions } from "./codec.ts";
import { Context } from "./context.ts";
import {
  CallError,
  type CallErrorParts,
  ChannelError,
  type CloseReason,
  ConnectError,
  type ConnectErrorKind,
  CopyError,
  DisconnectedError,
  errorStack,
} from "./errors.ts";
import { Handle } from "./frame.ts";
import { packLive, unpackLive } from "./live.ts";
import type { Router } from "./router.ts";
import { Secret } from "./secret.ts";
import { Sender } from "./sender.ts";

/** Tags of the values that the codec does not know by itself. */
export const Tag = {
  CONTEXT: 1,
  SENDER: 2,
  SECRET: 3,
  CALL_ERROR: 4,
  CONNECT_ERROR: 5,
  DISCONNECTED_ERROR: 6,
  CHANNEL_ERROR: 7,
  COPY_ERROR: 8,
} as const;

/** From this tag on it is live: see `live.ts`. */
const FIRST_LIVE = 16;

const SERVICES: ReadonlySet<number> = new Set(Object.values(Handle));

type Packed = readonly [tag: number, payload: unknown];

/** What makes this library's own values cross. */
export function extensionsOf(router: Router): Extensions {
  return {
    pack: (value) => pack(value) ?? packLive(router.ends, value),
    unpack: (tag, payload) =>
      tag < FIRST_LIVE
        ? unpack(router, tag, payload)
        : unpackLive(router.ends, tag, payload),
  };
}

function pack(value: object): Packed | undefined {
  if (value instanceof Error) return packError(value);
  if (value instanceof Context) return [Tag.CONTEXT, [value.id, value.path]];
  if (value instanceof Sender) {
    return [Tag.SENDER, [value.context.id, value.context.path, value.handle]];
  }
  if (value instanceof Secret) return [Tag.SECRET, value.reveal()];
  return undefined;
}

function packError(error: Error): Packed | undefined {
  const stack = errorStack(error);
  if (error instanceof CallError) {
    return [Tag.CALL_ERROR, [CallError.parts(error), stack]];
  }
  if (error instanceof ConnectError) {
    const { message, kind, command, tail, hop, cause } = error;
    return [
      Tag.CONNECT_ERROR,
      [message, {
        kind,
        command,
        tail,
        hop,
        ...(cause === undefined ? {} : { cause }),
      }, stack],
    ];
  }
  if (error instanceof DisconnectedError) {
    return [Tag.DISCONNECTED_ERROR, [error.reason, error.path, stack]];
  }
  if (error instanceof CopyError) {
    const { message, path, context, code, cause } = error;
    return [Tag.COPY_ERROR, [message, [path, context, code, cause], stack]];
  }
  if (error instanceof ChannelError) {
    return [Tag.CHANNEL_ERROR, [error.message, stack]];
  }
  return undefined;
}

// What comes in may be anything: each field is looked at before it is used.

function list(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw new TypeError("expected a list");
  return value;
}

function text(value: unknown): string {
  if (typeof value !== "string") throw new TypeError("expected text");
  return value;
}

function number(value: unknown): number {
  if (typeof value !== "number" || value >>> 0 !== value) {
    throw new TypeError("expected an unsigned number of 32 bits");
  }
  return value;
}

/** What is sent is sent with this context's authority: never to the services. */
function receiving(handle: number): number {
  if (SERVICES.has(handle)) {
    throw new TypeError(`no receiver may have the handle ${handle}`);
  }
  return handle;
}

function record(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null) {
    throw new TypeError("expected an object");
  }
  return value as Record<string, unknown>;
}

/** A reason of disconnection as it came from elsewhere. */
export function toReason(value: unknown): CloseReason {
  const { kind, message, code, signal } = record(value);
  return {
    kind: text(kind) as CloseReason["kind"],
    message: text(message),
    ...(typeof code === "number" ? { code } : {}),
    ...(typeof signal === "string" ? { signal } : {}),
  };
}

function withStack<E extends Error>(error: E, stack: unknown): E {
  Object.defineProperty(error, "stack", {
    value: text(stack),
    writable: true,
    configurable: true,
  });
  return error;
}

function unpack(router: Router, tag: number, payload: unknown): unknown {
  if (tag === Tag.SECRET) return new Secret(text(payload));
  const [a, b, c] = list(payload);
  switch (tag) {
    case Tag.CONTEXT:
      return router.contextById(number(a), text(b).slice(0, 1000));
    case Tag.SENDER:
      return new Sender(
        router.contextById(number(a), text(b).slice(0, 1000)),
        receiving(number(c)),
      );
    case Tag.CALL_ERROR: {
      const [cause, path, name, stack, message] = list(a);
      const parts: CallErrorParts = [
        cause,
        text(path),
        text(name),
        text(stack),
        text(message),
      ];
      return withStack(new CallError(parts), b);
    }
    case Tag.CONNECT_ERROR: {
      const { kind, command, tail, hop, ...rest } = record(b);
      return withStack(
        new ConnectError(text(a), {
          kind: text(kind) as ConnectErrorKind,
          command: text(command),
          tail: text(tail),
          hop: text(hop),
          ...("cause" in rest ? { cause: rest.cause } : {}),
        }),
        c,
      );
    }
    case Tag.DISCONNECTED_ERROR:
      return withStack(new DisconnectedError(toReason(a), text(b)), c);
    case Tag.COPY_ERROR: {
      const [path, context, code, cause] = list(b);
      const fields = {
        path: text(path),
        context: text(context),
        code: text(code),
        cause,
      };
      return withStack(new CopyError(text(a), fields), c);
    }
    case Tag.CHANNEL_ERROR:
      return withStack(new ChannelError(text(a)), b);
  }
  throw new TypeError(`unknown extension ${tag}`);
}
