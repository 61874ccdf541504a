import type { Context, SudoOptions } from "../../core/mod.ts";
import type { Attempt } from "../connect.ts";
import { checkUser, connectPrivileged } from "../privilege.ts";
import { quoteOctal } from "../quote.ts";

/** Opens a context under another user with sudo. */
export function connectSudo(
  attempt: Attempt,
  options: SudoOptions,
): Promise<Context> {
  const username = checkUser(options.username ?? "root");
  return connectPrivileged(attempt, options, {
    name: "sudo",
    path: options.sudoPath ?? "sudo",
    username,
    password: options.password,
    asks: "stdin",
    asksWithout: true,
    args: (script, prompt) => [
      ...sudoArgs(options, prompt),
      "sh",
      "-c",
      // sudo -i puts a backslash before all but letters, digits, _, - and $.
      options.login ? quoteOctal(script) : script,
    ],
  });
}

/**
 * sudo's arguments up to the command. It reads the password from the input,
 * one byte at a time, and asks with words that no language changes.
 */
export function sudoArgs(options: SudoOptions, prompt: string): string[] {
  const { username = "root", preserveEnv, setHome, login } = options;
  return [
    "-S",
    "-p",
    prompt,
    "-u",
    username,
    ...(preserveEnv ? ["-E"] : []),
    ...(setHome ? ["-H"] : []),
    ...(login ? ["-i"] : []),
    ...options.sudoArgs ?? [],
    "--",
  ];
}
