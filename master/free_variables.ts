import { children, isNode, type Node, parseFunction } from "./ast.ts";

/** What a function's source says about whether it can stand for itself. */
export interface FunctionAnalysis {
  /** Names that are declared neither in it nor by the runtime. */
  names: string[];
  /** Why nothing can be said: it has no source, or one that cannot be read. */
  reason?: "native" | "syntax";
  /** JavaScript that makes the function again. */
  expression: string;
  /** Whether it uses the `this` of its surroundings. */
  usesThis: boolean;
  /** Whether it uses `super`. */
  usesSuper: boolean;
}

/** What every Deno process has. Taken before user code can add to it. */
const GLOBALS = new Set<string>(["undefined", "NaN", "Infinity", "arguments"]);
for (
  let object: object | null = globalThis;
  object;
  object = Object.getPrototypeOf(object)
) {
  for (const name of Object.getOwnPropertyNames(object)) GLOBALS.add(name);
}

/** Looks for what a function needs from around it. */
export function freeVariables(source: string): FunctionAnalysis {
  const analysis: FunctionAnalysis = {
    names: [],
    expression: source,
    usesThis: false,
    usesSuper: false,
  };
  if (/\{\s*\[native code\]\s*\}\s*$/.test(source)) {
    return { ...analysis, reason: "native" };
  }
  const parsed = parseFunction(source);
  if (!parsed) return { ...analysis, reason: "syntax" };
  const walker = new Walker();
  walker.visit(parsed.node, [], parsed.node.type !== "FunctionDeclaration");
  return {
    names: [...walker.free],
    expression: parsed.expression,
    usesThis: walker.usesThis,
    usesSuper: walker.usesSuper,
  };
}

type Scope = ReadonlySet<string>;

class Walker {
  readonly free = new Set<string>();
  usesThis = false;
  usesSuper = false;

  /** @param outer whether `this` still means that of the surroundings */
  visit(node: Node, scopes: Scope[], outer: boolean): void {
    switch (node.type) {
      case "Identifier":
        return this.#use(node.name as string, scopes);
      case "ThisExpression":
        if (outer) this.usesThis = true;
        return;
      case "Super":
        if (outer) this.usesSuper = true;
        return;
      case "MetaProperty":
        if ((node.meta as Node).name === "import") this.free.add("import.meta");
        return;
      case "FunctionDeclaration":
      case "FunctionExpression":
      case "ArrowFunctionExpression":
        return this.#function(node, scopes, outer);
      case "ClassDeclaration":
      case "ClassExpression":
        return this.#class(node, scopes, outer);
      case "MemberExpression":
        this.visit(node.object as Node, scopes, outer);
        if (node.computed) this.visit(node.property as Node, scopes, outer);
        return;
      case "Property":
      case "MethodDefinition":
      case "PropertyDefinition":
        if (node.computed) this.visit(node.key as Node, scopes, outer);
        if (isNode(node.value)) {
          this.visit(
            node.value,
            scopes,
            outer && node.type !== "PropertyDefinition",
          );
        }
        return;
      case "LabeledStatement":
        return this.visit(node.body as Node, scopes, outer);
      case "BreakStatement":
      case "ContinueStatement":
        return;
      case "BlockStatement":
      case "StaticBlock":
      case "SwitchStatement":
      case "ForStatement":
      case "ForInStatement":
      case "ForOfStatement":
        scopes = [...scopes, blockNames(node)];
        break;
      case "CatchClause": {
        const names = new Set<string>();
        if (isNode(node.param)) bind(node.param, names);
        scopes = [...scopes, names];
        break;
      }
    }
    for (const child of children(node)) this.visit(child, scopes, outer);
  }

  #use(name: string, scopes: Scope[]): void {
    if (GLOBALS.has(name) || scopes.some((scope) => scope.has(name))) return;
    this.free.add(name);
  }

  #function(node: Node, scopes: Scope[], outer: boolean): void {
    const names = new Set<string>();
    const params = node.params as Node[];
    if (node.type !== "ArrowFunctionExpression") {
      // Functions and methods have a `this` of their own. The outermost one
      // loses the object that it was called on, and is told so.
      names.add("arguments");
      outer = scopes.length === 0 && outer;
    }
    if (isNode(node.id)) names.add(node.id.name as string);
    for (const param of params) bind(param, names);
    hoist(node.body as Node, names);
    const inner = [...scopes, names];
    for (const param of params) this.visit(param, inner, outer);
    this.visit(node.body as Node, inner, outer);
  }

  #class(node: Node, scopes: Scope[], outer: boolean): void {
    if (isNode(node.superClass)) this.visit(node.superClass, scopes, outer);
    const names = new Set<string>();
    if (isNode(node.id)) names.add(node.id.name as string);
    const inner = [...scopes, names];
    for (const member of (node.body as Node).body as Node[]) {
      if (member.computed) this.visit(member.key as Node, inner, outer);
      if (member.type === "StaticBlock") this.visit(member, inner, false);
      else if (isNode(member.value)) this.visit(member.value, inner, false);
    }
  }
}

/** The names that a pattern declares. */
function bind(pattern: Node, names: Set<string>): void {
  switch (pattern.type) {
    case "Identifier":
      names.add(pattern.name as string);
      return;
    case "AssignmentPattern":
      return bind(pattern.left as Node, names);
    case "RestElement":
      return bind(pattern.argument as Node, names);
    case "ArrayPattern":
      for (const element of pattern.elements as unknown[]) {
        if (isNode(element)) bind(element, names);
      }
      return;
    case "ObjectPattern":
      for (const property of pattern.properties as Node[]) {
        bind((property.value ?? property.argument) as Node, names);
      }
  }
}

/** What `var` declares anywhere in a function, but not in those inside it. */
function hoist(node: Node, names: Set<string>): void {
  if (/Function|^Class/.test(node.type)) return;
  if (node.type === "VariableDeclaration" && node.kind === "var") {
    for (const { id } of node.declarations as Node[]) bind(id as Node, names);
  }
  for (const child of children(node)) hoist(child, names);
}

/** What a block declares for itself. */
function blockNames(node: Node): Set<string> {
  const names = new Set<string>();
  const statements = node.type === "SwitchStatement"
    ? (node.cases as Node[]).flatMap((c) => c.consequent as Node[])
    : node.type.startsWith("For")
    ? [node.init, node.left].filter(isNode)
    : node.body as Node[];
  for (const statement of statements) {
    if (statement.type === "VariableDeclaration") {
      for (const { id } of statement.declarations as Node[]) {
        bind(id as Node, names);
      }
    } else if (/^(Function|Class)Declaration$/.test(statement.type)) {
      names.add((statement.id as Node).name as string);
    }
  }
  return names;
}
