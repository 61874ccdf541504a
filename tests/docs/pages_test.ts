/** The pages know every way in, every option of a spec and every kind of error. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { parseSpec } from "../../parent/mod.ts";
import { GRAMMARS } from "../../parent/spec_grammars.ts";

const root = new URL("../../", import.meta.url);
const read = (path: string) => Deno.readTextFile(new URL(path, root));

/** The rows of the tables of a page, each with its cells. */
function rows(page: string): string[][] {
  return page.split("\n").filter((line) => line.startsWith("|"))
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
}

/** The words of a union of texts. */
async function words(file: string, before: RegExp): Promise<string[]> {
  const [, union] = (await read(file)).match(before)!;
  return [...union!.matchAll(/"([^"]+)"/g)].map(([, word]) => word!);
}

Deno.test("docs/ways-in.md has a row for each way in, and its specs can be read", async () => {
  const table = rows(await read("docs/ways-in.md"));
  for (const method of Object.keys(GRAMMARS)) {
    const row = table.find(([first]) => first === `\`${method}\``);
    assert(row, `there is no row for ${method}`);
  }
  const specs = table.flatMap((row) =>
    [...row[1]!.matchAll(/`([a-z]+:[^`]*)`/g)].map(([, spec]) => spec!)
  );
  assert(specs.length >= Object.keys(GRAMMARS).length);
  for (const spec of specs) {
    // With what may be left out, and without it.
    const long = spec.replace(/[[\]]/g, "").replace("port", "22");
    const short = spec.replace(/\[[^\]]*\]/g, "");
    for (const each of [long, short]) {
      const number = each.replace("pid", "42");
      assertEquals(parseSpec(number).method, spec.split(":")[0], number);
    }
  }
});

Deno.test("docs/troubleshooting.md has a row for each kind of error", async () => {
  const page = await read("docs/troubleshooting.md");
  const first = rows(page).map(([cell]) => cell!);
  const kinds = [
    ...await words("core/errors.ts", /type ConnectErrorKind =([^;]*);/),
    ...await words("core/errors.ts", /\n {2}kind:\n([^;]*);/),
  ];
  assertEquals(kinds.length, 16);
  for (const kind of kinds) assert(first.includes(`\`${kind}\``), kind);
  for (
    const dead of await words("core/errors.ts", /const Dead = \{([^}]*)\}/)
  ) assertStringIncludes(page, dead.trim());
});
