import { CallError, Router } from "@mitogen/mitogen";
import { words } from "./text.ts";

await using router = new Router();
const sandbox = await router.local({ permissions: "none", name: "sandbox" });

// An exported function: its module is sent there, with all that it imports.
console.log(await sandbox.call(words, "to be or not to be"));

// A closure: its source is sent there.
console.log(await sandbox.call((a: number, b: bigint) => BigInt(a) * b, 6, 7n));

// What it was not granted, it does not get; errors come back whole.
try {
  await sandbox.call(() => Deno.readTextFileSync("/etc/passwd"));
} catch (error) {
  if (!(error instanceof CallError)) throw error;
  console.log(error.path, error.remoteName, error.cause instanceof Error);
}
