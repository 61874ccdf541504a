import { current, Receiver, Router, type Sender } from "@mitogen/mitogen";

/** What a context tries that has gone over to the enemy. */
export async function mischief(): Promise<Record<string, string>> {
  const { parent } = current();
  const attempts: Record<string, () => unknown> = {
    "read a file": () => Deno.readTextFileSync("/etc/passwd"),
    "read the environment": () => Deno.env.get("HOME"),
    "use the network": () => fetch("http://127.0.0.1/"),
    "run a program": () => new Deno.Command("sh").spawn(),
    "load a module of its own": () => import("file:///tmp/evil.ts"),
    "call a function in its parent": () => parent.call(() => Deno.exit(1)),
  };
  const said: Record<string, string> = {};
  for (const [what, attempt] of Object.entries(attempts)) {
    try {
      await attempt();
      said[what] = "done";
    } catch (error) {
      said[what] = (error as Error).name;
    }
  }
  return said;
}

if (import.meta.main) {
  await using router = new Router({
    onLog: ({ message }) => console.log(message.split(",")[0]),
  });
  const context = await router.local({ permissions: "none" });
  console.log(await context.call(mischief));

  // A receiver takes from everyone, unless it is told from whom.
  const friend = await router.local({ permissions: "none" });
  using receiver = new Receiver<string>(router, { respondent: friend });
  for (const each of [context, friend]) {
    await each.call(
      (sender: Sender<string>, path: string) => sender.send(path),
      receiver.toSender(),
      each.path,
    );
  }
  console.log(await receiver.get());
}
