import { locate, member } from "./codec_locate.ts";
import { errorMessage, errorName, errorStack } from "./errors.ts";
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

const text = new TextEncoder();

/** Bytes from here on are not copied into the scratch buffer first. */
const LARGE = 32 * 1024;

/** How {@linkcode encode} does it. */
export interface EncodeOptions {
  extensions?: Extensions;
  /** Bytes left free at the start, for a frame's header. @default {0} */
  headroom?: number;
  limits?: Partial<Limits>;
}

/** Something that cannot cross; its path is looked for afterwards. */
class Refused {
  constructor(
    readonly what: unknown,
    readonly why: string,
    readonly key?: string,
    readonly cause?: unknown,
  ) {}
}

/** Writes values. One is kept and used again; nested use gets another. */
class Writer {
  bytes = new Uint8Array(4096);
  view = new DataView(this.bytes.buffer);
  at = 0;
  /** Finished pieces ahead of `bytes`, when something large came by. */
  parts: Uint8Array[] = [];
  done = 0;
  seen: Map<object, number> | undefined;
  count = 0;
  items = 0;
  extensions: Extensions | undefined;
  limits: Limits = LIMITS;

  reserve(size: number): void {
    if (this.at + size <= this.bytes.length) return;
    const bytes = new Uint8Array(Math.max(this.at + size, this.at * 2));
    bytes.set(this.bytes.subarray(0, this.at));
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
  }

  byte(value: number): void {
    if (this.at >= this.bytes.length) this.reserve(64);
    this.bytes[this.at++] = value;
  }

  varint(value: number): void {
    while (value > 0x7f) {
      this.byte((value % 128) | 0x80);
      value = Math.floor(value / 128);
    }
    this.byte(value);
  }

  double(value: number): void {
    this.reserve(8);
    this.view.setFloat64(this.at, value);
    this.at += 8;
  }

  number(value: number): void {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
      if (value >= 0 && value < 128) return this.byte(T.SMALL | value);
      this.byte(value < 0 ? T.NEGATIVE : T.INT);
      return this.varint(value < 0 ? -value - 1 : value);
    }
    this.byte(T.DOUBLE);
    this.double(value);
  }

  raw(bytes: Uint8Array): void {
    const { length } = bytes;
    this.varint(length);
    if (length >= LARGE) {
      this.cut();
      // Copied once, when all is put together. It must not change until then,
      // and cannot: encoding is synchronous.
      this.parts.push(bytes);
      this.done += length;
      return;
    }
    this.reserve(length);
    this.bytes.set(bytes, this.at);
    this.at += length;
  }

  cut(): void {
    this.parts.push(this.bytes.slice(0, this.at));
    this.done += this.at;
    this.at = 0;
  }

  string(value: string): void {
    const { length } = value;
    if (length < 64) {
      this.reserve(length + 1);
      const { bytes, at } = this;
      let i = 0;
      for (; i < length; i++) {
        const code = value.charCodeAt(i);
        if (code > 0x7f) break;
        bytes[at + 1 + i] = code;
      }
      if (i === length) {
        bytes[at] = T.SHORT | length;
        this.at += length + 1;
        return;
      }
    }
    if (value.isWellFormed()) {
      this.byte(T.UTF8);
      return this.raw(text.encode(value));
    }
    this.byte(T.UTF16);
    const bytes = new Uint8Array(length * 2);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < length; i++) view.setUint16(i * 2, value.charCodeAt(i));
    this.raw(bytes);
  }

  bigint(value: bigint): void {
    const negative = value < 0n;
    this.byte(negative ? T.NEGATIVE_BIGINT : T.BIGINT);
    let hex = (negative ? -value : value).toString(16);
    if (hex.length % 2) hex = `0${hex}`;
    this.raw(Uint8Array.fromHex(hex));
  }

  value(value: unknown, depth: number): void {
    if (++this.items > this.limits.maxItems) {
      throw new Refused(
        value,
        `it holds more than ${this.limits.maxItems} values`,
      );
    }
    switch (typeof value) {
      case "string":
        return this.string(value);
      case "number":
        return this.number(value);
      case "boolean":
        return this.byte(value ? T.TRUE : T.FALSE);
      case "undefined":
        return this.byte(T.UNDEFINED);
      case "bigint":
        return this.bigint(value);
      case "object":
        if (value === null) return this.byte(T.NULL);
        return this.object(value, depth);
      case "function":
        return this.object(value, depth);
      default:
        throw new Refused(value, `a ${typeof value} cannot cross`);
    }
  }

  object(value: object, depth: number): void {
    const seen = this.seen ??= new Map();
    const known = seen.get(value);
    if (known !== undefined) {
      this.byte(T.REF);
      return this.varint(known);
    }
    seen.set(value, this.count++);
    if (depth >= this.limits.maxDepth) {
      throw new Refused(
        value,
        `it is nested more than ${this.limits.maxDepth} deep`,
      );
    }
    depth++;
    this.items += weight(T.OBJECT);
    if (Array.isArray(value)) return this.array(value, depth);
    const proto = Object.getPrototypeOf(value);
    if (proto === Object.prototype) return this.fields(T.OBJECT, value, depth);
    this.items += weight(T.MAP) - weight(T.OBJECT);
    if (proto === null) return this.fields(T.NULL_OBJECT, value, depth);
    if (ArrayBuffer.isView(value)) return this.bufferView(value);
    if (value instanceof Map) {
      this.byte(T.MAP);
      this.varint(value.size);
      for (const [k, v] of value) {
        this.value(k, depth);
        this.value(v, depth);
      }
      return;
    }
    if (value instanceof Set) {
      this.byte(T.SET);
      this.varint(value.size);
      for (const v of value) this.value(v, depth);
      return;
    }
    this.other(value, depth);
  }

  /** What is rare. */
  other(value: object, depth: number): void {
    let packed;
    try {
      packed = this.extensions?.pack(value);
    } catch (error) {
      throw new Refused(value, errorMessage(error), undefined, error);
    }
    if (packed) {
      this.items += weight(T.EXTENSION) - weight(T.MAP);
      this.byte(T.EXTENSION);
      this.byte(packed[0]);
      return this.value(packed[1], depth);
    }
    if (typeof value === "function") {
      throw new Refused(value, "a function cannot cross between contexts");
    }
    if (value instanceof Date) {
      this.byte(T.DATE);
      return this.double(value.getTime());
    }
    if (value instanceof RegExp) {
      this.byte(T.REGEXP);
      this.string(value.source);
      return this.string(value.flags);
    }
    if (value instanceof URL) {
      this.byte(T.URL);
      return this.string(value.href);
    }
    if (value instanceof ArrayBuffer) {
      if (value.detached) throw new Refused(value, "its buffer is detached");
      this.byte(T.BUFFER);
      return this.raw(new Uint8Array(value));
    }
    if (value instanceof Error) return this.error(value, depth);
    if (
      value instanceof Number || value instanceof String ||
      value instanceof Boolean || value instanceof BigInt
    ) {
      this.byte(T.BOXED);
      return this.value(value.valueOf(), depth);
    }
    const kind = Object.prototype.toString.call(value).slice(8, -1);
    if (kind !== "Object") {
      throw new Refused(
        value,
        `a ${kind} cannot cross between contexts`,
      );
    }
    this.fields(T.OBJECT, value, depth);
  }

  array(value: unknown[], depth: number): void {
    const { length } = value;
    // Reading a hole gives undefined; only then is it worth to look closer.
    if (value.includes(undefined) && Object.keys(value).length < length) {
      return this.sparse(value, depth);
    }
    this.byte(T.ARRAY);
    this.varint(length);
    for (let i = 0; i < length; i++) this.value(value[i], depth);
  }

  sparse(value: unknown[], depth: number): void {
    const keys = Object.keys(value).map(Number).filter((i) => i >>> 0 === i);
    if ((this.items += value.length) > this.limits.maxItems) {
      throw new Refused(value, `it is ${value.length} long`);
    }
    this.byte(T.SPARSE);
    this.varint(value.length);
    this.varint(keys.length);
    for (const i of keys) {
      this.varint(i);
      this.value(value[i], depth);
    }
  }

  fields(tag: T, value: object, depth: number, skip?: Set<string>): void {
    let keys = Object.keys(value);
    if (skip) keys = keys.filter((key) => !skip.has(key));
    else this.byte(tag);
    this.varint(keys.length);
    let room: IndexRoom | undefined;
    if (keys.length > WIDE) this.items += keys.length * WIDE_COST;
    for (const key of keys) {
      if (key < ":") {
        this.items += (room ??= new IndexRoom(keys.length)).cost(key);
      }
      if (key === "__proto__") {
        throw new Refused(value, "this key could change what objects are", key);
      }
      let field;
      try {
        field = (value as Record<string, unknown>)[key];
      } catch (error) {
        const why = `reading it threw ${errorMessage(error)}`;
        throw new Refused(value, why, key, error);
      }
      this.string(key);
      this.value(field, depth);
    }
  }

  bufferView(value: ArrayBufferView): void {
    const kind = VIEWS.indexOf(
      Object.prototype.toString.call(value).slice(8, -1),
    );
    const { buffer, byteOffset, byteLength } = value;
    if (kind < 0 || !(buffer instanceof ArrayBuffer) || buffer.detached) {
      throw new Refused(value, "its buffer is shared or detached");
    }
    this.byte(T.VIEW);
    this.byte(kind);
    this.raw(new Uint8Array(buffer, byteOffset, byteLength));
  }

  error(error: Error, depth: number): void {
    this.items += weight(T.ERROR) - weight(T.MAP);
    let cls = "Error";
    for (
      let proto = Object.getPrototypeOf(error);
      proto;
      proto = Object.getPrototypeOf(proto)
    ) {
      const own = Object.hasOwn(proto, "constructor") && proto.constructor;
      if (own && errorClass(own.name)?.prototype === proto) {
        cls = own.name;
        break;
      }
    }
    this.byte(T.ERROR);
    this.string(cls);
    this.string(nameOf(error, cls));
    this.string(errorMessage(error));
    this.string(errorStack(error));
    const cause = Object.hasOwn(error, "cause");
    const many = Array.isArray((error as AggregateError).errors);
    this.byte((cause ? 1 : 0) | (many ? 2 : 0));
    if (cause) this.value(error.cause, depth);
    if (many) this.value((error as AggregateError).errors, depth);
    this.fields(T.ERROR, error, depth, ERROR_FIELDS);
  }

  finish(headroom: number): Uint8Array<ArrayBuffer> {
    const { parts, done, at } = this;
    const all = new Uint8Array(headroom + done + at);
    let to = headroom;
    for (const part of parts) {
      all.set(part, to);
      to += part.length;
    }
    all.set(this.bytes.subarray(0, at), to);
    return all;
  }

  reset(): void {
    this.at =
      this.done =
      this.count =
      this.items =
        0;
    this.seen = undefined;
    this.extensions = undefined;
    this.limits = LIMITS;
    if (this.parts.length > 0) this.parts = [];
    if (this.bytes.length > 1024 * 1024) {
      this.bytes = new Uint8Array(4096);
      this.view = new DataView(this.bytes.buffer);
    }
  }
}

/** A class of the user's own is revived as its built-in one, under its name. */
function nameOf(error: Error, cls: string): string {
  try {
    const own = error.constructor?.name;
    const plain = error.name === errorClass(cls)!.prototype.name;
    return String(cls !== "DOMException" && own && plain ? own : error.name);
  } catch {
    return errorName(error);
  }
}

const ERROR_FIELDS = new Set(["name", "message", "stack", "cause", "errors"]);

let spare: Writer | undefined = new Writer();

/**
 * Turns a value into bytes.
 *
 * Takes what structured clone takes, except that views of one buffer get a
 * buffer each, and that of a view only what it shows is sent.
 *
 * @throws {CodecError} when something in it cannot cross; says where and why
 */
export function encode(
  value: unknown,
  options: EncodeOptions = {},
): Uint8Array<ArrayBuffer> {
  // A getter may encode something itself: then the spare one is taken.
  const writer = spare ?? new Writer();
  spare = undefined;
  try {
    writer.extensions = options.extensions;
    if (options.limits) writer.limits = { ...LIMITS, ...options.limits };
    writer.value(value, 0);
    return writer.finish(options.headroom ?? 0);
  } catch (error) {
    if (error instanceof CodecError) throw error;
    if (!(error instanceof Refused)) {
      throw new CodecError(`Cannot send $: ${errorMessage(error)}`, "$", error);
    }
    let path = "$";
    try {
      path = locate(value, error.what) ?? "$";
    } catch {
      // The way leads through something that cannot be looked at.
    }
    if (error.key !== undefined) path += member(error.key);
    throw new CodecError(
      `Cannot send ${path}: ${error.why}`,
      path,
      error.cause,
    );
  } finally {
    writer.reset();
    spare = writer;
  }
}
