/**
 * The program `fakessh`: see docs/fakessh.md, or `fakessh --help`.
 *
 * It is also what it needs beside itself when it is compiled: the client that
 * tools call as ssh, and the runtime of the contexts on this machine.
 *
 * @module
 */
import config from "../deno.json" with { type: "json" };
import { Router } from "../mod.ts";
import { ownPermissions, permissionFlags } from "../parent/mod.ts";
import { runClient } from "./client.ts";
import { program } from "./program/program.ts";
import { bootModule, narrow } from "./program/runtime.ts";
import { treeAt } from "./program/trees.ts";

/** The command that starts this program again, with the permissions that it has. */
function self(args: string[]): [command: string, args: string[]] {
  const runtime = Deno.execPath();
  if (Deno.build.standalone) return [runtime, args];
  const flags = permissionFlags(ownPermissions());
  return [runtime, [
    "run",
    "-q",
    "--no-prompt",
    ...flags,
    Deno.mainModule,
    ...args,
  ]];
}

async function main(args: readonly string[]): Promise<number> {
  const boot = bootModule(args);
  if (boot !== undefined) {
    await narrow(args);
    await import(boot);
    // It lives as long as its connection does.
    return await new Promise(() => {});
  }
  const folder = Deno.env.get("FAKESSH_CLIENT");
  if (folder !== undefined) {
    return await runClient(await treeAt(folder), [...args]);
  }
  return await program(args, {
    makeRouter: (onLog) => new Router({ onLog }),
    self,
    version: config.version,
  });
}

if (import.meta.main) Deno.exit(await main(Deno.args));
