/**
 * What every context is made of: messages, codec, router, contexts and calls.
 *
 * Needs no permission. It is sent to every context at birth and imports
 * nothing from its neighbours.
 *
 * @module
 */
export * from "./at_most.ts";
export * from "./boot.ts";
export * from "./call.ts";
export * from "./callback.ts";
export * from "./channel.ts";
export * from "./child.ts";
export * from "./codec.ts";
export * from "./context.ts";
export * from "./contexts.ts";
export * from "./current.ts";
export * from "./deadline.ts";
export * from "./dispatcher.ts";
export * from "./ends.ts";
export * from "./errors.ts";
export * from "./extensions.ts";
export * from "./failure.ts";
export * from "./flow.ts";
export * from "./frame.ts";
export * from "./functions.ts";
export * from "./handlers.ts";
export * from "./importer.ts";
export * from "./inflow.ts";
export * from "./lanes.ts";
export * from "./link.ts";
export * from "./live.ts";
export * from "./logs.ts";
export * from "./message.ts";
export type * from "./module_record.ts";
export type * from "./options.ts";
export * from "./outbox.ts";
export * from "./outflow.ts";
export type * from "./parent_room.ts";
export * from "./process.ts";
export * from "./receiver.ts";
export * from "./router.ts";
export type * from "./router_config.ts";
export * from "./runner.ts";
export * from "./secret.ts";
export * from "./select.ts";
export * from "./sender.ts";
export * from "./service.ts";
export * from "./signal.ts";
export * from "./sink.ts";
export * from "./source.ts";
export * from "./transport.ts";
export * from "./ways_in.ts";
export { captureStdio } from "./worker_scope.ts";
