/**
 * Makes `dist/fakessh` with `deno compile`.
 *
 * @module
 */
const ENTRY = "fakessh/main.ts";

/** What the binary may do, and no more. */
const FLAGS = [
  "--allow-run",
  "--allow-read",
  "--allow-write",
  "--allow-net",
  "--allow-env",
  "--allow-sys",
];

try {
  await Deno.stat(ENTRY);
} catch {
  console.error(
    `${ENTRY} is not written yet: there is nothing to compile. So far the fakessh room reads ssh's command lines.`,
  );
  Deno.exit(1);
}
const { code } = await new Deno.Command(Deno.execPath(), {
  args: ["compile", ...FLAGS, "--output", "dist/fakessh", ...Deno.args, ENTRY],
  stdin: "null",
}).spawn().status;
if (code !== 0 && !Deno.env.has("DENORT_BIN")) {
  console.error(
    "\n`deno compile` puts the program behind a runtime called denort, which it fetches. Where it cannot, name one of this Deno's version: DENORT_BIN=/path/to/denort deno task compile",
  );
}
Deno.exit(code);
