import { ProcessError, Router } from "@mitogen/mitogen";

await using router = new Router();
const context = await router.local();

// What it prints, as text, as lines, or as JSON.
console.log(await (await context.spawn("echo", { args: ["$HOME"] })).text());
const seq = await context.spawn("seq", { args: ["1000000"] });
for await (const line of seq.lines()) {
  if (line === "3") break; // Ends it.
  console.log(line);
}

// Its input, and web streams all the way.
const sort = await context.spawn("sort", {
  stdin: new TextEncoder().encode("pear\napple\nfig\n"),
});
console.log(await new Response(sort.stdout).text());

// A failure says how, and the last of what was printed.
try {
  const backup = await context.spawn("sh", {
    args: ["-c", "echo 'the disk is full' >&2; exit 3"],
  });
  await backup.text();
} catch (error) {
  if (!(error instanceof ProcessError)) throw error;
  console.log(error.status.code, error.tail);
}

// A terminal of its own.
const size = await context.spawn("stty", {
  args: ["size"],
  pty: { columns: 120, rows: 40 },
});
console.log(await new Response(size.stdout).text());
