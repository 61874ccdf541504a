/**
 * What streams do: bytes one way, and what small calls take meanwhile.
 *
 * @module
 */
import { type Context, Router } from "../../mod.ts";
import { type Sshd, startSshd } from "../fixtures/sshd.ts";
import { noop } from "./tasks.ts";

/** Figures of streams. */
export type StreamFigure =
  | "stream"
  | "stream_hops"
  | "stream_ssh"
  | "idle_p50"
  | "loaded_p50"
  | "loaded_p99";

/** Bytes that go one way. */
const SIZE = 256 * 1024 * 1024;

/** Bytes a second of the reader that small calls have to get past. */
const BULK = 50e6;

const chunk = crypto.getRandomValues(new Uint8Array(64 * 1024));

/** So many bytes, as fast as they are taken. */
function bytes(size: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  let left = size;
  return new ReadableStream({
    pull(controller) {
      if (left <= 0) return controller.close();
      left -= chunk.length;
      controller.enqueue(chunk);
    },
  }, { highWaterMark: 0 });
}

async function drain(
  stream: ReadableStream<Uint8Array>,
  perSecond: number,
): Promise<number> {
  const begin = performance.now();
  let size = 0;
  for await (const { length } of stream) {
    size += length;
    const ahead = size / perSecond * 1000 - (performance.now() - begin);
    if (ahead > 5) await new Promise((resolve) => setTimeout(resolve, ahead));
  }
  return size;
}

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
  if (figure === "stream_ssh") {
    if (Deno.uid() !== 0) return undefined;
    const { sshArgs } = sshd ??= await startSshd();
    const context = await router.ssh({ hostname: "loopback", sshArgs });
    await context.call(drain, bytes(chunk.length), Infinity);
    return await perSecond(() => context.call(drain, bytes(SIZE), Infinity));
  }
  const context = figure === "stream"
    ? await router.local()
    : await hops(router);
  await context.call(drain, bytes(chunk.length), Infinity);
  await context.call(noop);
  if (figure.startsWith("stream")) {
    return await perSecond(() => context.call(drain, bytes(SIZE), Infinity));
  }
  const quantile = figure === "loaded_p99" ? 0.99 : 0.5;
  if (figure === "idle_p50") {
    const end = performance.now() + 1000;
    return await latency(context, quantile, () => performance.now() > end);
  }
  let done = false;
  const bulk = context.call(drain, bytes(BULK * 2), BULK)
    .finally(() => done = true);
  const result = await latency(context, quantile, () => done);
  await bulk;
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
    await bytes(SIZE).pipeTo(child.stdin);
    await reader.read();
  });
  await reader.cancel();
  await child.status;
  return result;
}

/** The least that it takes: a bare pipe, or ssh itself. */
export async function floorOfStreams(
  figure: StreamFigure,
): Promise<number | undefined> {
  if (figure === "stream") {
    const script =
      "console.log(); let n = 0; for await (const c of Deno.stdin.readable) n += c.length; console.log(n)";
    return await feed(Deno.execPath(), [
      "run",
      "-q",
      "--no-config",
      "--no-lock",
      `data:application/javascript,${encodeURIComponent(script)}`,
    ]);
  }
  if (figure === "stream_ssh" && Deno.uid() === 0) {
    const { sshArgs } = sshd ??= await startSshd();
    return await feed("ssh", [
      ...sshArgs,
      "loopback",
      "echo; cat >/dev/null; echo",
    ]);
  }
  return undefined;
}
