import {
  CodecError,
  errorClass,
  type Extensions,
  IndexRoom,
  LIMITS,
  type Limits,
  T,
  VIEWS,
  weight,
  WIDE,
  WIDE_COST,
} from "./codec_format.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes of the largest bigint that is taken. */
const MAX_BIGINT = 64 * 1024;

/** How {@linkcode decode} does it. */
export interface DecodeOptions {
  extensions?: Extensions;
  limits?: Partial<Limits>;
}

function bad(why: string, cause?: unknown): never {
  throw new CodecError(`Cannot decode a value: ${why}`, "", cause);
}

/** One array for each length of a short string, used again and again. */
const CODES: readonly number[][] = Array.from(
  { length: 64 },
  (_, length) => new Array(length).fill(0),
);

/** Stands for an object that is not made yet. */
const UNFINISHED = Symbol();

/** Reads values. Believes no length before it has seen as many bytes. */
class Reader {
  at = 0;
  items = 0;
  readonly made: unknown[] = [];

  constructor(
    readonly bytes: Uint8Array,
    readonly extensions: Extensions | undefined,
    readonly limits: Limits,
  ) {}

  byte(): number {
    const value = this.bytes[this.at++];
    return value === undefined ? bad("it ends too early") : value;
  }

  varint(): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 53; scale *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        return value <= Number.MAX_SAFE_INTEGER
          ? value
          : bad("a number is too large");
      }
    }
    return bad("a number is too long");
  }

  /** How many values follow: each takes a byte at least. */
  count(size = 1): number {
    const count = this.varint();
    if (count * size > this.bytes.length - this.at) bad("it ends too early");
    if (this.items + count > this.limits.maxItems) {
      bad("it holds too many values");
    }
    return count;
  }

  raw(): Uint8Array {
    const length = this.varint();
    if (length > this.bytes.length - this.at) bad("it ends too early");
    return this.bytes.subarray(this.at, this.at += length);
  }

  double(): number {
    if (this.bytes.length - this.at < 8) bad("it ends too early");
    const view = new DataView(
      this.bytes.buffer,
      this.bytes.byteOffset + this.at,
      8,
    );
    this.at += 8;
    return view.getFloat64(0);
  }

  short(length: number): string {
    const { bytes, at } = this;
    if (length > bytes.length - at) bad("it ends too early");
    // All at once: a string that grows by characters keeps each of its steps
    // in memory, 25 times its size.
    const codes = CODES[length]!;
    let all = 0;
    for (let i = 0; i < length; i++) all |= codes[i] = bytes[at + i]!;
    if (all > 0x7f) bad("a string is not ASCII");
    this.at += length;
    return String.fromCharCode.apply(null, codes);
  }

  string(): string {
    const tag = this.byte();
    if (tag >= T.SHORT && tag < T.SMALL) return this.short(tag & 0x3f);
    return tag === T.UTF8 || tag === T.UTF16
      ? this.text(tag)
      : bad("a string is missing");
  }

  text(tag: number): string {
    const raw = this.raw();
    if (tag === T.UTF8) {
      try {
        return utf8.decode(raw);
      } catch (error) {
        bad("a string is not UTF-8", error);
      }
    }
    if (raw.length % 2) bad("a string is cut");
    const view = new DataView(raw.buffer, raw.byteOffset, raw.length);
    const units: string[] = [];
    for (let i = 0; i < raw.length; i += 2) {
      units.push(String.fromCharCode(view.getUint16(i)));
    }
    return units.join("");
  }

  key(): string {
    const key = this.string();
    return key === "__proto__"
      ? bad("a key could change what objects are")
      : key;
  }

  value(depth: number): unknown {
    if (++this.items > this.limits.maxItems) bad("it holds too many values");
    const tag = this.byte();
    if (tag >= T.SMALL) return tag & 0x7f;
    if (tag >= T.SHORT) return this.short(tag & 0x3f);
    switch (tag) {
      case T.UNDEFINED:
        return undefined;
      case T.NULL:
        return null;
      case T.TRUE:
        return true;
      case T.FALSE:
        return false;
      case T.INT:
        return this.varint();
      case T.NEGATIVE:
        return -this.varint() - 1;
      case T.DOUBLE:
        return this.double();
      case T.UTF8:
      case T.UTF16:
        return this.text(tag);
      case T.BIGINT:
        return this.bigint();
      case T.NEGATIVE_BIGINT:
        return -this.bigint();
      case T.REF: {
        const index = this.varint();
        if (index >= this.made.length) bad("it refers to what is not there");
        const made = this.made[index];
        return made === UNFINISHED
          ? bad("it refers to what is not made yet")
          : made;
      }
    }
    if (depth >= this.limits.maxDepth) bad("it is nested too deep");
    return this.object(tag, depth + 1);
  }

  bigint(): bigint {
    const raw = this.raw();
    if (raw.length > MAX_BIGINT) bad("a bigint is too large");
    return raw.length === 0 ? 0n : BigInt(`0x${raw.toHex()}`);
  }

  made1<V>(value: V): V {
    this.made.push(value);
    return value;
  }

  /** Counts what is no value and takes memory all the same. */
  charge(items: number): void {
    if ((this.items += items) > this.limits.maxItems) {
      bad("it holds too many values");
    }
  }

  object(tag: number, depth: number): unknown {
    this.items += weight(tag);
    switch (tag) {
      case T.ARRAY: {
        const count = this.count();
        const array: unknown[] = this.made1([]);
        for (let i = 0; i < count; i++) array.push(this.value(depth));
        return array;
      }
      case T.SPARSE: {
        const length = this.varint();
        // The holes take memory too.
        this.charge(length);
        const array: unknown[] = this.made1([]);
        array.length = length;
        for (let count = this.count(2); count > 0; count--) {
          const index = this.varint();
          if (index >= length) bad("an index is out of range");
          array[index] = this.value(depth);
        }
        return array;
      }
      case T.OBJECT:
        return this.fields(this.made1({}), depth);
      case T.NULL_OBJECT:
        return this.fields(this.made1(Object.create(null)), depth);
      case T.MAP: {
        const map = this.made1(new Map());
        for (let count = this.count(2); count > 0; count--) {
          const key = this.value(depth);
          map.set(key, this.value(depth));
        }
        return map;
      }
      case T.SET: {
        const set = this.made1(new Set());
        for (let count = this.count(); count > 0; count--) {
          set.add(this.value(depth));
        }
        return set;
      }
      case T.BUFFER:
        return this.made1(this.raw().slice().buffer);
      case T.VIEW:
        return this.made1(this.view());
      case T.DATE:
        return this.made1(new Date(this.double()));
      case T.REGEXP: {
        const source = this.string();
        const flags = this.string();
        return this.made1(attempt(() => new RegExp(source, flags)));
      }
      case T.URL: {
        const href = this.string();
        return this.made1(attempt(() => new URL(href)));
      }
      case T.ERROR:
        return this.error(depth);
      case T.BOXED: {
        const index = this.made.push(UNFINISHED) - 1;
        const inner = this.value(depth);
        if (
          inner === null || inner === undefined || typeof inner === "object"
        ) {
          bad("nothing to put in a box");
        }
        return this.made[index] = Object(inner);
      }
      case T.EXTENSION: {
        const index = this.made.push(UNFINISHED) - 1;
        const kind = this.byte();
        const payload = this.value(depth);
        const { extensions } = this;
        if (!extensions) bad("nobody knows its extensions");
        return this.made[index] = attempt(() =>
          extensions.unpack(kind, payload)
        );
      }
    }
    return bad(`there is no tag ${tag}`);
  }

  fields<O extends object>(object: O, depth: number): O {
    let room: IndexRoom | undefined;
    const count = this.count(2);
    if (count > WIDE) this.charge(count * WIDE_COST);
    for (let left = count; left > 0; left--) {
      const key = this.key();
      if (key < ":") this.charge((room ??= new IndexRoom(count)).cost(key));
      (object as Record<string, unknown>)[key] = this.value(depth);
    }
    return object;
  }

  view(): ArrayBufferView {
    const name = VIEWS[this.byte()];
    const { buffer, length } = this.raw().slice();
    const View = name === undefined
      ? undefined
      : (globalThis as unknown as Record<string, Uint8ArrayConstructor>)[name];
    if (!View) bad("there is no such view");
    if (length % (View.BYTES_PER_ELEMENT ?? 1)) bad("a view is cut");
    return new View(buffer);
  }

  error(depth: number): Error {
    const cls = this.string();
    const name = this.string();
    const message = this.string();
    const stack = this.string();
    const flags = this.byte();
    const Class = errorClass(cls) ?? Error;
    // It gets the stack that it had; one of this place would be lost work.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    const error = this.made1(
      cls === "AggregateError"
        ? new AggregateError([], message)
        : cls === "DOMException"
        ? new DOMException(message, name)
        : new Class(message),
    );
    Error.stackTraceLimit = stackTraceLimit;
    const set = (key: string, value: unknown) =>
      Object.defineProperty(error, key, {
        value,
        writable: true,
        configurable: true,
      });
    if (error.name !== name) set("name", name);
    set("stack", stack);
    if (flags & 1) set("cause", this.value(depth));
    if (flags & 2) set("errors", this.value(depth));
    let room: IndexRoom | undefined;
    const count = this.count(2);
    if (count > WIDE) this.charge(count * WIDE_COST);
    for (let left = count; left > 0; left--) {
      const key = this.key();
      if (key < ":") this.charge((room ??= new IndexRoom(count)).cost(key));
      const value = this.value(depth);
      // What the constructor made stays as it is, whatever is said of it.
      if (!Object.hasOwn(error, key)) {
        Object.defineProperty(error, key, {
          value,
          writable: true,
          configurable: true,
          enumerable: true,
        });
      }
    }
    return error;
  }
}

function attempt<V>(make: () => V): V {
  try {
    return make();
  } catch (error) {
    return bad(error instanceof Error ? error.message : String(error), error);
  }
}

/**
 * Makes a value of bytes. Safe on anything that a stranger sends: no code is
 * made, no prototype is touched, and memory follows the size of the input.
 *
 * @throws {CodecError} on anything that {@linkcode encode} does not write
 */
export function decode(
  data: Uint8Array,
  options: DecodeOptions = {},
): unknown {
  const limits = options.limits ? { ...LIMITS, ...options.limits } : LIMITS;
  // Node's buffers are Uint8Arrays whose slices are not copies.
  const plain = new Uint8Array(data.buffer, data.byteOffset, data.length);
  const reader = new Reader(plain, options.extensions, limits);
  const value = reader.value(0);
  if (reader.at !== data.length) bad("something follows it");
  return value;
}
