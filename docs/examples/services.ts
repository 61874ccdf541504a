import { AllowAny, type Context, current, Router } from "@mitogen/mitogen";

/** Made where it is called first: the parent says so, with `activate`. */
export function packages() {
  const installed = new Set<string>();
  return {
    install(name: string): string {
      installed.add(name);
      return `${name} in ${current().context.name}`;
    },
    list: (): string[] => [...installed],
  };
}

/** Runs in a context, and asks the master. */
export async function ask(what: string): Promise<string> {
  const settings = current().parent.service<{ get(key: string): string }>(
    "settings",
  );
  return await settings.get(what);
}

if (import.meta.main) {
  await using router = new Router({ onLog() {} });
  const web = await router.local({ name: "web" });

  // Down: a service that is made in the context, once, and keeps its state.
  const service = web.service("packages", { activate: packages });
  console.log(await service.install("nginx"));
  console.log(await service.install("git"));
  console.log(await service.list());

  // Up: an object of this program, for whoever its policy lets.
  const settings = { get: (key: string) => `${key}=42` };
  using _ = await router.serve("settings", settings, { policy: AllowAny });
  console.log(await web.call(ask, "answer"));

  // What is not served, or not for you, says so.
  await router.serve("secrets", settings);
  const refused = web.call(async (master: Context) => {
    await master.service<{ get(key: string): string }>("secrets").get("key");
  }, router.myself());
  console.log(await refused.catch((error) => error.message));
}
