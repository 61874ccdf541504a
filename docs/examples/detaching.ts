import { connectUnix, current, Router } from "@mitogen/mitogen";

let done = 0;

/** Goes on without its master; whoever joins at the socket can look. */
export async function work(socket: string): Promise<void> {
  const { router } = current();
  await current().detach({ log: `${socket}.log` });
  await router.listen(socket);
  setInterval(() => console.log(`step ${++done}`), 10);
}

export function progress(): boolean {
  return done > 0;
}

if (import.meta.main) {
  const folder = await Deno.makeTempDir(); // mode 0700
  const socket = `${folder}/work`;
  {
    await using router = new Router();
    const context = await router.local({ name: "work" });
    await context.call(work, socket);
    context.closed.then(({ message }) => console.log(message));
  }

  // The tree is gone. Today, tomorrow, from another program:
  await using router = await connectUnix(socket);
  const [context] = router.contexts();
  while (!await context!.call(progress));
  console.log(`${context!.path} has done something`);
  await context!.shutdown();
  console.log((await router.left).message);

  const log = await Deno.readTextFile(`${socket}.log`);
  console.log(log.split("\n")[0]!.split(" ").slice(1).join(" "));
  await Deno.remove(folder, { recursive: true });
}
