import { Router } from "@mitogen/mitogen";

await using router = new Router({
  onLog: ({ path, message }) => console.log(`[${path}] ${message}`),
});

// A context opens the next one: here processes, elsewhere ssh, sudo, a container.
const first = await router.local({ name: "first" });
const second = await router.local({ via: first, name: "second" });
const worker = await router.worker({ via: second, name: "worker" });

// What is printed anywhere comes back with its context.
await worker.call(() => console.log("hello from down here"));

// A context that is lost takes what is behind it along, and says why.
await first.call(() => Deno.exit(3)).catch(() => {});
console.log((await first.closed).message);
console.log((await worker.closed).message);
