/**
 * The whole gate: what must hold before anything lands. CI runs the same.
 *
 * @module
 */
const deno = Deno.execPath();

async function sources(): Promise<string[]> {
  const { stdout } = await new Deno.Command("git", {
    args: ["ls-files", "*.ts"],
  }).output();
  return new TextDecoder().decode(stdout).split("\n").filter((file) =>
    file !== "" && !file.startsWith("tests/fixtures/modules/absent")
  );
}

const STEPS: [name: string, args: string[]][] = [
  ["format", ["fmt", "--check"]],
  ["lint", ["lint"]],
  ["types", ["check", ...await sources()]],
  ["doc comments", ["doc", "--lint", "mod.ts"]],
  ["pack is fresh", ["run", "-A", "tools/pack.ts", "--check"]],
  ["size budgets", ["run", "-A", "tools/size.ts"]],
  ["publishable", ["publish", "--dry-run", "--allow-dirty", "--quiet"]],
  ["tests", ["run", "-A", "tools/test.ts"]],
];

for (const [name, args] of STEPS) {
  console.log(`\n== ${name}: deno ${args.join(" ").slice(0, 100)}`);
  const { success, code } = await new Deno.Command(deno, {
    args,
    stdin: "null",
  }).spawn().status;
  if (!success) {
    console.error(`\n${name} does not hold`);
    Deno.exit(code);
  }
}
console.log("\nAll holds");
