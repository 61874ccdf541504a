import { stripTypeScriptTypes } from "node:module";

const INLINE_MAP =
  /\/\/# sourceMappingURL=data:application\/json;base64,([A-Za-z0-9+/=]+)\s*$/;

/**
 * A source map that says nothing. Without one, a Deno that may read a file of
 * this name makes its own from that, and its stacks are off by some lines.
 */
const NO_MAP = `\n//# sourceMappingURL=data:application/json;base64,${
  btoa('{"version":3,"sources":[],"names":[],"mappings":""}')
}`;

/**
 * Makes JavaScript of a module.
 *
 * Types are blanked out, so that every line and column stays where it is and
 * stacks are right by themselves. Only what is not mere types - enums,
 * parameter properties, namespaces - is rewritten, with a source map.
 *
 * @throws {SyntaxError} when the source cannot be read
 * @throws {TypeError} when it is of a kind that cannot be shipped
 */
export function transpile(
  url: string,
  source: string,
  mediaType: string,
): string {
  switch (mediaType) {
    case "JavaScript":
    case "Mjs":
      return source;
    case "TypeScript":
    case "Mts":
      break;
    default:
      throw new TypeError(
        `Cannot ship ${url}: it is ${mediaType}; only TypeScript, JavaScript and JSON modules, text and bytes can be shipped`,
      );
  }
  try {
    return strip(source, { mode: "strip" }) + NO_MAP;
  } catch (error) {
    if (!unsupported(error)) {
      throw new SyntaxError(
        `Cannot ship ${url}: ${(error as Error).message}`,
        { cause: error },
      );
    }
  }
  const transformed = strip(source, { mode: "transform", sourceMap: true });
  return transformed.replace(INLINE_MAP, (_, base64: string) => {
    const map = JSON.parse(
      new TextDecoder().decode(Uint8Array.fromBase64(base64)),
    );
    // It does not know what the source is called.
    map.sources = [url];
    const bytes = new TextEncoder().encode(JSON.stringify(map));
    return `//# sourceMappingURL=data:application/json;base64,${bytes.toBase64()}`;
  });
}

function unsupported(error: unknown): boolean {
  return error instanceof Error && "code" in error &&
    error.code === "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX";
}

type StripOptions = Parameters<typeof stripTypeScriptTypes>[1];

/** Strips without the warning that the function is new. */
function strip(source: string, options: StripOptions): string {
  const { warn } = console;
  console.warn = () => {};
  try {
    return stripTypeScriptTypes(source, options);
  } finally {
    console.warn = warn;
  }
}

/** A text or the bytes of a file as a module with a default export. */
export function asModule(data: Uint8Array, attribute: string): string {
  return attribute === "bytes"
    ? `export default Uint8Array.fromBase64("${data.toBase64()}");`
    : `export default ${JSON.stringify(new TextDecoder().decode(data))};`;
}

/**
 * Blanks out the attributes of text and bytes imports: what they name has
 * become a module. Lines and columns stay where they are.
 *
 * Deno 2.9 takes bytes from no loader hook, whatever the hook answers.
 */
export function dropAttributes(source: string): string {
  return source.replace(
    /\bwith\s*\{\s*type\s*:\s*(["'])(?:text|bytes)\1\s*,?\s*\}/g,
    (text) => text.replace(/[^\n]/g, " "),
  );
}
