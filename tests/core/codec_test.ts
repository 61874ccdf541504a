import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertLess,
  assertThrows,
} from "@std/assert";
import { CodecError, decode, encode } from "../../core/mod.ts";

/** Values and what they are on the wire; docs/protocol.md has more. */
const TABLE: [value: unknown, hex: string][] = [
  [undefined, "00"],
  [null, "01"],
  [true, "02"],
  [false, "03"],
  [0, "80"],
  [127, "ff"],
  [128, "048001"],
  [-1, "0500"],
  [0.5, "063fe0000000000000"],
  [-0, "068000000000000000"],
  ["", "40"],
  ["hi", "426869"],
  ["é", "0702c3a9"],
  ["\ud800", "0802d800"],
  [255n, "0901ff"],
  [-1n, "0a0101"],
  [[1, "a"], "0f02814161"],
  [{ a: null }, "1101416101"],
  [new Set([1]), "140181"],
  [Uint8Array.of(1, 2), "1600020102"],
];

Deno.test("a value is just these bytes, and these bytes are just that value", () => {
  for (const [value, hex] of TABLE) {
    assertEquals(encode(value).toHex(), hex);
    assertEquals(decode(Uint8Array.fromHex(hex)), value);
  }
});

Deno.test("everything that structured clone takes comes back the same", () => {
  const values = [
    10n ** 50n,
    -(10n ** 50n),
    2 ** 53,
    -(2 ** 31),
    NaN,
    -Infinity,
    "x".repeat(100_000),
    "\u{1f980}".repeat(50),
    new Date(1e12),
    /a\/b/giu,
    new Map<unknown, unknown>([[{ k: 1 }, new Set([[]])]]),
    [1, , 3, undefined], // deno-lint-ignore-line no-sparse-arrays
    Object.assign([], { length: 3 }),
    { nested: { deep: [{}] } },
    new Float32Array([1.5, NaN]),
    new BigInt64Array([-1n]),
    new DataView(new ArrayBuffer(4)),
    new Uint8Array(200_000).fill(9),
    new ArrayBuffer(5),
    Object(1n),
    Object("boxed"),
  ];
  for (const value of values) {
    assertEquals(decode(encode(value)), structuredClone(value));
  }
  assert(Number.isNaN((decode(encode(new Date(NaN))) as Date).getTime()));
  assertEquals(
    decode(encode(new URL("https://a.b/c?d#e"))),
    new URL("https://a.b/c?d#e"),
  );
  const bare = decode(encode(Object.assign(Object.create(null), { a: 1 })));
  assertEquals(Object.getPrototypeOf(bare), null);
});

Deno.test("shared references stay shared, and cycles closed", () => {
  const shared = { n: 1 };
  const root: Record<string, unknown> = { a: shared, b: [shared] };
  root.self = root;
  root.map = new Map([[root, new Set([root])]]);
  const error = new Error("loop");
  error.cause = { error };
  root.error = error;
  // deno-lint-ignore no-explicit-any
  const back = decode(encode(root)) as any;
  assert(back.self === back);
  assert(back.a === back.b[0]);
  assert(back.map.get(back).has(back));
  assert(back.error.cause.error === back.error);
});

Deno.test("a view sends what it shows, not what is behind it", () => {
  const large = new Uint8Array(1 << 20);
  const bytes = encode(large.subarray(10, 20));
  assert(bytes.length < 20);
  const back = decode(bytes) as Uint8Array;
  assertEquals([back.length, back.buffer.byteLength], [10, 10]);
});

Deno.test("errors keep class, name, cause, stack and fields", () => {
  class Custom extends RangeError {
    readonly code = "E_CUSTOM";
  }
  const custom = decode(encode(new Custom("c", { cause: [1] }))) as Custom;
  assertInstanceOf(custom, RangeError);
  assertEquals(
    [custom.name, custom.message, custom.cause, custom.code],
    ["Custom", "c", [1], "E_CUSTOM"],
  );
  assert(custom.stack!.includes("codec_test.ts"));
  const many = decode(encode(new AggregateError([new SyntaxError("s")], "m")));
  assertInstanceOf((many as AggregateError).errors[0], SyntaxError);
  const abort = decode(encode(new DOMException("d", "AbortError")));
  assertInstanceOf(abort, DOMException);
  assertEquals(abort.name, "AbortError");
  assertInstanceOf(
    decode(encode(new Deno.errors.PermissionDenied("p"))),
    Deno.errors.PermissionDenied,
  );
});

Deno.test("what cannot cross is refused with the way to it", () => {
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  const detached = new ArrayBuffer(1);
  structuredClone(detached, { transfer: [detached] });
  const cases: [value: unknown, path: string][] = [
    [() => {}, "$"],
    [{ args: [1, { timer: Symbol("s") }] }, "$.args[1].timer"],
    [{ "odd key": new WeakMap() }, '$["odd key"]'],
    [new Map([["k", Promise.resolve()]]), '$<"k">'],
    [new Set([new WeakRef({})]), "$<member>"],
    [{ a: new SharedArrayBuffer(1) }, "$.a"],
    [{ a: detached }, "$.a"],
    [{ s: new ReadableStream() }, "$.s"],
    [[function* () {}()], "$[0]"],
    [new Error("e", { cause: () => {} }), "$.cause"],
    [JSON.parse('{"__proto__": 1}'), "$.__proto__"],
    [revoked.proxy, "$"],
    [{
      get bad() {
        throw new Error("no");
      },
    }, "$.bad"],
  ];
  for (const [value, path] of cases) {
    const error = assertThrows(() => encode(value), CodecError);
    assertEquals(error.path, path);
  }
  // The writer is as good as new after each of them.
  assertEquals(decode(encode([1, 2])), [1, 2]);
});

Deno.test("limits hold on both sides", () => {
  let deep: unknown = 1;
  for (let i = 0; i < 501; i++) deep = [deep];
  assertThrows(() => encode(deep), CodecError, "nested");
  const nested = new Uint8Array(20_001).fill(0x81);
  for (let i = 0; i < 20_000; i += 2) nested.set([0x0f, 0x01], i);
  assertThrows(() => decode(nested), CodecError, "nested too deep");
  assertThrows(
    () => encode(new Array(100).fill(1), { limits: { maxItems: 50 } }),
    CodecError,
    "more than 50",
  );
  assertEquals(
    decode(encode(new Array(200_000).fill(1))),
    new Array(200_000).fill(1),
  );
});

Deno.test("lengths and counts are not believed", () => {
  for (
    const hex of [
      "0fffffffff0f", // an array of 2^32-1
      "11ffffffff0f",
      "13ffffffff0f",
      "14ffffffff0f",
      "07ffffffff0f",
      "15ffffffff0f",
      "10ffffffff0f00",
      "0fffffffffffffffffff7f",
      "0b05", // a reference to nothing
      "190b0b00", // an extension that nobody knows
      "18180181",
      "1101" + "49" + "5f5f70726f746f5f5f" + "80", // __proto__
      "4568", // cut
      "0702c328", // not UTF-8
      "0801d8", // half a unit
      "0d412840", // a bad RegExp
      "0e4178", // a bad URL
      "160c0100", // half of a Float16
      "3f",
      "8080", // something follows
      "",
    ]
  ) {
    assertThrows(() => decode(Uint8Array.fromHex(hex)), CodecError);
  }
});

/** An array of so many of these, in hex. */
function many(element: string, count: number): Uint8Array {
  const head = encode(new Array(count).fill(0)).subarray(0, -count);
  return Uint8Array.fromHex(head.toHex() + element.repeat(count));
}

Deno.test("what takes much more memory than bytes counts for more", () => {
  const bombs: [what: string, element: string, count: number][] = [
    ["long arrays of nothing", "10e0a71200", 20],
    ["an index with room for all below it", "11014333323080", 20_000],
    ["the same on errors", "1740404040000143333230" + "80", 10_000],
    ["addresses", "0e43613a62", 130_000],
    ["expressions", "0d416140", 130_000],
    ["objects without prototype", "1200", 130_000],
    ["errors", "17404040400000", 35_000],
    ["senders", "19020f03804178048010", 35_000],
  ];
  const extensions = { pack: () => undefined, unpack: () => ({}) };
  for (const [what, element, count] of bombs) {
    assertThrows(
      () => decode(many(element, count), { extensions }),
      CodecError,
      "too many values",
      what,
    );
  }
  const wide = Object.fromEntries(
    Array.from({ length: 320_000 }, (_, i) => [`k${i}`, 0]),
  );
  assertThrows(() => encode(wide), CodecError, "more than 4000000");
});

Deno.test("what one side writes by these counts the other side takes", () => {
  const values = [
    Object.fromEntries(Array.from({ length: 250_000 }, (_, i) => [i * 3, 0])),
    Object.fromEntries(Array.from({ length: 300_000 }, (_, i) => [`k${i}`, 0])),
    Object.assign([], { length: 3_900_000 }),
    Array.from({ length: 5000 }, () => ({ 200: 1, 404: 2 })),
    Array.from({ length: 120_000 }, () => new Date(0)),
  ];
  for (const value of values) {
    const back = decode(encode(value)) as object;
    assertEquals(Object.keys(back).length, Object.keys(value).length);
  }
});

Deno.test("short strings are as small as they look", () => {
  // One that is put together by characters keeps each step in memory.
  const strings = 100_000;
  const bytes = encode(new Array(strings).fill("x".repeat(63)));
  decode(bytes);
  const before = Deno.memoryUsage().heapUsed;
  const kept = decode(bytes) as string[];
  const grown = Deno.memoryUsage().heapUsed - before;
  assertEquals(kept.length, strings);
  assertLess(grown, 400 * strings);
});
