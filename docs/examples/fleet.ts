/**
 * A fleet report: what every machine has to say about itself.
 *
 * ```sh
 * deno task demo                                  # this machine, four contexts deep
 * deno task demo ssh:root@web1 ssh:deploy@web2:2222 docker:web local:
 * ```
 *
 * @module
 */
import { ConnectError, type Context, pool, Router } from "../../mod.ts";
import { type Facts, facts } from "./facts.ts";

/** Something to report on. */
interface Target {
  name: string;
  open(router: Router, signal: AbortSignal): Promise<Context>;
}

/** What came of it. */
interface Row {
  name: string;
  milliseconds: number;
  facts?: Facts;
  error?: string;
}

const tty = Deno.stdout.isTerminal();
const colour = tty && !Deno.env.has("NO_COLOR");
const paint = (code: number, text: string) =>
  colour ? `\x1b[${code}m${text}\x1b[0m` : text;

/** What each context may do: look, but not touch. */
const permissions = { sys: true, read: ["/"] };

/** What a spec names: `ssh:user@host:port`, `docker:name`, `local:`. */
function named(spec: string): Target {
  return {
    // Refused, but not to be shown either.
    name: spec.replace(/(password=)[^&]*/i, "$1[secret]"),
    open: (router, signal) =>
      router.connect(spec, { permissions, connectTimeout: 10_000, signal }),
  };
}

/** Without hosts: three sandboxed processes and a worker, one behind another. */
function localTargets(): Target[] {
  let last: Promise<Context> | undefined;
  const behind = (
    name: string,
    open: (router: Router, via: Context | undefined) => Promise<Context>,
  ): Target => ({
    name,
    open(router) {
      const before = last;
      return last = (async () => await open(router, await before))();
    },
  });
  // Whoever opens others must be allowed to run them.
  const hop = { ...permissions, run: true };
  return [
    behind("local", (r) => r.local({ permissions: hop })),
    behind(
      "local/local",
      (r, via) => r.local({ permissions: hop, ...(via && { via }) }),
    ),
    behind(
      "local/local/local",
      (r, via) => r.local({ permissions: hop, ...(via && { via }) }),
    ),
    behind(
      "local/local/local/worker",
      (r, via) => r.worker({ ...(via && { via }) }),
    ),
  ];
}

async function report(
  router: Router,
  target: Target,
  signal: AbortSignal,
): Promise<Row> {
  const begin = performance.now();
  const row = (rest: Partial<Row>): Row => ({
    name: target.name,
    milliseconds: performance.now() - begin,
    ...rest,
  });
  try {
    const context = await target.open(router, signal);
    // By reference: the module of facts() is shipped, and what it imports.
    const collected = await context.with({ signal, timeout: 10_000 })
      .call(facts);
    return row({ facts: collected });
  } catch (error) {
    const kind = error instanceof ConnectError ? `${error.kind}: ` : "";
    return row({ error: kind + (error as Error).message });
  }
}

const GIB = 1024 ** 3;

function cells({ name, milliseconds, facts, error }: Row): string[] {
  const took = `${milliseconds.toFixed(0)} ms`;
  if (!facts) return [name, "failed", took, error ?? ""];
  const { host, user, load, memoryFree, memoryTotal, diskFree, diskTotal } =
    facts;
  const part = (free?: number, total?: number) =>
    free === undefined || total === undefined
      ? "not granted"
      : `${(free / GIB).toFixed(1)} of ${(total / GIB).toFixed(1)} GiB`;
  return [
    name,
    host,
    took,
    user,
    load.toFixed(2),
    part(memoryFree, memoryTotal),
    part(diskFree, diskTotal),
  ];
}

function table(rows: Row[]): string {
  const head = [
    "context",
    "host",
    "took",
    "user",
    "load",
    "memory free",
    "disk free",
  ];
  const all = [head, ...rows.map(cells)];
  // An error takes what is left of its line; it does not make columns wide.
  const widths = head.map((_, i) =>
    Math.max(
      ...all.filter((_, n) => n === 0 || !rows[n - 1]!.error || i < 3)
        .map((row) => row[i]?.length ?? 0),
    )
  );
  return all.map((row, n) => {
    const failed = n > 0 && rows[n - 1]!.error;
    const line = row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ")
      .trimEnd();
    return n === 0 ? paint(1, line) : failed ? paint(31, line) : line;
  }).join("\n");
}

if (import.meta.main) {
  const targets = Deno.args.length > 0 ? Deno.args.map(named) : localTargets();
  const encoder = new TextEncoder();
  // One line that is drawn over on a terminal; elsewhere a line for each result.
  const status = (text: string) => {
    if (tty) Deno.stdout.writeSync(encoder.encode(`\r\x1b[K${text}`));
  };
  const rows: Row[] = [];
  {
    await using router = new Router();
    status(`0 of ${targets.length} reported`);
    // Ten at once, in the order in which they answer.
    const reports = pool(
      targets,
      (target, { signal }) => report(router, target, signal),
    );
    for await (const result of reports) {
      if (result.status === "rejected") throw result.reason;
      const row = result.value;
      rows.push(row);
      status("");
      const mark = row.error ? paint(31, "failed") : paint(32, "ok");
      console.log(`${mark} ${row.name} (${row.milliseconds.toFixed(0)} ms)`);
      status(`${rows.length} of ${targets.length} reported`);
    }
    status("");
  }
  const order = new Map(targets.map(({ name }, i) => [name, i]));
  rows.sort((a, b) => order.get(a.name)! - order.get(b.name)!);
  console.log(`\n${table(rows)}`);
  if (rows.some((row) => row.error)) Deno.exitCode = 1;
}
