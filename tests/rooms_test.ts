/** The house: who may import whom, who needs which permission, what is fresh. */
import { assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import { dirname, fromFileUrl, join, relative } from "@std/path";
import { isFresh } from "../tools/pack.ts";

const ROOT = dirname(dirname(fromFileUrl(import.meta.url)));

/** What each room may import, beside its own files and what the runtime has. */
const ARROWS: Record<string, RegExp[]> = {
  core: [],
  parent: [/^core\/mod\.ts$/],
  master: [
    /^core\/mod\.ts$/,
    /^parent\/(mod|first_stage)\.ts$/,
    /^acorn$/,
  ],
  fakessh: [/^core\/mod\.ts$/, /^parent\/mod\.ts$/, /^@std\//],
};

/** Programs stand on top of all rooms, wherever their file is. */
const PROGRAMS: Record<string, RegExp[]> = {
  "fakessh/main.ts": [/^mod\.ts$/, /^deno\.json$/],
};

async function* files(folder: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(join(ROOT, folder))) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) yield* files(path);
    else if (path.endsWith(".ts")) yield path;
  }
}

Deno.test("arrows between the rooms go one way", async () => {
  const wrong: string[] = [];
  for (const [room, allowed] of Object.entries(ARROWS)) {
    for await (const file of files(room)) {
      const text = await Deno.readTextFile(join(ROOT, file));
      const imports = text.matchAll(
        /^(?:import|export)\s[^;"'`=()]*\bfrom\s+"([^"]+)"|\bimport\("([^"]+)"\)/gm,
      );
      for (const [, still, dynamic] of imports) {
        const specifier = still ?? dynamic;
        if (specifier!.startsWith("node:")) continue;
        const target = specifier!.startsWith(".")
          ? relative(ROOT, join(ROOT, dirname(file), specifier!))
          : specifier!;
        const fine = target.startsWith(`${room}/`) ||
          [...allowed, ...PROGRAMS[file] ?? []].some((pattern) =>
            pattern.test(target)
          );
        if (!fine) wrong.push(`${file} imports ${specifier}`);
      }
    }
  }
  assertEquals(wrong, []);
});

Deno.test("no room's file is about more than one person can see", async () => {
  for (const room of Object.keys(ARROWS)) {
    for await (const file of files(room)) {
      if (file.endsWith(".gen.ts")) continue;
      const text = await Deno.readTextFile(join(ROOT, file));
      assertLess(text.split("\n").length, 450, file);
    }
  }
});

Deno.test("the pack was made of what is there now", async () => {
  assertEquals(await isFresh(), true, "run `deno task pack`");
});

/** Runs a script with just these permissions. */
async function run(flags: string[], script: string): Promise<string> {
  const file = await Deno.makeTempFile({
    dir: join(ROOT, "tests"),
    suffix: ".ts",
  });
  try {
    await Deno.writeTextFile(file, script);
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-q", "--no-prompt", ...flags, file],
      stdin: "null",
    }).output();
    const text = new TextDecoder();
    return text.decode(stdout).trim() + text.decode(stderr).trim();
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("core needs no permission", async () => {
  const out = await run(
    [],
    `
    import { memoryPair, Router, Receiver, Link } from "../core/mod.ts";
    const router = new Router({ id: 0, path: "master", parentIds: [] });
    const receiver = new Receiver<number>(router);
    receiver.toSender().send(42);
    const [a, b] = memoryPair();
    new Link(router, a, 1).start();
    b.start({ data() {}, end() {} });
    console.log(await receiver.get());
    Deno.exit();
  `,
  );
  assertEquals(out, "42");
});

Deno.test("parent needs run, and nothing else", async () => {
  const out = await run(
    ["--allow-run"],
    `
    import { Router } from "../core/mod.ts";
    import { connect } from "../parent/mod.ts";
    import { corePack } from "../master/pack.ts";
    const router = new Router({ id: 0, path: "master", parentIds: [] });
    router.core = corePack();
    router.functions = {
      refer: (fn) => ["", String(fn)],
    } as never;
    const context = await connect(router, "local", { permissions: "none" });
    console.log(await context.call(() => "ran"));
    await router.shutdown();
  `,
  );
  assertEquals(out, "ran");
});

Deno.test("master needs read and run=deno, and nothing else", async () => {
  const out = await run(
    ["--allow-read", `--allow-run=${Deno.execPath()}`],
    `
    import { Responder } from "../master/mod.ts";
    import { report } from "./fixtures/modules/deep.ts";
    const responder = new Responder();
    const found = await responder.finder.identify(report, [import.meta.url]);
    responder.offer(found!.url);
    await responder.ensure(found!.url);
    console.log(found!.name, responder.get(found!.url)!.type);
  `,
  );
  assertEquals(out, "report module");
});

Deno.test("fakessh needs run, env, net, and its own folder", async () => {
  const tmp = Deno.env.get("TMPDIR") ?? "/tmp";
  const out = await run(
    [
      "--allow-run",
      "--allow-env",
      "--allow-net",
      `--allow-read=${tmp}`,
      `--allow-write=${tmp}`,
    ],
    `
    import { Router } from "../mod.ts";
    import { run } from "../fakessh/mod.ts";
    await using router = new Router();
    const context = await router.local({ permissions: { run: true } });
    const { code } = await run(context, ["sh", "-c", "ssh any 'echo ran'; exit 3"]);
    console.log(code);
  `,
  );
  assertEquals(out, "ran\n3");
});

Deno.test("a program that grants run and read can do all of it", async () => {
  const out = await run(
    ["--allow-run", "--allow-read"],
    `
    import { Router } from "../mod.ts";
    import { report } from "./fixtures/modules/deep.ts";
    await using router = new Router();
    await using context = await router.local({ permissions: "none" });
    console.log((await context.call(report, 2)).name);
  `,
  );
  assertEquals(out, "from json");
});

Deno.test("to listen and to join needs net, sys=uid and the socket's folder", async () => {
  const folder = await Deno.makeTempDir({ prefix: "mitogen-test-" });
  try {
    const out = await run(
      [
        "--allow-read",
        `--allow-write=${folder}`,
        "--allow-net",
        "--allow-sys=uid",
      ],
      `
      import { connectUnix, Router } from "../mod.ts";
      await using router = new Router();
      await using listener = await router.listen("${folder}/tree");
      await using joined = await connectUnix(listener.path);
      console.log(joined.path);
    `,
    );
    assertEquals(out, "master/unix.1");
    assertEquals([...Deno.readDirSync(folder)], []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a context gets what its caller grants, and no more", async () => {
  const out = await run(
    ["--allow-run", "--allow-read"],
    `
    import { Router } from "../mod.ts";
    await using router = new Router();
    const ask = async (options: object) => {
      await using context = await router.local(options);
      return await context.call(() =>
        (["read", "write", "net", "env", "run", "sys", "ffi", "import"] as const)
          .filter((name) => Deno.permissions.querySync({ name }).state === "granted")
          .join("+"));
    };
    console.log(await ask({}));
    console.log(await ask({ permissions: "none" }));
    console.log(await ask({ permissions: { sys: true, net: true } }));
    console.log(await ask({ permissions: { read: "inherit", env: "inherit" } }));
    const hop = await router.local({ permissions: { run: true } });
    console.log(await ask({ via: hop }));
    await using narrow = await router.local({ permissions: { read: ["/etc"] } });
    console.log(await narrow.call(() => [
      Deno.permissions.querySync({ name: "read", path: "/etc/hosts" }).state,
      Deno.permissions.querySync({ name: "read", path: "/var" }).state,
      Deno.permissions.querySync({ name: "read" }).state,
    ].join(" ")));
  `,
  );
  assertEquals(out.split("\n"), [
    "read+run",
    "",
    "net+sys",
    "read",
    "run",
    "granted prompt prompt",
  ]);
});

Deno.test("the README shows the two commands", async () => {
  const text = await Deno.readTextFile(join(ROOT, "README.md"));
  assertStringIncludes(text.slice(0, 2500), "npx -y deno@2.9.6 task demo");
  assertStringIncludes(text.slice(0, 2500), "npx -y deno@2.9.6 task test");
});

Deno.test("a module that imports this library finds the same names in a context", async () => {
  const here = await import("../mod.ts");
  const there = await import("../core/mod_child.ts");
  const missing = Object.keys(here).filter((name) => !(name in there));
  assertEquals(missing, []);
});
