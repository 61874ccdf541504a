/** The list over the ways into containers, namespaces and other roots. */
import { type Stub, STUBS, writeStub } from "../fixtures/container_tools.ts";
import { noLeaks } from "../fixtures/leaks.ts";
import { makeRoot, PLACE_NEEDS, startPlace } from "../fixtures/places.ts";
import { makeFolder } from "../fixtures/programs.ts";
import { lacking } from "../../tools/system.ts";
import { runCases } from "./run.ts";

const ignore = await lacking(...PLACE_NEEDS);

/** What the list runs there. */
const PROGRAMS = ["printf", "wc"];

// Of those that run a tool, one with a plain command line and the one that
// changes its own.
for (const name of ["docker", "machinectl"] as const) {
  Deno.test(`conformance: ${name}, with a stand-in`, async (t) => {
    await using _ = await noLeaks();
    await using folder = await makeFolder();
    const stub = STUBS.find(({ method }) => method === name) as Stub;
    const options = stub.options(await writeStub(folder, stub), "web");
    await runCases(t, true, (router) => router.open(name, options as never));
  });
}

Deno.test({
  name: "conformance: chroot",
  ignore,
  async fn(t) {
    await using _ = await noLeaks();
    await using root = await makeRoot(...PROGRAMS);
    const options = { path: root.path, chrootPath: root.chroot };
    await runCases(t, true, (router) => router.chroot(options));
  },
});

Deno.test({
  name: "conformance: setns",
  ignore,
  async fn(t) {
    await using _ = await noLeaks();
    await using root = await makeRoot(...PROGRAMS);
    await using place = await startPlace(root.path, "inside");
    await runCases(t, true, (router) => router.setns({ pid: place.pid }));
  },
});
