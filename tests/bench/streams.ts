/**
 * What streams do: bytes one way, and what small calls take meanwhile.
 *
 * @module
 */
import { type Context, Router } from "../../mod.ts";
import { quoteAll } from "../../parent/mod.ts";
import { bulk, drain } from "../fixtures/bulk.ts";
import { type Sshd, startSshd } from "../fixtures/sshd.ts";
import { noop } from "./tasks.ts";

/** Figures of streams. */
export type StreamFigure =
  | "stream"
  | "stream_hops"
  | "stream_ssh"
  | "stream_ssh_deno"
  | "idle_p50"
  | "loaded_p50"
  | "loaded_p99";

/** Bytes that go one way. */
const SIZE = 256 * 1024 * 1024;

/** Bytes a second of the reader that small calls have to get past. */
const BULK = 50e6;

async function perSecond(run: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await run();
  return SIZE / 1024 / 1024 / ((performance.now() - begin) / 1000);
}

let sshd: Sshd | undefined;

/** Ends what the figures have started. */
export async function stopStreams(): Promise<void> {
  await sshd?.stop();
}

async function hops(router: Router): Promise<Context> {
  const first = await router.local();
  const second = await router.local({ via: first });
  return await router.local({ via: second });
}

async function latency(
  context: Context,
  quantile: number,
  until: () => boolean,
): Promise<number> {
  const times: number[] = [];
  while (!until() || times.length === 0) {
    const begin = performance.now();
    await context.call(noop);
    times.push(performance.now() - begin);
  }
  times.sort((a, b) => a - b);
  return times[Math.floor(times.length * quantile)]! * 1000;
}

/** This library. */
export async function ourStreams(
  figure: StreamFigure,
): Promise<number | undefined> {
  await using router = new Router({ onLog() {} });
  if (figure.startsWith("stream_ssh")) {
    if (Deno.uid() !== 0) return undefined;
    const { sshArgs } = sshd ??= await startSshd();
    const context = await router.ssh({ hostname: "loopback", sshArgs });
    await context.call(drain, bulk(1));
    return await perSecond(() => context.call(drain, bulk(SIZE)));
  }
  const context = figure === "stream"
    ? await router.local()
    : await hops(router);
  await context.call(drain, bulk(1));
  await context.call(noop);
  if (figure.startsWith("stream")) {
    return await perSecond(() => context.call(drain, bulk(SIZE)));
  }
  const quantile = figure === "loaded_p99" ? 0.99 : 0.5;
  if (figure === "idle_p50") {
    const end = performance.now() + 1000;
    return await latency(context, quantile, () => performance.now() > end);
  }
  let done = false;
  const loading = context.call(drain, bulk(BULK * 2), BULK)
    .finally(() => done = true);
  const result = await latency(context, quantile, () => done);
  await loading;
  return result;
}

/** Feeds a program that only reads. */
async function feed(command: string, args: string[]): Promise<number> {
  const child = new Deno.Command(command, {
    args,
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  // It says that it is there.
  await reader.read();
  const result = await perSecond(async () => {
    await bulk(SIZE).pipeTo(child.stdin);
    await reader.read();
  });
  await reader.cancel();
  await child.status;
  return result;
}

/** A Deno that only reads what it is fed. */
const READER = [
  Deno.execPath(),
  "run",
  "-q",
  "--no-config",
  "--no-lock",
  `data:application/javascript,${
    encodeURIComponent(
      "console.log(); let n = 0; for await (const c of Deno.stdin.readable) n += c.length; console.log(n)",
    )
  }`,
];

/** The least that it takes: a bare pipe, or ssh itself. */
export async function floorOfStreams(
  figure: StreamFigure,
): Promise<number | undefined> {
  if (figure === "stream") return await feed(READER[0]!, READER.slice(1));
  if (!figure.startsWith("stream_ssh") || Deno.uid() !== 0) return undefined;
  const { sshArgs } = sshd ??= await startSshd();
  const command = figure === "stream_ssh"
    ? "echo; cat >/dev/null; echo"
    : quoteAll(READER);
  return await feed("ssh", [...sshArgs, "loopback", command]);
}
