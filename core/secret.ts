const values = new WeakMap<Secret, string>();

/**
 * Text that must not be seen: prints as `[secret]` wherever it ends up, and
 * crosses between contexts as a secret.
 *
 * @example
 * ```ts
 * import { Secret } from "@mitogen/mitogen/core";
 * import { assertEquals } from "@std/assert";
 *
 * const password = new Secret("hunter2");
 * assertEquals(`${password} ${JSON.stringify({ password })}`, '[secret] {"password":"[secret]"}');
 * assertEquals(password.reveal(), "hunter2");
 * ```
 */
export class Secret {
  /**
   * Keeps a text.
   *
   * @param value the text to keep
   */
  constructor(value: string) {
    values.set(this, value);
  }

  /** The text itself. The only way to it. */
  reveal(): string {
    return values.get(this)!;
  }

  /** `[secret]` */
  toString(): string {
    return "[secret]";
  }

  /** `[secret]` */
  toJSON(): string {
    return "[secret]";
  }

  /** What `Deno.inspect` shows. */
  [Symbol.for("Deno.customInspect")](): string {
    return "[secret]";
  }

  /** What `node:util` shows. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return "[secret]";
  }
}
