import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import fc from "fast-check";
import { CodecError, decode, encode } from "../../core/mod.ts";

const anything = fc.anything({
  withBigInt: true,
  withDate: true,
  withMap: true,
  withSet: true,
  withTypedArray: true,
  withSparseArray: true,
  withNullPrototype: true,
  withUnicodeString: true,
  maxDepth: 4,
} as never);

Deno.test("property: decode(encode(x)) is what structuredClone makes of x", () => {
  fc.assert(
    fc.property(anything, (value) => {
      let cloned;
      try {
        cloned = structuredClone(value);
      } catch {
        return;
      }
      let bytes;
      try {
        bytes = encode(value);
      } catch (error) {
        // The one thing that structured clone takes and we do not.
        assert(String(error).includes("__proto__"), String(error));
        return;
      }
      assertEquals(strip(decode(bytes)), strip(cloned));
    }),
    { numRuns: 500 },
  );
});

/** structuredClone forgets that an object has no prototype; we do not. */
function strip(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(strip);
  if (value instanceof Map) {
    return [...value].map(([k, v]) => [strip(k), strip(v)]);
  }
  if (value instanceof Set) return [...value].map(strip);
  if (
    typeof value === "object" && value !== null &&
    [null, Object.prototype].includes(Object.getPrototypeOf(value))
  ) {
    return Object.entries(value).map(([k, v]) => [k, strip(v)]);
  }
  return value;
}

Deno.test("property: any bytes give a value or a CodecError", () => {
  const attempt = (bytes: Uint8Array) => {
    try {
      decode(bytes);
    } catch (error) {
      assertInstanceOf(error, CodecError);
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), attempt), {
    numRuns: 2000,
  });
  fc.assert(
    fc.property(
      anything,
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 5 }),
      (value, changes) => {
        let bytes;
        try {
          bytes = encode(value);
        } catch {
          return;
        }
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
        attempt(bytes);
      },
    ),
    { numRuns: 1000 },
  );
});
