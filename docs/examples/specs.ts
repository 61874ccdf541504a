import { pool, Router } from "@mitogen/mitogen";

await using router = new Router();

// As it may come from a command line: any way in, with its options.
const specs = [
  "local:?name=reader&permissions=read",
  "worker:?name=thread",
  "ssh:web1:port",
];

// Ten at once unless told otherwise, in the order in which they are done.
const reports = pool(specs, async (spec, { signal }) => {
  await using context = await router.connect(spec, { signal });
  return await context.with({ signal }).call(
    () => Deno.permissions.querySync({ name: "read" }).state,
  );
}, { concurrency: 1 });

for await (const report of reports) {
  if (report.status === "fulfilled") console.log(report.target, report.value);
  else console.log(String(report.reason));
}

// A chain: each opens the next one. Those on the way end with the last.
const last = await router.connect(["local:?name=first", "local:?name=second"]);
console.log(last.path);
