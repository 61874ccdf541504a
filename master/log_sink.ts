import type { LogRecord } from "../core/mod.ts";

// deno-lint-ignore no-control-regex
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

/** Prints a record to stderr, with its context; leaves debug records out. */
export function printRecord(record: LogRecord): void {
  if (record.level === "debug") return;
  // What a context prints may hold orders for this terminal.
  // A further line must not look like a record of another context.
  const text = record.message.replace(CONTROL, "").replaceAll("\n", "\n  ");
  const level = record.level === "info" ? "" : ` ${record.level}:`;
  console.error(`[${record.path}]${level} ${text}`);
}
