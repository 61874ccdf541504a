/**
 * What is open: a folder for each name, in a folder that is the user's own.
 *
 * @module
 */
import { join } from "node:path";
import { Control, PREFIX_LENGTH, TOKEN_LENGTH } from "../wire.ts";
import { ArgumentError } from "./arguments.ts";

/** What a tree says of itself. */
export interface TreeInfo {
  name: string;
  /** The process that keeps it. */
  pid: number;
  /** Its hops. */
  via: string[];
  /** Path of the context at its end. */
  path: string;
  /** When it was opened, in milliseconds since 1970. */
  since: number;
  /** Seconds without an ssh after which it ends; 0 is never. */
  idle: number;
  /** How many of ssh are running. */
  running: number;
  /** How many there have been. */
  served: number;
}

/** Questions to the one who keeps a tree. */
export const Question = { STATE: "S", CLOSE: "K" } as const;

/**
 * The folder of all trees. Made when it is not there.
 *
 * @throws {ArgumentError} when it is not the user's alone
 */
export async function stateFolder(): Promise<string> {
  const runtime = Deno.env.get("XDG_RUNTIME_DIR");
  const path = runtime
    ? join(runtime, "fakessh")
    : `/tmp/fakessh-${Deno.uid()}`;
  try {
    await Deno.mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) {
      throw new ArgumentError(
        `Cannot make ${path}: ${(error as Error).message}`,
      );
    }
  }
  // Not what a link leads to: somebody else may have put it there.
  const { isDirectory, uid, mode } = await Deno.lstat(path);
  if (!isDirectory || uid !== Deno.uid() || ((mode ?? 0) & 0o77) !== 0) {
    throw new ArgumentError(
      `Cannot use ${path}: it is not a folder of yours that nobody else may enter; remove it`,
    );
  }
  return path;
}

/** The socket of a tree, and what to say there. */
export function treeAt(
  folder: string,
): Promise<[socket: string, token: string]> {
  const socket = join(folder, "socket");
  return Deno.readTextFile(join(folder, "token"))
    .then((token) => [socket, token.trim()]);
}

/** Asks the one who keeps a tree; `undefined` when there is none. */
async function ask(
  folder: string,
  question: string,
  wait: boolean,
): Promise<TreeInfo | undefined> {
  let conn: Deno.Conn;
  let token: string;
  try {
    let path: string;
    [path, token] = await treeAt(folder);
    conn = await Deno.connect({ transport: "unix", path });
  } catch {
    return undefined;
  }
  const control = new Control(conn, new Uint8Array(0));
  try {
    const prefix = `Q${token}`.padEnd(PREFIX_LENGTH, "0");
    if (prefix.length !== PREFIX_LENGTH || token.length !== TOKEN_LENGTH) {
      return undefined;
    }
    await conn.write(new TextEncoder().encode(prefix));
    await control.send(question);
    const answer = await control.read();
    if (!answer) return undefined;
    // It holds on to us until it has ended.
    if (wait) { while (await control.read()); }
    return JSON.parse(new TextDecoder().decode(answer[1]));
  } catch {
    return undefined;
  } finally {
    control.close();
  }
}

/** The tree of a name; `undefined` when none is open. */
export async function findTree(
  name: string,
): Promise<{ folder: string; info: TreeInfo } | undefined> {
  const folder = join(await stateFolder(), name);
  const info = await ask(folder, Question.STATE, false);
  return info && { folder, info };
}

/** All that are open. What a killed one has left is removed. */
export async function listTrees(): Promise<TreeInfo[]> {
  const state = await stateFolder();
  const trees: TreeInfo[] = [];
  for await (const { name } of Deno.readDir(state)) {
    const info = await ask(join(state, name), Question.STATE, false);
    if (info) trees.push(info);
    else await removeStale(join(state, name));
  }
  return trees.sort((a, b) => a.name < b.name ? -1 : 1);
}

/** A folder that is being filled has no answer either, and is young. */
const YOUNG = 60_000;

async function removeStale(folder: string): Promise<void> {
  try {
    const { mtime } = await Deno.lstat(folder);
    if (mtime && Date.now() - mtime.getTime() < YOUNG) return;
    await Deno.remove(folder, { recursive: true });
  } catch {
    // It is gone.
  }
}

/** Ends a tree; answers whether there was one. */
export async function closeTree(name: string): Promise<boolean> {
  const folder = join(await stateFolder(), name);
  return await ask(folder, Question.CLOSE, true) !== undefined;
}

/**
 * Makes the folder of a new tree.
 *
 * @throws {ArgumentError} when one of this name is open
 */
export async function claimName(name: string): Promise<string> {
  const folder = join(await stateFolder(), name);
  for (let attempt = 0;; attempt++) {
    try {
      await Deno.mkdir(folder, { mode: 0o700 });
      return folder;
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
    const info = await ask(folder, Question.STATE, false);
    if (info || attempt > 0) {
      throw new ArgumentError(
        `Cannot open "${name}": it is open already${
          info ? `, as ${info.path}` : ""
        }; fakessh --close ${name} ends it`,
      );
    }
    // Its owner was killed.
    await Deno.remove(folder, { recursive: true });
  }
}
