import type { Context, SuOptions } from "../../core/mod.ts";
import type { Attempt } from "../connect.ts";
import { checkUser, connectPrivileged } from "../privilege.ts";
import { quoteForLogin } from "../quote.ts";

/** Opens a context under another user with su, through that user's shell. */
export function connectSu(
  attempt: Attempt,
  options: SuOptions,
): Promise<Context> {
  const username = checkUser(options.username ?? "root");
  return connectPrivileged(attempt, options, {
    name: "su",
    path: options.suPath ?? "su",
    username,
    password: options.password,
    asks: "tty-stdin",
    asksWithout: true,
    farewell: /^(Killed|Session terminated, .*| *\.\.\.killed\.)$/,
    args: (script) => [
      ...suArgs(options),
      "-c",
      `exec sh -c ${quoteForLogin(script)}`,
    ],
  });
}

/** su's arguments up to and including the user. */
export function suArgs(options: SuOptions): string[] {
  const { username = "root", preserveEnv, login } = options;
  return [
    ...(login ? ["-l"] : []),
    ...(preserveEnv ? ["-m"] : []),
    ...options.suArgs ?? [],
    username,
  ];
}
