import {
  CallError,
  ChannelError,
  ConnectError,
  DisconnectedError,
  Router,
} from "@mitogen/mitogen";

/** One line for whoever reads the log; what they can do depends on the kind. */
function explain(error: unknown): string {
  if (error instanceof ConnectError) {
    return `${error.hop} could not be opened: ${error.kind}`;
  }
  if (error instanceof DisconnectedError) {
    return `${error.path} was lost: ${error.reason.kind}`;
  }
  if (error instanceof ChannelError) return `refused: ${error.message}`;
  if (error instanceof CallError) {
    return `${error.remoteName} in ${error.path}: ${error.message}`;
  }
  return String(error);
}

await using router = new Router({ onLog() {} });
const hop = await router.local({ name: "hop" });
const leaf = await router.local({ via: hop, name: "leaf" });

const attempts = [
  () =>
    router.docker({ via: leaf, container: "web", dockerPath: "/no/docker" }),
  () => router.local({ via: leaf, deno: { path: "/no/deno" } }),
  () => router.connect("ssh:web1:port"),
  () => leaf.call(() => JSON.parse("{")),
  () => leaf.with({ timeout: 10 }).call(() => new Promise(() => {})),
  () => leaf.call(() => Deno.exit(3)),
  () => leaf.call(() => 1),
];
for (const attempt of attempts) {
  try {
    await attempt();
  } catch (error) {
    console.log(explain(error));
  }
}
