/** What the conformance list calls in a context. */
import { current, type Sender } from "../../mod.ts";

export function echo<T>(value: T): T {
  return value;
}

export function add(a: number, b: number): number {
  return a + b;
}

let count = 0;

export function bump(): number {
  return ++count;
}

export const seen: string[] = [];

export async function slowly(name: string): Promise<string[]> {
  seen.push(`${name} begins`);
  await new Promise((resolve) => setTimeout(resolve, 5));
  seen.push(`${name} ends`);
  return seen;
}

export function forget(): void {
  seen.length = 0;
}

export class OddError extends TypeError {
  readonly code = 7;
  readonly detail = { list: [1, 2] };
}

export function fail(kind: string): never {
  switch (kind) {
    case "range":
      throw new RangeError("outer", { cause: new URIError("inner") });
    case "aggregate":
      throw new AggregateError(
        [new SyntaxError("one"), new EvalError("two")],
        "many",
      );
    case "fields":
      throw new OddError("odd");
    case "long":
      throw new Error("x".repeat(1024 * 1024));
    case "text":
      throw "just text"; // deno-lint-ignore-line no-throw-literal
    case "missing":
      throw new Deno.errors.NotFound("no such thing");
    case "uncloneable":
      throw Object.assign(new Error("has a function"), { fn: () => {} });
  }
  throw new Error(`no such kind: ${kind}`);
}

export function unsendable(): unknown {
  return { deep: [new WeakMap()] };
}

export function where(): { path: string; parent: string; src: number } {
  const { context, parent, message } = current();
  return { path: context.path, parent: parent.path, src: message.srcId };
}

let cancelled = "";

export function untilCancelled(wait = true): Promise<string> {
  if (!wait) return Promise.resolve("not at all");
  const { signal } = current();
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => {
      cancelled = (signal.reason as Error).name;
      reject(signal.reason);
    });
  });
}

export function wasCancelled(): string {
  return cancelled;
}

export function never(): Promise<never> {
  return new Promise(() => {});
}

export function tell(sender: Sender<number>, upTo: number): void {
  for (let i = 0; i < upTo; i++) sender.send(i);
  sender.close();
}

export function print(): void {
  console.log("from the console");
  Deno.stdout.writeSync(new TextEncoder().encode("from Deno.stdout\n"));
}

export async function printf(): Promise<number> {
  const child = new Deno.Command("printf", { args: ["without an end"] });
  return (await child.spawn().status).code;
}

export async function countInput(): Promise<number> {
  const { stdout } = await new Deno.Command("wc", {
    args: ["-c"],
    stdin: "inherit",
    stdout: "piped",
  }).spawn().output();
  return Number(new TextDecoder().decode(stdout));
}

export function exit(code: number): never {
  Deno.exit(code);
}

export function pid(): number {
  return Deno.pid;
}

export async function grandchild(): Promise<[string, number]> {
  await using context = await current().router.local({ permissions: "none" });
  return [context.path, await context.call(add, 20, 22)];
}

export async function reached(other: { path: string }): Promise<string> {
  return await Promise.resolve(other.path);
}
