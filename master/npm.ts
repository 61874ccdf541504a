const bundles = new Map<string, Promise<string>>();

/**
 * An npm package, or a part of one, as a single module. Bundled once; what two
 * packages have in common is in both.
 *
 * @param url as in Deno's graph, such as `npm:/chalk@5.3.0`
 * @throws {TypeError} when it cannot be bundled
 */
export function bundleNpm(url: string, denoPath: string): Promise<string> {
  let bundle = bundles.get(url);
  if (!bundle) bundles.set(url, bundle = make(url, denoPath));
  return bundle;
}

async function make(url: string, denoPath: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(denoPath, {
    args: ["bundle", "--quiet", "--minify", "--platform=deno", url],
    stdin: "null",
  }).output();
  if (!success) {
    throw new TypeError(
      `Cannot ship ${url}: \`deno bundle\` failed: ${
        new TextDecoder().decode(stderr).trim()
      }`,
    );
  }
  return await withNames(url, new TextDecoder().decode(stdout));
}

/** A bundle of a CommonJS package with nothing but a default export at its end. */
const ONLY_DEFAULT = /export default ([\w$]+\(\));\s*$/;

/**
 * A CommonJS package has its named exports too, as Deno finds them: the
 * program imports them by name.
 */
async function withNames(url: string, source: string): Promise<string> {
  const match = source.match(ONLY_DEFAULT);
  if (!match) return source;
  // The program has imported the package, so that nothing runs here now.
  const names = Object.keys(await import(url)).filter((name) =>
    name !== "default" && /^[A-Za-z_$][\w$]*$/.test(name)
  );
  const values = names.map((name, i) => `,$n${i}=$m[${JSON.stringify(name)}]`);
  const list = names.map((name, i) => `,$n${i} as ${name}`);
  return source.replace(
    ONLY_DEFAULT,
    (_, call: string) =>
      `const $m=${call}${values.join("")};export{$m as default${
        list.join("")
      }};`,
  );
}
