import { connectUnix, type Context, type Router } from "../../mod.ts";
import { noLeaks } from "../fixtures/leaks.ts";
import { openPair } from "../fixtures/pair.ts";
import { makeFolder } from "../fixtures/programs.ts";
import { type Sshd, startSshd } from "../fixtures/sshd.ts";
import { runCases } from "./run.ts";

interface Way {
  name: string;
  /** Whether it is a process or Worker of its own. */
  apart: boolean;
  open(
    router: Router,
    sshd: Sshd,
    more: AsyncDisposableStack,
  ): Promise<Context>;
}

const ssh = (sshd: Sshd) => ({
  hostname: "loopback",
  sshArgs: sshd.sshArgs,
});

const DIRECT: Way[] = [
  {
    name: "a pair in memory",
    apart: false,
    open: async (router) => (await openPair(router)).context,
  },
  { name: "local", apart: true, open: (router) => router.local() },
  { name: "worker", apart: true, open: (router) => router.worker() },
  { name: "ssh", apart: true, open: (router, sshd) => router.ssh(ssh(sshd)) },
];

const WAYS: Way[] = [
  ...DIRECT,
  ...DIRECT.map(({ name, open }) => ({
    name: `local via ${name}`,
    apart: true,
    open: async (
      router: Router,
      sshd: Sshd,
      more: AsyncDisposableStack,
    ) => await router.local({ via: await open(router, sshd, more) }),
  })),
  {
    name: "ssh via ssh",
    apart: true,
    open: async (router, sshd) =>
      await router.ssh({ ...ssh(sshd), via: await router.ssh(ssh(sshd)) }),
  },
  {
    name: "sudo",
    apart: true,
    open: (router) => router.sudo({ username: "nobody" }),
  },
  {
    name: "worker via local",
    apart: true,
    open: async (router) => await router.worker({ via: await router.local() }),
  },
  {
    name: "local, by a program that has joined",
    apart: true,
    async open(router, _, more) {
      const { path } = more.use(await makeFolder());
      await router.listen(`${path}/tree`);
      const joined = await connectUnix(`${path}/tree`, { onLog() {} });
      return await more.use(joined).local();
    },
  },
];

const ignore = Deno.uid() !== 0;

for (const way of WAYS) {
  const needsRoot = way.name.includes("ssh");
  Deno.test({
    name: `conformance: ${way.name}`,
    ignore: (needsRoot || way.name === "sudo") && ignore,
    async fn(t) {
      await using _leaks = await noLeaks();
      await using sshd = needsRoot ? await startSshd() : undefined;
      await runCases(
        t,
        way.apart,
        (router, more) => way.open(router, sshd!, more),
      );
    },
  });
}
