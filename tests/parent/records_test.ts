/** What a hostile context may send when files are copied from it. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { BatchWriter, Kind, type Stat } from "../../parent/files/batch.ts";
import { DiskTarget } from "../../parent/files/disk_target.ts";
import { Packer } from "../../parent/files/packer.ts";
import { unpack } from "../../parent/files/remote.ts";
import { makeFolder } from "../fixtures/programs.ts";
import { bytes, describe, makeTree, names } from "../fixtures/trees.ts";

const stat = { mode: 0o644, mtime: 1e12, uid: 0xffffffff, gid: 0xffffffff };

/** A batch of records, each a list of what is in it. */
type Part = number | string | Uint8Array | { f64: number };
function batch(...records: [kind: number, ...parts: Part[]][]): Uint8Array {
  const out = new BatchWriter();
  for (const [kind, ...parts] of records) {
    out.u8(kind);
    if ([Kind.FILE, Kind.DIRECTORY, Kind.LINK].includes(kind as 1)) {
      out.stat(stat);
    }
    for (const part of parts) {
      if (typeof part === "string") out.text(part);
      else if (typeof part === "number") out.u32(part);
      else if (part instanceof Uint8Array) out.bytes(part);
      else out.f64(part.f64);
    }
  }
  return out.take().slice();
}

const [zero, minus] = [{ f64: 0 }, { f64: -1 }];
const top: [number, string] = [Kind.DIRECTORY, ""];
const file = (
  name: string,
): [number, ...Part[]] => [Kind.FILE, name, zero, zero];
const END: [number] = [Kind.END];

async function take(path: string, ...chunks: Uint8Array[]): Promise<void> {
  const target = new DiskTarget(path, "master", {});
  await unpack(ReadableStream.from(chunks), target, []);
}

Deno.test("records that no copy sends are refused, and leave nothing", async (t) => {
  const cases: Record<string, Uint8Array[]> = {
    "nothing at all": [],
    "only a part of a batch": [batch(top).subarray(0, 12)],
    "a batch that is too long": [new Uint8Array(16).fill(0x7f)],
    "a name that leads up": [batch(top, file(".."), [Kind.DONE])],
    "a name with a way in it": [batch(top, file("../victim"), [Kind.DONE])],
    "an absolute name": [batch(top, file("/victim"), [Kind.DONE])],
    "a name with a NUL": [batch(top, file("a\0b"), [Kind.DONE])],
    "a directory that leads up": [batch(top, [Kind.DIRECTORY, ".."])],
    "no name inside": [batch(top, file(""), [Kind.DONE])],
    "a name at the top": [batch(file("victim"), [Kind.DONE], END)],
    "a link at the top": [batch([Kind.LINK, "", "/etc"], END)],
    "a file through a link": [
      batch(top, [Kind.LINK, "l", ".."], [Kind.DIRECTORY, "l"], file("victim")),
    ],
    "a name twice": [
      batch(top, file("a"), [Kind.DONE], file("a"), [Kind.DONE]),
    ],
    "data without a file": [batch(top, [Kind.DATA, 1, bytes(1)])],
    "a file in a file": [batch([Kind.FILE, "", minus, zero], file("x"))],
    "an end within a file": [batch([Kind.FILE, "", minus, zero], END)],
    "an end within a directory": [batch(top, END)],
    "an end ahead of all": [batch(END)],
    "two at the top": [
      batch(top, [Kind.LEAVE], file(""), [Kind.DONE], END),
    ],
    "one level too few": [batch([Kind.LEAVE])],
    "a record without its end": [batch(top, [Kind.FILE, "a"])],
    "data beyond the batch": [
      batch([Kind.FILE, "", minus, zero], [Kind.DATA, 99]),
    ],
    "a size that is none": [batch([Kind.FILE, "", { f64: NaN }, zero])],
    "an offset that is none": [batch([Kind.FILE, "", zero, minus])],
    "an unknown kind": [batch([77])],
    "text that is none": [batch(top, [Kind.FILE, 0x0001ff00])],
  };
  await using folder = await makeFolder();
  const victim = join(folder.path, "victim");
  await Deno.writeTextFile(victim, "whole");
  await Deno.mkdir(join(folder.path, "d"));
  for (const [name, chunks] of Object.entries(cases)) {
    await t.step(name, async () => {
      const error = await assertRejects(() =>
        take(join(folder.path, "d", "x"), ...chunks)
      );
      assert(error instanceof Error);
      assertEquals(names(join(folder.path, "d")), []);
      assertEquals(names(folder.path), ["d", "victim"]);
      assertEquals(await Deno.readTextFile(victim), "whole");
    });
  }
  await t.step("a link that is there is not followed", async () => {
    const at = join(folder.path, "d");
    await Deno.symlink("..", join(at, "l"));
    await assertRejects(
      () =>
        take(
          at,
          batch(top, [Kind.DIRECTORY, "l"], file("victim"), [Kind.DONE]),
        ),
      Error,
      "not a directory",
    );
    // A file takes its place; it is not written through.
    await take(at, batch(top, file("l"), [Kind.DONE], [Kind.LEAVE], END));
    assert((await Deno.lstat(join(at, "l"))).isFile);
    assertEquals(await Deno.readTextFile(victim), "whole");
  });
});

Deno.test("a hostile mode makes nothing setuid, and a time that is none is not set", async () => {
  await using folder = await makeFolder();
  const at = join(folder.path, "x");
  const records = (stat: Stat) => {
    const out = new BatchWriter();
    const record = (kind: number, name: string) => {
      out.u8(kind);
      out.stat(stat);
      out.text(name);
    };
    record(Kind.DIRECTORY, "");
    record(Kind.FILE, "file");
    out.f64(0);
    out.f64(0);
    out.u8(Kind.DONE);
    record(Kind.LINK, "link");
    out.text("nowhere");
    out.u8(Kind.LEAVE);
    out.u8(Kind.END);
    return out.take().slice();
  };
  const begun = Date.now();
  for (const mode of [0o7777, 0o177777, 0xffffffff, -1]) {
    await take(at, records({ ...stat, mode, mtime: NaN }));
    for (const path of [at, join(at, "file"), join(at, "link")]) {
      const info = await Deno.lstat(path);
      assertEquals(info.mode! & 0o7000, 0, `${path}, mode ${mode}`);
      // The clock of file times may be some milliseconds behind.
      assert(info.mtime!.getTime() >= begun - 1000, `${info.mtime}`);
    }
    await Deno.remove(at, { recursive: true });
  }
  for (const mtime of [Infinity, -Infinity, 1e20]) {
    await assertRejects(() => take(at, records({ ...stat, mtime })), TypeError);
    assertEquals(names(folder.path), []);
  }
});

Deno.test("a batch that was changed, lost, doubled or moved is found", async (t) => {
  await using folder = await makeFolder();
  const at = (name: string) => join(folder.path, name);
  await makeTree(at("tree"), 300);
  const batches: Uint8Array[] = [];
  for await (const chunk of new Packer(at("tree"), "master", {}).stream()) {
    batches.push(chunk.slice());
  }
  assert(batches.length >= 4, `${batches.length}`);
  const [a, b, c, ...rest] = batches as [Uint8Array, Uint8Array, Uint8Array];
  const changed = b.slice();
  changed[b.length >> 1]! ^= 1;
  const cases = {
    changed: [a, changed, c, ...rest],
    lost: [a, c, ...rest],
    doubled: [a, b, b, c, ...rest],
    moved: [a, c, b, ...rest],
    "cut off": [a, b],
  };
  for (const [name, chunks] of Object.entries(cases)) {
    await t.step(name, async () => {
      await assertRejects(() => take(at("x"), ...chunks), TypeError);
      assertEquals(names(folder.path), ["tree"]);
    });
  }
  await t.step("in pieces of any size", async () => {
    const whole = await new Blob(batches as Uint8Array<ArrayBuffer>[]).bytes();
    const chunks: Uint8Array[] = [];
    for (let i = 0; i < whole.length; i += 1 + i % 50_000) {
      chunks.push(whole.subarray(i, i + 1 + i % 50_000));
    }
    await take(at("x"), ...chunks);
    const expected = (await describe(at("tree"))).map((line) =>
      line.replace(",104755,", ",100755,").replace(",41770,", ",40770,")
    );
    assertEquals(await describe(at("x")), expected);
  });
});
