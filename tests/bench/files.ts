/**
 * Files over ssh: this library, and what people use.
 *
 * @module
 */
import { Router } from "../../mod.ts";
import { type Sshd, startSshd } from "../fixtures/sshd.ts";
import { bytes } from "../fixtures/trees.ts";

/** What is measured of files. */
export type FileFigure = "tree" | "file";

const SIZE = 256;

interface Place extends AsyncDisposable {
  sshd: Sshd;
  folder: string;
}

/** An sshd, 5,000 small files and a large one. */
async function makePlace(): Promise<Place> {
  // In memory: how a disk feels about 5,000 new files changes by the minute.
  const folder = await Deno.makeTempDir({
    dir: "/dev/shm",
    prefix: "mitogen-bench-",
  });
  const sshd = await startSshd();
  for (let i = 0; i < 5000; i++) {
    if (i < 50) await Deno.mkdir(`${folder}/tree/${i}`, { recursive: true });
    Deno.writeFileSync(`${folder}/tree/${i % 50}/${i}`, bytes(500 + i % 3000));
  }
  using file = await Deno.create(`${folder}/file`);
  const part = bytes(16 * 1024 * 1024);
  for (let i = 0; i < SIZE; i += 16) await file.write(part);
  return {
    sshd,
    folder,
    async [Symbol.asyncDispose]() {
      await sshd.stop();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

async function sh(script: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("sh", {
    args: ["-c", script],
    stdin: "null",
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

/** One copy, over a connection that is there already where there can be one. */
async function timed(
  figure: FileFigure,
  folder: string,
  copy: (from: string, to: string) => Promise<void>,
): Promise<number> {
  const target = `${folder}/copy`;
  // Whatever was written before does not count.
  await sh("sync");
  const begin = performance.now();
  await copy(`${folder}/${figure}`, target);
  const took = performance.now() - begin;
  await Deno.remove(target, { recursive: true });
  return figure === "tree" ? took : SIZE / (took / 1000);
}

/** Milliseconds for the tree, MiB/s for the file; `undefined` without root. */
export async function copyFigure(
  figure: FileFigure,
  who: "ours" | "floor",
): Promise<number | undefined> {
  if (Deno.uid() !== 0) return undefined;
  await using place = await makePlace();
  const { sshd, folder } = place;
  if (who === "floor") {
    // Its connection is made ahead as well.
    const ssh =
      `ssh -F ${sshd.configFile} -o ControlPath=${folder}/control loopback`;
    await sh(`${ssh} -o ControlMaster=yes -o ControlPersist=60 true`);
    const result = await timed(
      figure,
      folder,
      (from, to) =>
        figure === "tree"
          ? sh(
            `mkdir ${to} && tar -C ${from} -cf - . | ${ssh} tar -C ${to} -xf -`,
          )
          : sh(`${ssh} 'cat >${to}' <${from}`),
    );
    await sh(`${ssh} -O exit`);
    return result;
  }
  await using router = new Router({ onLog() {} });
  const context = await router.ssh({
    hostname: "loopback",
    sshArgs: sshd.sshArgs,
  });
  await context.copyTo(new Blob(["warm"]).stream(), `${folder}/warm`);
  return await timed(
    figure,
    folder,
    // As tar and cat do.
    (from, to) => context.copyTo(from, to, { fsync: false }),
  );
}
