/** What the pages show is what the examples are, and what they print. */
import { assert, assertEquals } from "@std/assert";

const root = new URL("../../", import.meta.url);
const pages = [
  "README.md",
  "docs/getting-started.md",
  "docs/fakessh.md",
  "docs/services.md",
  "docs/processes.md",
  "docs/files.md",
  "docs/streams.md",
  "docs/ways-in.md",
  "docs/security.md",
  "docs/troubleshooting.md",
];

/** Numbers that are measured differ from run to run. */
function steady(text: string): string {
  return text.trim().replace(/\d+(\.\d+)?/g, "#").replace(/ +/g, " ");
}

async function run(file: string): Promise<string> {
  const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", file],
    cwd: root,
    stdin: "null",
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder();
  assert(success, text.decode(stderr));
  return text.decode(stdout);
}

/** `<!-- example: FILE -->`, its source, and then its output. */
const EXAMPLE =
  /<!-- example: (\S+) -->\s*```ts\n([\s\S]*?)```[\s\S]*?```text\n([\s\S]*?)```/g;

for (const page of pages) {
  Deno.test(`the examples in ${page} are real, and so is their output`, async (t) => {
    const text = await Deno.readTextFile(new URL(page, root));
    const examples = [...text.matchAll(EXAMPLE)];
    assert(examples.length > 0);
    for (const [, file, source, output] of examples) {
      await t.step(file!, async () => {
        assertEquals(
          source!.trim(),
          (await Deno.readTextFile(new URL(file!, root))).trim(),
        );
        assertEquals(steady(output!), steady(await run(file!)));
      });
    }
  });
}

Deno.test("the fleet report prints a row for each context, and its errors as rows", async () => {
  const report = await run("docs/examples/fleet.ts");
  for (const name of ["local", "local/local", "local/local/local/worker"]) {
    assert(report.includes(`ok ${name} (`), report);
  }
  assert(
    /^context +host +took +user +load +memory free +disk free$/m.test(report),
  );
  const specs = ["local:", "ssh:no-such-host.invalid", "web1", "local:?port=1"];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "docs/examples/fleet.ts", ...specs],
    cwd: root,
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder().decode(stdout);
  assertEquals([code, new TextDecoder().decode(stderr)], [1, ""]);
  for (
    const row of [
      /^ok local: \(/m,
      /^ssh:no-such-host\.invalid +failed.*not-found/m,
      /^web1 +failed.*Cannot read the spec "web1".*such as ssh:web1/m,
      /^local:\?port=1 +failed.*no option "port"/m,
    ]
  ) assert(row.test(text), text);
});
