import type { Context, LogRecord } from "../../mod.ts";
import { Router } from "../../mod.ts";
import { noLeaks } from "../fixtures/leaks.ts";
import { openPair } from "../fixtures/pair.ts";
import { type Sshd, startSshd } from "../fixtures/sshd.ts";
import { CASES } from "./list.ts";
import { LIVE_CASES } from "./live_list.ts";

interface Way {
  name: string;
  /** Whether it is a process or Worker of its own. */
  apart: boolean;
  open(router: Router, sshd: Sshd): Promise<Context>;
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
    open: async (router: Router, sshd: Sshd) =>
      await router.local({ via: await open(router, sshd) }),
  })),
  {
    name: "ssh via ssh",
    apart: true,
    open: async (router, sshd) =>
      await router.ssh({ ...ssh(sshd), via: await router.ssh(ssh(sshd)) }),
  },
  {
    name: "worker via local",
    apart: true,
    open: async (router) => await router.worker({ via: await router.local() }),
  },
];

const ignore = Deno.uid() !== 0;

for (const way of WAYS) {
  const needsRoot = way.name.includes("ssh");
  Deno.test({
    name: `conformance: ${way.name}`,
    ignore: needsRoot && ignore,
    async fn(t) {
      await using _leaks = await noLeaks();
      await using sshd = needsRoot ? await startSshd() : undefined;
      for (const { name, apart, run } of [...CASES, ...LIVE_CASES]) {
        if (apart && !way.apart) continue;
        await t.step(name, async () => {
          const waiting: [
            (record: LogRecord) => boolean,
            (record: LogRecord) => void,
          ][] = [];
          await using router = new Router({
            onLog(record) {
              for (const [matches, resolve] of waiting) {
                if (matches(record)) resolve(record);
              }
            },
          });
          const log = (matches: (record: LogRecord) => boolean) =>
            new Promise<LogRecord>((resolve) =>
              waiting.push([matches, resolve])
            );
          const context = await way.open(router, sshd!);
          await run({ router, context, log });
        });
      }
    },
  });
}
