import type { ConnectOptions, Context, Methods, Router } from "../core/mod.ts";
import { connect } from "./connect.ts";
import { parseSpec } from "./spec.ts";

/** Opens what a text names, or a chain of such. See {@linkcode Router.connect}. */
export async function connectSpec(
  router: Router,
  spec: string | readonly string[],
  options: ConnectOptions,
): Promise<Context> {
  // All of them are read before anything is opened.
  const chain = (typeof spec === "string" ? [spec] : spec).map(parseSpec);
  if (chain.length === 0) {
    throw new TypeError("Cannot connect: the chain of specs is empty");
  }
  const { via, name, permissions, cwd, env, ...common } = options;
  const opened: Context[] = [];
  try {
    for (const [i, { method, options: own }] of chain.entries()) {
      const isLast = i === chain.length - 1;
      const all: Record<string, unknown> = {
        ...common,
        ...(isLast ? { name, permissions, cwd } : {}),
        ...own,
        deno: merged(common.deno, own.deno),
        env: merged(isLast ? env : undefined, own.env),
        via: opened.at(-1) ?? via,
      };
      for (const key in all) if (all[key] === undefined) delete all[key];
      opened.push(await connect(router, method, all as Methods[typeof method]));
    }
  } catch (error) {
    await opened[0]?.shutdown();
    throw error;
  }
  const context = opened.pop()!;
  // Nobody else has those on the way.
  const first = opened[0];
  if (first) void context.closed.then(() => first.shutdown());
  return context;
}

function merged(a: object | undefined, b: unknown): unknown {
  return a && b ? { ...a, ...b } : b ?? a;
}
