/**
 * What only the user's own process has: it finds the program's modules,
 * answers requests for them, takes the logs, and makes the root of the tree.
 *
 * Needs to read the program's modules and to run `deno`.
 *
 * @module
 */
export * from "./finder.ts";
export * from "./functions.ts";
export * from "./join.ts";
export * from "./log_sink.ts";
export * from "./responder.ts";
export * from "./router.ts";
