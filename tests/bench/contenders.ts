/**
 * Those who are measured: this library, its peers, and the floor.
 *
 * @module
 */
import { type Context, Router } from "../../mod.ts";
import { lines } from "../fixtures/programs.ts";
import { copyFigure, type FileFigure } from "./files.ts";
import {
  floorOfStreams,
  ourStreams,
  stopStreams,
  type StreamFigure,
} from "./streams.ts";
import { echo, noop, resident } from "./tasks.ts";

/** What is measured. */
export type Figure =
  | "connect"
  | "first"
  | "p50"
  | "p99"
  | "pipelined"
  | "echo"
  | "fifty"
  | "resident"
  | "hops"
  | "hops_p50"
  | StreamFigure
  | FileFigure;

/** Somebody who is measured. */
export interface Contender extends AsyncDisposable {
  name: string;
  /** One measurement; `undefined` where it has no such thing. */
  measure(figure: Figure): Promise<number | undefined>;
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!;
}

async function timed(
  count: number,
  run: () => Promise<unknown>,
): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const begin = performance.now();
    await run();
    times.push(performance.now() - begin);
  }
  return times.sort((a, b) => a - b);
}

const quantile = (times: number[], figure: Figure) =>
  times[Math.floor(times.length * (figure === "p99" ? 0.99 : 0.5))]! * 1000;

function isOfStreams(figure: Figure): figure is StreamFigure {
  return /^(stream|idle|loaded)/.test(figure);
}

const MIB = 1024 * 1024;
const random = new Uint8Array(MIB);
for (let i = 0; i < MIB; i += 65536) {
  crypto.getRandomValues(random.subarray(i, i + 65536));
}

/** This library. */
export function ours(): Contender {
  async function measure(figure: Figure): Promise<number | undefined> {
    if (isOfStreams(figure)) return await ourStreams(figure);
    if (figure === "tree" || figure === "file") {
      return await copyFigure(figure, "ours");
    }
    await using router = new Router({ onLog() {} });
    const open = async (via?: Context) =>
      await router.local({ ...(via ? { via } : {}) });
    switch (figure) {
      case "connect":
        return median(await timed(5, () => router.local()));
      case "first":
        return median(
          await timed(5, async () => await (await open()).call(noop)),
        );
      case "fifty": {
        const [all] = await timed(1, () =>
          Promise.all(
            Array.from({ length: 50 }, async () =>
              await (await open()).call(noop)),
          ));
        return all! / 1000;
      }
      case "hops": {
        const [all] = await timed(
          1,
          async () => await (await open(await open(await open()))).call(noop),
        );
        return all!;
      }
    }
    let context = await open();
    if (figure === "hops_p50") context = await open(await open(context));
    await context.call(noop);
    switch (figure) {
      case "pipelined": {
        const [all] = await timed(1, () =>
          Promise.all(
            Array.from({ length: 2000 }, () => context.call(noop)),
          ));
        return 2000 / (all! / 1000);
      }
      case "echo": {
        await context.call(echo, random);
        const [all] = await timed(1, async () => {
          for (let i = 0; i < 16; i++) await context.call(echo, random);
        });
        return 16 / (all! / 1000);
      }
      case "resident":
        return await context.call(resident);
    }
    await timed(500, () => context.call(noop));
    return quantile(await timed(2000, () => context.call(noop)), figure);
  }
  return {
    name: "mitogen for Deno",
    measure,
    [Symbol.asyncDispose]: stopStreams,
  };
}

/** The least that two processes can do: bytes there and back, nothing else. */
export function floor(): Contender {
  const script = `import { Socket } from "node:net";
    const input = new Socket({ fd: 3, readable: true, writable: false });
    const output = new Socket({ fd: 4, readable: false, writable: true });
    input.on("data", (d) => output.write(d)); input.on("end", () => Deno.exit());`;
  const url = `data:application/javascript,${encodeURIComponent(script)}`;
  const flags = "-q --no-config --no-lock --no-prompt";
  const spawn = () =>
    new Deno.Command("sh", {
      args: [
        "-c",
        `exec 3<&0 4>&1 </dev/null >&2; exec "${Deno.execPath()}" run ${flags} "${url}"`,
      ],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
  async function measure(figure: Figure): Promise<number | undefined> {
    if (isOfStreams(figure)) return await floorOfStreams(figure);
    if (figure === "connect") {
      // An empty program, from start to end.
      return median(
        await timed(5, () =>
          new Deno.Command(Deno.execPath(), {
            args: ["run", ...flags.split(" "), "data:application/javascript,"],
          }).output()),
      );
    }
    if (figure === "tree" || figure === "file") {
      return await copyFigure(figure, "floor");
    }
    if (!["p50", "p99", "echo"].includes(figure)) return undefined;
    const child = spawn();
    const reader = child.stdout.getReader();
    const writer = child.stdin.getWriter();
    const round = async (bytes: Uint8Array) => {
      void writer.write(bytes);
      for (let size = 0; size < bytes.length;) {
        size += (await reader.read()).value!.length;
      }
    };
    // As large as the frame of a call of nothing.
    const small = new Uint8Array(90);
    await round(small);
    let result;
    if (figure === "echo") {
      await round(random);
      const [all] = await timed(1, async () => {
        for (let i = 0; i < 16; i++) await round(random);
      });
      result = 16 / (all! / 1000);
    } else {
      await timed(500, () => round(small));
      result = quantile(await timed(2000, () => round(small)), figure);
    }
    await writer.close();
    await reader.cancel();
    await child.status;
    return result;
  }
  return {
    name: "floor",
    measure,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** A peer that is written in Python, if it is installed. */
export async function python(
  name: string,
  module: string,
): Promise<Contender | undefined> {
  const interpreter = "/usr/bin/python3";
  try {
    const { success } = await new Deno.Command(interpreter, {
      args: ["-c", `import ${module}`],
      stderr: "null",
    }).output();
    if (!success) return undefined;
  } catch {
    return undefined;
  }
  const script = new URL(`peers/${module}_peer.py`, import.meta.url).pathname;
  const process = new Deno.Command(interpreter, {
    args: [script],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const writer = process.stdin.getWriter();
  const output = lines(process.stdout);
  return {
    name,
    async measure(figure) {
      await writer.write(new TextEncoder().encode(`${figure}\n`));
      const { value, done } = await output.next();
      return done || value === "null" ? undefined : Number(value);
    },
    async [Symbol.asyncDispose]() {
      await writer.close().catch(() => {});
      await output.return(undefined);
      await process.status;
    },
  };
}
