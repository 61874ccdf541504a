// The real std from npm, which comes without types: these are the ones in use.
import * as std from "npm:deno-std@1.4.0/assert/mod.js";

// deno-lint-ignore no-explicit-any
type Class<E> = abstract new (...args: any[]) => E;
type Message = string;

export const assert: (
  condition: unknown,
  message?: Message,
) => asserts condition = std.assert;
export const assertEquals: <T>(
  actual: T,
  expected: T,
  message?: Message,
) => void = std.assertEquals;
export const assertNotEquals: <T>(
  actual: T,
  expected: T,
  message?: Message,
) => void = std.assertNotEquals;
export const assertStrictEquals: <T>(
  actual: unknown,
  expected: T,
  message?: Message,
) => asserts actual is T = std.assertStrictEquals;
export const assertExists: <T>(
  actual: T,
  message?: Message,
) => asserts actual is NonNullable<T> = std.assertExists;
export const assertInstanceOf: <E>(
  actual: unknown,
  type: Class<E>,
  message?: Message,
) => asserts actual is E = std.assertInstanceOf;
export const assertStringIncludes: (
  actual: string,
  expected: string,
  message?: Message,
) => void = std.assertStringIncludes;
export const assertMatch: (
  actual: string,
  expected: RegExp,
  message?: Message,
) => void = std.assertMatch;
export const assertObjectMatch: (
  actual: object,
  expected: object,
  message?: Message,
) => void = std.assertObjectMatch;
export const assertArrayIncludes: <T>(
  actual: readonly T[],
  expected: readonly T[],
  message?: Message,
) => void = std.assertArrayIncludes;
export const assertGreater: (
  actual: number,
  expected: number,
  message?: Message,
) => void = std.assertGreater;
export const assertLess: (
  actual: number,
  expected: number,
  message?: Message,
) => void = std.assertLess;
export const assertLessOrEqual: (
  actual: number,
  expected: number,
  message?: Message,
) => void = std.assertLessOrEqual;
export const assertThrows: <E = Error>(
  fn: () => unknown,
  type?: Class<E>,
  includes?: string,
  message?: Message,
) => E = std.assertThrows;
export const assertRejects: <E = Error>(
  fn: () => PromiseLike<unknown>,
  type?: Class<E>,
  includes?: string,
  message?: Message,
) => Promise<E> = std.assertRejects;
export const fail: (message?: Message) => never = std.fail;
export const unreachable: (message?: Message) => never = std.unreachable;
export const AssertionError: new (message: string) => Error =
  std.AssertionError;
