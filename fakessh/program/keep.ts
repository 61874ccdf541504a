import { Secret } from "../../core/mod.ts";
import { ClientFolder } from "../client_folder.ts";
import { startIn } from "../door.ts";
import { HostEnd } from "../host.ts";
import { loginOf } from "../remote.ts";
import { serve } from "../session.ts";
import type { OpenTask } from "./arguments.ts";
import type { Ask } from "./ask.ts";
import {
  describeFailure,
  type MakeRouter,
  openChain,
  type Teller,
} from "./connect.ts";
import { claimName, Question, type TreeInfo } from "./trees.ts";

/** What the one in the background says to the one in front, a line each. */
export type Report =
  | { progress: string }
  | { line: string }
  | { ask: string }
  | { ready: string }
  | { failed: string };

/**
 * Keeps a chain of contexts up under a name, until it is closed, idle for too
 * long, or lost. Runs in the background.
 */
export async function keepTree(
  task: OpenTask,
  make: MakeRouter,
): Promise<number> {
  const report = (report: Report) => {
    try {
      Deno.stdout.writeSync(
        new TextEncoder().encode(JSON.stringify(report) + "\n"),
      );
    } catch {
      // Whoever has started this has gone meanwhile.
    }
  };
  const teller: Teller = {
    progress: (progress) => report({ progress }),
    line: (line) => report({ line }),
  };
  const ask: Ask = async (text) => {
    report({ ask: text });
    return new Secret(await readLine());
  };
  const ended = Promise.withResolvers<void>();
  const end = () => ended.resolve();
  Deno.addSignalListener("SIGTERM", end);
  Deno.addSignalListener("SIGINT", end);
  // The terminal that it was started from may go.
  Deno.addSignalListener("SIGHUP", () => {});
  let folder: ClientFolder | undefined;
  let host: HostEnd | undefined;
  await using router = make(() => {});
  try {
    folder = await ClientFolder.at(await claimName(task.name));
    const context = await openChain(router, task.via, ask, teller);
    await loginOf(context);
    const start = startIn(context);
    const since = Date.now();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const rest = () => {
      clearTimeout(timer);
      if (task.idle > 0 && host!.running === 0) {
        timer = setTimeout(end, task.idle * 1000);
      }
    };
    host = new HostEnd(folder, async (invocation) => {
      clearTimeout(timer);
      await serve(start, invocation);
      // Once it is no longer counted.
      setTimeout(rest, 0);
    }, async (question) => {
      if (question === Question.CLOSE) {
        end();
      }
      const { name, via, idle } = task;
      const info: TreeInfo = {
        name,
        pid: Deno.pid,
        via,
        path: context.path,
        since,
        idle,
        running: host!.running,
        served: host!.served,
      };
      return await Promise.resolve(info);
    });
    rest();
    report({ ready: context.path });
    await Promise.race([ended.promise, context.closed]);
    clearTimeout(timer);
    return 0;
  } catch (error) {
    report({ failed: describeFailure(error) });
    return 255;
  } finally {
    await router.shutdown();
    await folder?.remove();
    await host?.close();
  }
}

/** What the one in front answers. */
async function readLine(): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(4096);
  while (!text.endsWith("\n")) {
    const count = await Deno.stdin.read(buffer);
    if (count === null) throw new Error("nobody is there to be asked");
    text += decoder.decode(buffer.subarray(0, count), { stream: true });
  }
  const { answer } = JSON.parse(text);
  if (typeof answer !== "string") throw new Error("nobody answered");
  return answer;
}

/**
 * Starts the one that keeps a tree, and waits until it is up. It gets a
 * session of its own, so that it goes on when the terminal is closed.
 */
export async function openTree(
  task: OpenTask,
  command: Deno.Command,
  teller: Teller,
  ask: Ask | undefined,
): Promise<number> {
  const child = command.spawn();
  const input = child.stdin.getWriter();
  const answer = async (text: string) => {
    const secret = await ask?.(text).catch(() => undefined);
    const line = JSON.stringify({ answer: secret?.reveal() ?? null }) + "\n";
    await input.write(new TextEncoder().encode(line));
  };
  let rest = "";
  const decoder = new TextDecoder();
  const onSignal = () => {
    try {
      child.kill("SIGTERM");
    } catch {
      // It has ended.
    }
  };
  Deno.addSignalListener("SIGINT", onSignal);
  try {
    for await (const chunk of child.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true }))
        .split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        const report = JSON.parse(line) as Report;
        if ("progress" in report) teller.progress(report.progress);
        else if ("line" in report) teller.line(report.line);
        else if ("ask" in report) await answer(report.ask);
        else if ("failed" in report) {
          teller.line(report.failed);
          await child.status;
          return 255;
        } else {
          if (task.verbose) teller.line(`${task.name} is ${report.ready}`);
          child.unref();
          return 0;
        }
      }
    }
    const { code } = await child.status;
    teller.line(`Cannot open "${task.name}": it has ended with code ${code}`);
    return 255;
  } finally {
    await input.close().catch(() => {});
    Deno.removeSignalListener("SIGINT", onSignal);
  }
}
