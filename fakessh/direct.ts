/**
 * Commands that a client starts by itself, over a way that the connection has
 * to spare: another session of the same ssh, or this machine. Their bytes then
 * go through neither this process nor the context, which would take the time of
 * two more processors.
 *
 * The context still has its say: it writes the command down, so that there is
 * none where it may not run any, and ends it when the client is gone.
 *
 * @module
 */
import { type Context, DisconnectedError } from "../core/mod.ts";
import {
  directWay,
  hasBegun,
  PLAIN_PATH,
  stage,
  type Staged,
  unstage,
} from "../parent/mod.ts";
import type { RunPlan } from "./plan.ts";
import { prepare, type StartOptions } from "./remote.ts";
import { RunFlag } from "./wire.ts";

/** A command that a client starts by itself. */
export interface Direct {
  /** The command that starts it. */
  argv: string[];
  /** What sets it apart; see {@linkcode RunFlag}. */
  flags: string;
  /** Not to be tried again: the connection takes no more sessions. */
  refuse(): void;
  /** Rejects when the context is lost. */
  lost: Promise<never>;
  /** Whether it has begun; `undefined` if its context has ended it. */
  hasBegun(): Promise<boolean | undefined>;
  /** Forgets it, or ends it with all of its group. */
  done(end: boolean): Promise<void>;
}

/** How a client is to be served, and what its own streams are. */
export interface DirectOptions extends StartOptions {
  /** Which of stdin, stdout and stderr are terminals. */
  terminals: readonly [stdin: boolean, stdout: boolean, stderr: boolean];
  /** The user that it runs as. */
  uid: number;
}

/** The commands of one context that go by its way now. */
class Use {
  readonly #running = new Set<PromiseWithResolvers<never>>();
  refused = false;

  constructor(context: Context) {
    void context.closed.then((reason) => {
      for (const { reject } of this.#running) {
        reject(new DisconnectedError(reason, context.path));
      }
    });
  }

  get running(): number {
    return this.#running.size;
  }

  /** Takes a place until it is given back. */
  take(): Disposable & { lost: Promise<never> } {
    const entry = Promise.withResolvers<never>();
    entry.promise.catch(() => {});
    this.#running.add(entry);
    return {
      lost: entry.promise,
      [Symbol.dispose]: () => void this.#running.delete(entry),
    };
  }
}

const uses = new WeakMap<Context, Use>();

/**
 * Gets a command ready for a client to start.
 *
 * @returns `undefined` where there is no such way, or not for this one
 */
export async function startDirect(
  dest: Context,
  plan: RunPlan,
  options: DirectOptions,
): Promise<Direct | undefined> {
  const way = directWay(dest);
  if (!way || plan.pty || !way.ready()) return undefined;
  // With no other machine between, a terminal would be the command's own.
  const [stdin, stdout] = options.terminals;
  if (way.here && ((stdin && !plan.nullInput) || stdout)) return undefined;
  let use = uses.get(dest);
  if (!use) uses.set(dest, use = new Use(dest));
  if (use.refused || use.running >= way.limit) return undefined;
  using stack = new DisposableStack();
  const { lost } = stack.use(use.take());
  const path = Deno.env.get("PATH") ?? "/usr/local/bin:/usr/bin:/bin";
  const staged = await stageIn(dest, plan, options);
  if (staged === undefined) return undefined;
  const { folder, uid } = staged;
  // A tool may have become another user, whose command it would be.
  if (way.here && uid !== options.uid) {
    await dest.call(unstage, folder, true);
    return undefined;
  }
  const place = stack.move();
  return {
    // Not with the PATH of the tool, in which ssh is the client.
    argv: ["env", `PATH=${path}`, ...way.command(`${folder}/run`)],
    flags: (way.here ? RunFlag.HERE : "") +
      (plan.nullInput ? RunFlag.NULL : ""),
    lost,
    refuse() {
      use.refused = true;
    },
    hasBegun: () => dest.call(hasBegun, folder),
    async done(end) {
      place.dispose();
      await dest.call(unstage, folder, end);
    },
  };
}

async function stageIn(
  dest: Context,
  plan: RunPlan,
  options: StartOptions,
): Promise<Staged | undefined> {
  // What is to be said then is said by the usual way.
  let odd = false;
  const note = () => void (odd = true);
  const { program, args, cwd, env } = await prepare(dest, plan, {
    ...options,
    note,
  });
  if (odd) return undefined;
  const staged = await dest.call(stage, { program, args, cwd, env });
  // It comes from the other side, and is to be run: a path and nothing else.
  return staged && PLAIN_PATH.test(staged.folder) ? staged : undefined;
}
