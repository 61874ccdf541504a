/** Files there and back: what arrives is what was sent, or nothing has changed. */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertLess,
  assertRejects,
} from "@std/assert";
import { join, toFileUrl } from "@std/path";
import {
  type Context,
  CopyError,
  type CopyProgress,
  copyToAll,
  DisconnectedError,
  Router,
} from "../mod.ts";
import { noLeaks } from "./fixtures/leaks.ts";
import { makeFolder, run } from "./fixtures/programs.ts";
import { startSshd } from "./fixtures/sshd.ts";
import {
  bytes,
  describe,
  makeFile,
  makeTree,
  names,
} from "./fixtures/trees.ts";
import { spread } from "./fixtures/spread.ts";
import { stalling, until } from "./fixtures/stalling.ts";

const ignore = Deno.uid() !== 0;
const quiet = { onLog() {} };
const MIB = 1024 * 1024;

Deno.test({
  name: "files, streams and directories arrive whole, with mode and time",
  ignore,
  async fn(t) {
    await using _ = await noLeaks();
    await using sshd = await startSshd();
    await using folder = await makeFolder();
    const at = (name: string) => join(folder.path, name);
    await makeTree(at("many"), 3000);
    await makeTree(at("tree"), 200);
    await makeFile(at("odd 'name'\n"), bytes(300_000), 0o751);
    await makeFile(at("empty"), bytes(0));
    await using router = new Router(quiet);
    const ssh = { hostname: "loopback", sshArgs: sshd.sshArgs };
    const local = await router.local();
    const ways: Record<string, Context> = {
      local,
      ssh: await router.ssh(ssh),
      "two hops": await router.ssh({
        ...ssh,
        via: await router.local({ via: local }),
      }),
      worker: await router.worker({ via: local }),
    };
    for (const [way, context] of Object.entries(ways)) {
      await t.step(`${way}: a file`, async () => {
        await context.copyTo(at("odd 'name'\n"), at("there"));
        assertEquals(
          await describe(at("there")),
          await describe(at("odd 'name'\n")),
        );
        await context.copyFrom(at("there"), toFileUrl(at("back")));
        assertEquals(
          await describe(at("back")),
          await describe(at("odd 'name'\n")),
        );
      });
      await t.step(`${way}: an empty file over one that is there`, async () => {
        await context.copyTo(toFileUrl(at("empty")), at("there"));
        assertEquals(await describe(at("there")), await describe(at("empty")));
        await context.copyFrom(at("there"), at("back"));
        assertEquals(await describe(at("back")), await describe(at("empty")));
      });
      await t.step(`${way}: a stream`, async () => {
        const content = bytes(700_001);
        await Deno.chmod(at("there"), 0o604);
        await context.copyTo(new Blob([content]).stream(), at("there"));
        assertEquals(await Deno.readFile(at("there")), content);
        // As what it replaces; there is no other mode to be had.
        assertEquals((await Deno.stat(at("there"))).mode! & 0o777, 0o604);
        const { readable, writable } = new TransformStream<Uint8Array>();
        const copying = context.copyFrom(at("there"), writable);
        const got = await new Response(readable).bytes();
        await copying;
        assertEquals(got, content);
      });
      await t.step(`${way}: mode and time that are asked for`, async () => {
        const options = { mode: 0o600, mtime: new Date(1_000_000_000_001) };
        await context.copyTo(new Blob(["x"]).stream(), at("there"), options);
        const { mode, mtime } = await Deno.stat(at("there"));
        assertEquals([mode! & 0o7777, mtime], [0o600, options.mtime]);
      });
      await t.step(`${way}: a directory`, async () => {
        const tree = await describe(at("tree"));
        await context.copyTo(at("tree"), at("tree there/"));
        assertEquals(await describe(at("tree there")), tree);
        await context.copyFrom(at("tree there"), at("tree back"));
        // What another machine says does not make programs setuid here.
        assertEquals(
          await describe(at("tree back")),
          tree.map((line) =>
            line.replace(",104755,", ",100755,").replace(",41770,", ",40770,")
          ),
        );
        for (const name of ["tree there", "tree back"]) {
          await Deno.remove(at(name), { recursive: true });
        }
      });
      await t.step(`${way}: a directory into one that is there`, async () => {
        await Deno.mkdir(at("merged/deep/er"), { recursive: true });
        await Deno.writeTextFile(at("merged/deep/er/large"), "old");
        await Deno.writeTextFile(at("merged/deep/kept"), "kept");
        await context.copyTo(at("tree/deep"), at("merged/deep"), {
          fsync: true,
        });
        assertEquals(await Deno.readTextFile(at("merged/deep/kept")), "kept");
        await Deno.remove(at("merged/deep/kept"));
        await Deno.utime(at("merged/deep"), 1, 2);
        await Deno.utime(at("tree/deep"), 1, 2);
        assertEquals(
          await describe(at("merged/deep")),
          await describe(at("tree/deep")),
        );
        await Deno.remove(at("merged"), { recursive: true });
      });
    }
    await t.step("3,000 small files, there and back", async () => {
      await local.copyTo(at("many"), at("many there"));
      await local.copyFrom(at("many there"), at("many back"));
      const many = await describe(at("many"));
      assertEquals(await describe(at("many there")), many);
      assertEquals((await describe(at("many back"))).length, many.length);
    });
    for (const name of ["many", "many there", "many back"]) {
      await Deno.remove(at(name), { recursive: true });
    }
    assertEquals(names(folder.path), [
      "back",
      "empty",
      "odd 'name'\n",
      "there",
      "tree",
    ]);
  },
});

Deno.test("times before 1970 are kept, and files that are made as they are read", async (t) => {
  await using _ = await noLeaks();
  await using folder = await makeFolder();
  const at = (name: string) => join(folder.path, name);
  await using router = new Router(quiet);
  const context = await router.local();
  /** Seconds as the system says them: they are what is to be kept. */
  const time = async (name: string) =>
    Number(await run("stat", "--format=%.9Y", at(name)));
  const times: Record<string, number> = {
    "1969-12-31T23:59:59.999Z": -0.001,
    "1965-05-05T00:00:00.25Z": -147052799.75,
    "1965-05-05T00:00:00Z": -147052800,
    "1970-01-01T00:00:00Z": 0,
    "1970-01-01T00:00:00.001Z": 0.001,
    // Later than ext4 can say with 32 bits.
    "2200-01-01T00:00:00.5Z": 7258118400.5,
  };
  for (const method of ["copyTo", "copyFrom"] as const) {
    for (const [date, seconds] of Object.entries(times)) {
      await t.step(`${method}: ${date}`, async () => {
        await Deno.mkdir(at("tree/inner"), { recursive: true });
        await Deno.writeTextFile(at("tree/small"), "text");
        await Deno.writeFile(at("tree/large"), bytes(MIB));
        await Deno.symlink("nowhere", at("tree/link"));
        const all = ["small", "large", "link", "inner", ""];
        const paths = all.map((name) => at(`tree/${name}`.replace(/\/$/, "")));
        await run("touch", "--no-dereference", `--date=${date}`, ...paths);
        assertEquals(await time("tree"), seconds);
        for (const resume of [false, true]) {
          await context[method](at("tree/large"), at("file"), { resume });
          assertEquals(await time("file"), seconds);
        }
        // Into a new directory, and into one that is there.
        for (let i = 0; i < 2; i++) {
          await context[method](at("tree"), at("copy"));
          for (const name of ["small", "large", "inner", ""]) {
            assertEquals(await time(`copy/${name}`), seconds, name);
          }
          const exact = seconds >= 0 || Number.isInteger(seconds);
          assertEquals(
            await time("copy/link"),
            exact ? seconds : Math.floor(seconds),
          );
        }
        await context[method](at("tree/small"), at("file"), {
          mtime: new Date(seconds * 1000),
        });
        assertEquals(await time("file"), seconds);
        for (const name of ["tree", "copy"]) {
          await Deno.remove(at(name), { recursive: true });
        }
      });
    }
    await t.step(`${method}: as far as dates go`, async () => {
      // What a disk cannot say, it makes the nearest that it can.
      for (const mtime of [-8.64e15, 8.64e15]) {
        await context[method](at("file"), at("far"), { mtime });
        assertEquals(await Deno.readTextFile(at("far")), "text");
      }
      await Deno.remove(at("far"));
    });
    await t.step(`${method}: a file of /proc`, async () => {
      assertEquals((await Deno.stat("/proc/version")).size, 0);
      await context[method]("/proc/version", at("file"));
      assertEquals(
        await Deno.readTextFile(at("file")),
        await Deno.readTextFile("/proc/version"),
      );
    });
  }
  assertEquals(names(folder.path), ["file"]);
});

Deno.test("256 MiB through two hops need no memory to speak of", async () => {
  await using _ = await noLeaks();
  await using folder = await makeFolder();
  const [source, target] = [join(folder.path, "a"), join(folder.path, "b")];
  const file = await Deno.create(source);
  const part = bytes(16 * MIB);
  for (let i = 0; i < 16; i++) {
    part[5] = i;
    await file.write(part);
  }
  file.close();
  await using router = new Router(quiet);
  const hop = await router.local();
  const last = await router.local({ via: hop });
  const small = join(folder.path, "c");
  await last.copyTo(new Blob([bytes(64 * MIB)]).stream(), small);
  const pids = await Promise.all(
    [hop, last].map((c) => c.call(() => Deno.pid)),
  );
  const resident = () =>
    pids.map((pid) =>
      Number(
        /VmRSS:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${pid}/status`))![1],
      ) / 1024
    );
  const before = resident();
  const most = [...before];
  let last_: CopyProgress | undefined;
  let calls = 0;
  const onProgress = (progress: CopyProgress) => {
    if (last_) assert(progress.bytes >= last_.bytes);
    last_ = progress;
    if (calls++ % 50 === 0) {
      resident().forEach((now, i) => most[i] = Math.max(most[i]!, now));
    }
  };
  await last.copyTo(source, target, { onProgress, fsync: false });
  assertEquals(last_, {
    path: source,
    bytes: 256 * MIB,
    files: 1,
    total: 256 * MIB,
  });
  most.forEach((now, i) => assertLess(now - before[i]!, 64, "MiB more"));
  last_ = undefined;
  await Deno.remove(source);
  await last.copyFrom(target, source, { onProgress, fsync: false });
  assertEquals(last_, {
    path: target,
    bytes: 256 * MIB,
    files: 1,
    total: 256 * MIB,
  });
  most.forEach((now, i) => assertLess(now - before[i]!, 64, "MiB more"));
  const { success } = await new Deno.Command("cmp", { args: [source, target] })
    .output();
  assert(success);
});

Deno.test("many contexts get a file that goes over each link once", async () => {
  await using _ = await noLeaks();
  await using folder = await makeFolder();
  const at = (name: string) => join(folder.path, name);
  await Deno.writeFile(at("source"), bytes(16 * MIB));
  await using router = new Router(quiet);
  const open = async (name: string, via?: Context) => {
    await Deno.mkdir(at(name));
    return await router.local({ name, cwd: at(name), ...(via ? { via } : {}) });
  };
  const hop = await open("hop");
  const middle = await open("middle", hop);
  const targets = [
    await open("a"),
    await open("b", hop),
    await open("c", hop),
    middle,
    await open("d", middle),
    await open("e", middle),
  ];
  const pid = await hop.call(() => Deno.pid);
  const io = () => {
    const text = Deno.readTextFileSync(`/proc/${pid}/io`);
    return ["rchar", "wchar"].map((key) =>
      Number(new RegExp(`${key}: (\\d+)`).exec(text)![1]) / MIB
    );
  };
  const [read, written] = io();
  await copyToAll(targets, at("source"), "file");
  const [read_, written_] = io();
  assertLess(read_! - read!, 24, "MiB were read by the hop");
  // To b, c and middle.
  assertLess(written_! - written!, 56, "MiB were written by the hop");
  const source = await describe(at("source"));
  for (const { name } of targets) {
    assertEquals(await describe(at(`${name}/file`)), source);
  }
  assertEquals(names(at("hop")), []);

  // One that cannot take it keeps none of the others from it.
  await Deno.mkdir(at("b/other"));
  const end = await open("f", hop);
  Deno.kill(await end.call(() => Deno.pid), "SIGKILL");
  await end.closed;
  const error = await assertRejects(
    () => copyToAll([...targets, end], new Blob(["new"]).stream(), "other"),
    AggregateError,
  );
  const [first, second] = error.errors;
  assertInstanceOf(first, CopyError);
  assertInstanceOf(second, DisconnectedError);
  assertEquals([error.errors.length, first.context], [2, targets[1]!.path]);
  for (const { name } of targets.filter(({ name }) => name !== "b")) {
    assertEquals(await Deno.readTextFile(at(`${name}/other`)), "new");
  }
});

Deno.test("a context copies to its own contexts as the program does", async () => {
  await using _ = await noLeaks();
  await using folder = await makeFolder();
  const folders = ["a", "b"].map((name) => join(folder.path, name));
  for (const path of folders) await Deno.mkdir(path);
  await Deno.writeTextFile(join(folder.path, "source"), "text");
  await using router = new Router(quiet);
  const context = await router.local();
  const source = join(folder.path, "source");
  const error = await context.call(spread, source, folders);
  assertInstanceOf(error, CopyError);
  assertEquals([error.path, error.code], ["no", "ENOENT"]);
  for (const path of folders) {
    assertEquals(await Deno.readTextFile(join(path, "file")), "text");
  }
});

Deno.test("an interrupted copy goes on where it was, if the beginning is the same", async () => {
  await using _ = await noLeaks();
  await using folder = await makeFolder();
  const at = (name: string) => join(folder.path, name);
  await using router = new Router(quiet);
  const context = await router.local();
  await Deno.writeFile(at("source"), bytes(20 * MIB));
  await Deno.mkdir(at("d"));
  for (const method of ["copyTo", "copyFrom"] as const) {
    const target = at("d/file");
    await Deno.writeTextFile(target, "old");
    const copy = async (stopAt: number) => {
      const controller = new AbortController();
      const steps: number[] = [];
      await context[method](at("source"), target, {
        resume: true,
        signal: controller.signal,
        onProgress({ bytes }) {
          steps.push(bytes);
          if (bytes >= stopAt) controller.abort(new RangeError("stop"));
        },
      });
      return steps;
    };
    await assertRejects(() => copy(9 * MIB), RangeError);
    assertEquals(await Deno.readTextFile(target), "old");
    assertEquals(names(at("d")), [".file.mitogen-partial", "file"]);
    const { size } = await Deno.stat(at("d/.file.mitogen-partial"));
    assert(size > MIB, `${size}`);
    const [first] = await copy(Infinity);
    assert(first! >= size, `it began at ${first}, not at ${size}`);
    assertEquals(
      await Deno.readFile(target),
      await Deno.readFile(at("source")),
    );
    assertEquals(names(at("d")), ["file"]);
    // Another beginning: from the start.
    await assertRejects(() => copy(9 * MIB), RangeError);
    const source = await Deno.readFile(at("source"));
    source[1]! ^= 1;
    await Deno.writeFile(at("source"), source);
    const [again] = await copy(Infinity);
    assertLess(again!, MIB);
    assertEquals(await Deno.readFile(target), source);
    // Two at once would spoil each other's.
    const stalled = stalling(bytes(MIB));
    const one = context.copyTo(stalled.stream, target, { resume: true });
    await until(context, () => names(at("d")).length === 2);
    await assertRejects(() => copy(Infinity), CopyError, "under way");
    stalled.go();
    await one;
    assertEquals((await Deno.stat(target)).size, 2 * MIB);
  }
});
