import { parse } from "acorn";

/** A node of a syntax tree, as acorn makes them; fields are looked at before use. */
export interface Node {
  type: string;
  [key: string]: unknown;
}

/** @throws {SyntaxError} when the source cannot be read */
export function parseModule(source: string): Node {
  return parse(source, {
    ecmaVersion: "latest",
    sourceType: "module",
    allowHashBang: true,
  }) as unknown as Node;
}

/** Whether something in a tree is a node. */
export function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null &&
    typeof (value as Node).type === "string";
}

/** The nodes right below a node. */
export function* children(node: Node): Generator<Node> {
  for (const value of Object.values(node)) {
    if (isNode(value)) yield value;
    else if (Array.isArray(value)) yield* value.filter(isNode);
  }
}

/** A function's own source, and the expression that makes it again. */
export interface FunctionSource {
  node: Node;
  expression: string;
}

/**
 * Reads what `Function.prototype.toString` says. Methods are not expressions
 * by themselves: they are put into an object and taken out again.
 *
 * @returns `undefined` when it is no source at all
 */
export function parseFunction(source: string): FunctionSource | undefined {
  const asIs = expressionOf(`(${source})`);
  if (asIs) return { node: asIs, expression: source };
  for (const prefix of ["", "function "]) {
    const object = expressionOf(`({${prefix}${source}})`);
    const property = (object?.properties as Node[] | undefined)?.[0];
    const value = property?.value;
    if (!property || !isNode(value)) continue;
    const kind = property.kind;
    const made = `Object.getOwnPropertyDescriptors({${source}})`;
    const field = kind === "get" || kind === "set" ? kind : "value";
    return { node: value, expression: `Object.values(${made})[0].${field}` };
  }
  return undefined;
}

function expressionOf(source: string): Node | undefined {
  try {
    const [statement] = parseModule(source).body as Node[];
    return statement?.type === "ExpressionStatement"
      ? statement.expression as Node
      : undefined;
  } catch {
    return undefined;
  }
}

/** A tree without where it stands and how it is spelled. */
export function shape(node: unknown): unknown {
  if (typeof node === "bigint") return `${node}n`;
  if (node instanceof RegExp) return String(node);
  if (Array.isArray(node)) return node.map(shape);
  if (typeof node !== "object" || node === null) return node;
  const kept: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(node)) {
    if (key === "start" || key === "end" || key === "raw") continue;
    if (key === "directive" || key === "id" && isFunction(node)) continue;
    kept[key] = shape(value);
  }
  // A declaration and an expression of the same function are the same.
  if (isFunction(node)) {
    kept.type = String(kept.type).replace("Declaration", "Expression");
    delete kept.expression;
  }
  return kept;
}

function isFunction(node: unknown): boolean {
  return isNode(node) && /^(Arrow)?Function|^Class(Decl|Expr)/.test(node.type);
}
