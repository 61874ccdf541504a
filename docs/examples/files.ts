import { CopyError, copyToAll, Router } from "@mitogen/mitogen";

await using router = new Router();
const gateway = await router.local({ name: "gateway" });
const folder = await Deno.makeTempDir();
const path = (name: string) => `${folder}/${name}`;

// A directory, with modes and times. It is there whole or not at all.
await Deno.mkdir(path("site/img"), { recursive: true });
await Deno.writeTextFile(path("site/index.html"), "<h1>Hello</h1>\n");
await Deno.writeFile(path("site/img/logo"), new Uint8Array(1_000_000));
let last = "";
await gateway.copyTo(path("site"), path("www"), {
  onProgress: ({ files, bytes, total }) =>
    last = `${files} files, ${bytes} of ${total} bytes`,
});
console.log(last);

// What is in a stream, to a file; and a file, to a stream.
const motd = new Blob(["Welcome back\n"]).stream();
await gateway.copyTo(motd, path("www/motd"), { mode: 0o600 });
const { readable, writable } = new TransformStream<Uint8Array>();
const copying = gateway.copyFrom(path("www/motd"), writable);
console.log((await new Response(readable).text()).trim());
await copying;

// Many contexts: each connection carries it once.
const web = await Promise.all(["web1", "web2", "web3"].map(async (name) => {
  await Deno.mkdir(path(name));
  return await router.local({ via: gateway, name, cwd: path(name) });
}));
await copyToAll(web, path("www/motd"), "motd");
console.log(await web[2]!.call(() => Deno.statSync("motd").size));

// What goes wrong names the file, where it is, and the reason.
try {
  await web[0]!.copyTo(path("site/index.html"), "no/such/place");
} catch (error) {
  if (!(error instanceof CopyError)) throw error;
  console.log(error.message);
}

await Deno.remove(folder, { recursive: true });
