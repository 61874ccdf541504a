import { Router } from "@mitogen/mitogen";
import { run } from "@mitogen/mitogen/fakessh";

await using router = new Router();
const [one, two] = await Promise.all([router.local(), router.local()]);

const folder = await Deno.makeTempDir();
await Deno.mkdir(`${folder}/from`);
await Deno.writeTextFile(`${folder}/from/report.txt`, "all is well\n");

// rsync runs in the first context, and its ssh leads to the second.
const { code } = await run(
  two,
  ["rsync", "-a", `${folder}/from/`, `any-name:${folder}/to/`],
  { on: one },
);
console.log(code, await Deno.readTextFile(`${folder}/to/report.txt`));
await Deno.remove(folder, { recursive: true });
