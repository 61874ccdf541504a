/**
 * Values as bytes: everything that structured clone takes, and what the
 * {@linkcode Extensions} add.
 *
 * A value is a tag and what the table says. `n` is an unsigned LEB128 varint,
 * `f64` a big-endian double, `s` a string value, `v` any value.
 *
 * | tag | value | then |
 * |---|---|---|
 * | 80-ff | integer 0 to 127 | |
 * | 40-7f | ASCII string of 0 to 63 characters | its bytes |
 * | 00 01 02 03 | undefined, null, true, false | |
 * | 04 05 | integer n, integer -n-1 | n |
 * | 06 | any other number | f64 |
 * | 07 08 | string as UTF-8, as UTF-16 big-endian | n bytes, the bytes |
 * | 09 0a | bigint, negative bigint | n bytes, the magnitude, big-endian |
 * | 0b | back reference | n: the object's number |
 * | 0c | Date | f64 |
 * | 0d | RegExp | s source, s flags |
 * | 0e | URL | s |
 * | 0f | array | n, that many v |
 * | 10 | array with holes | n length, n count, that many (n index, v) |
 * | 11 12 | object, object without prototype | n, that many (s key, v) |
 * | 13 | Map | n, that many (v key, v value) |
 * | 14 | Set | n, that many v |
 * | 15 | ArrayBuffer | n bytes, the bytes |
 * | 16 | view of an ArrayBuffer of its own | kind, n bytes, the bytes |
 * | 17 | Error | s class, s name, s message, s stack, flags, [v cause], [v errors], n, that many (s key, v) |
 * | 18 | boxed primitive | v |
 * | 19 | extension | tag byte, v payload |
 *
 * Objects are numbered from 0 in the order in which they begin; an extension
 * is numbered like the rest, but may not be referred to from its own payload.
 *
 * @module
 */
/** What an embedder adds to the values that can cross. */
export interface Extensions {
  /**
   * Asked for every function and symbol, every Error, and every object whose
   * prototype the codec does not know. `undefined` leaves it to the codec.
   */
  pack(value: object): readonly [tag: number, payload: unknown] | undefined;
  /** Makes the value again. What it throws is reported as a `CodecError`. */
  unpack(tag: number, payload: unknown): unknown;
}

/** Bounds of what is encoded and decoded, far above honest traffic. */
export interface Limits {
  /** How deep values may be nested. @default {500} */
  maxDepth: number;
  /**
   * How many values one message may hold. What takes more memory counts for
   * more: see {@linkcode weight}. @default {4_000_000}
   */
  maxItems: number;
}

/** The limits when none are given. */
export const LIMITS: Limits = { maxDepth: 500, maxItems: 4_000_000 };

/** A value cannot cross, or bytes are not a value. */
export class CodecError extends TypeError {
  /** The name of its class. */
  override name = "CodecError";
  /** Where in the value, such as `$.args[0].timer`; empty when decoding. */
  readonly path: string;

  /** Made by the codec. */
  constructor(message: string, path = "", cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.path = path;
  }
}

/** The tags of the table above. */
export const enum T {
  UNDEFINED,
  NULL,
  TRUE,
  FALSE,
  INT,
  NEGATIVE,
  DOUBLE,
  UTF8,
  UTF16,
  BIGINT,
  NEGATIVE_BIGINT,
  REF,
  DATE,
  REGEXP,
  URL,
  ARRAY,
  SPARSE,
  OBJECT,
  NULL_OBJECT,
  MAP,
  SET,
  BUFFER,
  VIEW,
  ERROR,
  BOXED,
  EXTENSION,
  SHORT = 0x40,
  SMALL = 0x80,
}

/**
 * What an object counts for, beside the value that it is: about an eighth of
 * the bytes of memory that an empty one takes.
 */
export function weight(tag: number): number {
  return tag === T.ERROR || tag === T.EXTENSION
    ? 127
    : tag >= T.ARRAY && tag <= T.OBJECT
    ? 7
    : 31;
}

/** From so many fields on an object is a hash table, whose entries are large. */
export const WIDE = 64;

/** What each field of such an object counts for, beside its value. */
export const WIDE_COST = 12;

/**
 * What the keys of one object that look like indices count for: the engine
 * makes room for all the indices below a small one, even when it is the only.
 */
export class IndexRoom {
  readonly #each: number;
  #room = 0;

  /** @param fields how many keys the object has in all */
  constructor(fields: number) {
    // In a wide one each field is counted as large already.
    this.#each = fields > WIDE ? 0 : 8;
  }

  /** What one more key counts for, beside its value. */
  cost(key: string): number {
    const index = Number(key);
    // Keys such as "" and "-1" come by here too, and cost the same.
    if (!(index >= this.#room && index < 1024)) return this.#each;
    const before = this.#room;
    this.#room = Math.ceil(index * 1.5) + 16;
    return this.#each + this.#room - before;
  }
}

/** The kinds of views, by their number on the wire. */
export const VIEWS: readonly string[] = [
  "Uint8Array",
  "Uint8ClampedArray",
  "Int8Array",
  "Uint16Array",
  "Int16Array",
  "Uint32Array",
  "Int32Array",
  "Float32Array",
  "Float64Array",
  "BigInt64Array",
  "BigUint64Array",
  "DataView",
  "Float16Array",
];

type ErrorClass = new (message?: string) => Error;

/** The class that an error of this name is revived as, where there is one. */
export function errorClass(name: string): ErrorClass | undefined {
  const known = BUILT_IN.has(name)
    ? (globalThis as unknown as Record<string, ErrorClass>)[name]
    : undefined;
  return known ??
    (Object.hasOwn(Deno.errors, name)
      ? (Deno.errors as unknown as Record<string, ErrorClass>)[name]
      : undefined);
}

const BUILT_IN = new Set([
  "Error",
  "EvalError",
  "RangeError",
  "ReferenceError",
  "SyntaxError",
  "TypeError",
  "URIError",
  "AggregateError",
  "DOMException",
]);
