/** How a member of an object is written in a path. */
export function member(key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key)
    ? `.${key}`
    : `[${JSON.stringify(key)}]`;
}

/** The way to something in a value, once it is known that it is in there. */
export function locate(root: unknown, target: unknown): string | undefined {
  const seen = new Set<unknown>();
  const queue: [value: unknown, path: string][] = [[root, "$"]];
  // Breadth first: the shortest way, and no recursion on what is too deep.
  for (let next = 0; next < queue.length && next < 100_000; next++) {
    const [value, path] = queue[next]!;
    if (Object.is(value, target)) return path;
    if (value === null || typeof value !== "object" || seen.has(value)) {
      continue;
    }
    seen.add(value);
    if (value instanceof Map) {
      for (const [k, v] of value) {
        const name = typeof k === "string" ? JSON.stringify(k) : String(k);
        queue.push([k, `${path}<key ${name}>`], [v, `${path}<${name}>`]);
      }
    } else if (value instanceof Set) {
      for (const v of value) queue.push([v, `${path}<member>`]);
    } else if (!ArrayBuffer.isView(value)) {
      const keys = value instanceof Error
        ? [...Object.keys(value), "cause", "errors"]
        : Object.keys(value);
      for (const key of keys) {
        let field;
        try {
          field = (value as Record<string, unknown>)[key];
        } catch {
          continue;
        }
        queue.push([
          field,
          path + (Array.isArray(value) ? `[${key}]` : member(key)),
        ]);
      }
    }
  }
  return undefined;
}
