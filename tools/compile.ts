/**
 * Makes `dist/fakessh` with `deno compile`.
 *
 * @module
 */

/** Where the program begins. */
export const ENTRY = "fakessh/main.ts";

/** What the binary may do, and no more. */
export const FLAGS = [
  "--no-prompt",
  "--allow-run",
  "--allow-read",
  "--allow-write",
  "--allow-net",
  "--allow-env",
  "--allow-sys",
];

if (import.meta.main) {
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: [
      "compile",
      ...FLAGS,
      "--output",
      "dist/fakessh",
      ...Deno.args,
      ENTRY,
    ],
    stdin: "null",
  }).spawn().status;
  if (code !== 0 && !Deno.env.has("DENORT_BIN")) {
    console.error(
      "\n`deno compile` puts the program behind a runtime called denort, which it fetches. Where it cannot, name one of this Deno's version: DENORT_BIN=/path/to/denort deno task compile",
    );
  }
  Deno.exit(code);
}
