/** What is asked of every machine of a fleet. Runs there; see fleet.ts. */
export interface Facts {
  host: string;
  user: string;
  /** Load average of the last minute. */
  load: number;
  /** Bytes. */
  memoryTotal: number;
  memoryFree: number;
  /** Of the file system at `/`, in bytes; unset where it may not be asked. */
  diskTotal?: number;
  diskFree?: number;
  deno: string;
}

/** Collects what the permissions of the context let it collect. */
export async function facts(): Promise<Facts> {
  const memory = Deno.systemMemoryInfo();
  const collected: Facts = {
    host: Deno.hostname(),
    user: await user(),
    load: Deno.loadavg()[0]!,
    memoryTotal: memory.total,
    memoryFree: memory.available,
    deno: Deno.version.deno,
  };
  try {
    const { statfs } = await import("node:fs/promises");
    const disk = await statfs("/");
    collected.diskTotal = Number(disk.blocks) * Number(disk.bsize);
    collected.diskFree = Number(disk.bavail) * Number(disk.bsize);
  } catch {
    // Not granted: the row says so.
  }
  return collected;
}

async function user(): Promise<string> {
  const { userInfo } = await import("node:os");
  try {
    return userInfo().username;
  } catch {
    return `uid ${Deno.uid()}`;
  }
}
