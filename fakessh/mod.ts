/**
 * The ssh stand-in. So far: what a command line of ssh asks for.
 *
 * @module
 */
export * from "./command_line.ts";
