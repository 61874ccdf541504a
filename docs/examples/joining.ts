import { connectUnix, Router } from "@mitogen/mitogen";

export function load(path: string): string {
  return `${path} is well`;
}

if (import.meta.main) {
  // One program runs a tree and lets others in.
  await using router = new Router();
  await router.local({ name: "web" });
  const folder = await Deno.makeTempDir(); // mode 0700
  await using listener = await router.listen(`${folder}/tree`);

  // Another program of the same user joins. Here it is the same one.
  const joined = await connectUnix(listener.path);
  for (const context of joined.contexts()) {
    console.log(await context.call(load, context.path));
  }
  // What it opens belongs to the tree, and stays when it leaves.
  await joined.local({ name: "db" });
  await joined.shutdown();
  console.log((await joined.left).message);
  console.log(router.contexts().map(({ path }) => path));

  await listener.close();
  await Deno.remove(folder);
}
