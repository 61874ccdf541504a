/**
 * Ends the processes of a context that cannot do so itself any more: a `sh`
 * that holds the other end of a pipe sees its end however the context dies.
 *
 * @module
 */

/**
 * Reads `+ group`, `- group` and, when one was told to end, `! group`. At the
 * end of its input it tells those to end that it was told of, and were not told
 * yet: a second signal would break off what they do on the first. Whoever is
 * there after half a second is killed. A group may stand in a folder, which
 * then goes as well.
 */
const PROGRAM = `l=
while read -r o g; do
  n=
  for i in $l; do [ "\${i%:}" = "$g" ] || n="$n $i"; done
  case $o in +) n="$n $g" ;; !) n="$n $g:" ;; esac
  l=$n
done
k=
for i in $l; do
  case $i in /*) g=; rm -f "$i/run"; read -r g <"$i/pid"; rm -rf "$i"; i=$g ;; esac
  case $i in '' | 0* | 1 | 1: | *[!0-9:]*) continue ;; *:) ;; *) kill -TERM "-$i" ;; esac
  k="$k \${i%:}"
done
for t in 0.01 0.04 0.1 0.15 0.2 -; do
  n=
  for i in $k; do kill -0 "-$i" && n="$n $i"; done
  k=$n
  [ "$k" ] || exit 0
  [ "$t" = - ] || sleep "$t" || { sleep 1; break; }
done
for i in $k; do kill -KILL "-$i"; done`;

const utf8 = new TextEncoder();

/** Process groups that must not outlive this context. */
export class Watchdog {
  readonly #groups = new Set<number | string>();
  /** Those of them whose leader has ended, and others had not. */
  readonly #left = new Set<number>();
  #writer: WritableStreamDefaultWriter<Uint8Array> | undefined;
  #gone: Promise<unknown> = Promise.resolve();

  /** Begins to watch, if it does not yet. Call before what is to be watched. */
  start(): void {
    if (this.#writer) return;
    let process: Deno.ChildProcess;
    try {
      process = new Deno.Command("sh", {
        args: ["-c", PROGRAM],
        stdin: "piped",
        stdout: "null",
        stderr: "null",
        // Out of the group that is killed with this context.
        detached: true,
      }).spawn();
    } catch {
      // This context may run some programs, but no shell. It ends its processes
      // itself, as long as it is not killed.
      return;
    }
    // Nothing waits for it: it ends with its pipe.
    process.unref();
    this.#gone = process.status;
    this.#writer = process.stdin.getWriter();
    this.#writer.closed.catch(() => {});
  }

  #say(line: string): void {
    this.#writer?.write(utf8.encode(line)).catch(() => {});
  }

  /** Watches a process group, or the one that `pid` in a folder will name. */
  add(group: number | string): void {
    // One of the same number is gone, or this could not be its.
    if (typeof group === "number") this.#left.delete(group);
    this.sweep();
    this.#groups.add(group);
    this.#say(`+ ${group}\n`);
  }

  /** A group has been told to end. */
  told(group: number): void {
    if (this.#groups.has(group)) this.#say(`! ${group}\n`);
  }

  /** Forgets a group whose leader has ended, unless others are in it. */
  remove(group: number | string): void {
    if (typeof group === "number") this.#left.add(group);
    else this.#forget(group);
    this.sweep();
  }

  #forget(group: number | string): void {
    this.#groups.delete(group);
    this.#say(`- ${group}\n`);
  }

  /** Forgets the groups that are gone by now: their numbers come round. */
  sweep(): void {
    for (const group of this.#left) {
      if (groupLives(group)) continue;
      this.#left.delete(group);
      this.#forget(group);
    }
  }

  /** Ends, if nothing is left to be watched. */
  async rest(): Promise<void> {
    this.sweep();
    if (this.#groups.size > 0) return;
    const writer = this.#writer;
    // Another may begin before this one has ended.
    const gone = this.#gone;
    this.#writer = undefined;
    await writer?.close().catch(() => {});
    await gone;
  }
}

/** The one of this context. */
export const watchdog: Watchdog = new Watchdog();

/** Paths that mean the same to every shell: the watchdog takes no others. */
export const PLAIN_PATH = /^\/[\w./+-]+$/;

/**
 * Sees to it that a folder which is this context's alone is removed even when
 * that is killed. At disposal it is left to whoever disposes, who removes it
 * then: what others may put in its place is not ours to remove.
 */
export function watchFolder(path: string): AsyncDisposable | undefined {
  if (!PLAIN_PATH.test(path)) return undefined;
  watchdog.start();
  watchdog.add(path);
  return {
    async [Symbol.asyncDispose]() {
      watchdog.remove(path);
      await watchdog.rest();
    },
  };
}

/** Whether somebody is left in a process group. */
function groupLives(group: number): boolean {
  try {
    // Signal 0 is none: it only asks.
    Deno.kill(-group, 0 as unknown as Deno.Signal);
    return true;
  } catch (error) {
    return error instanceof Deno.errors.PermissionDenied;
  }
}
