import { assertEquals, assertObjectMatch, assertThrows } from "@std/assert";
import {
  OPTION_LETTERS,
  parseSshArgs,
  takesArgument,
  UsageError,
} from "../../fakessh/mod.ts";

Deno.test("options take arguments where the real ssh says so", async () => {
  const { stderr: banner } = await new Deno.Command("ssh", { args: ["-V"] })
    .output();
  const version = Number(
    new TextDecoder().decode(banner).match(/OpenSSH_(\d+\.\d+)/)?.[1],
  );
  for (const option of OPTION_LETTERS) {
    // A tag since 9.4; before that nothing at all.
    if (option === "P" && version < 9.4) continue;
    // At the end of the line an option that wants an argument says so.
    const { stderr } = await new Deno.Command("ssh", {
      args: ["-F", "/dev/null", `-${option}`],
      stdin: "null",
    }).output();
    const said = new TextDecoder().decode(stderr);
    assertEquals(
      /requires an argument/.test(said),
      takesArgument(option),
      `-${option}: ${said}`,
    );
    assertEquals(/(unknown|illegal|invalid) option/.test(said), false, option);
  }
});

Deno.test("user, host and port are what ssh -G says they are", async () => {
  const lines = [
    ["host"],
    ["me@host"],
    ["-l", "me", "host"],
    ["-lme", "-p22", "host"],
    ["a@b@host"],
    ["-p", "2222", "me@host"],
    ["ssh://me@host:2222"],
    ["ssh://host"],
    ["::1"],
    ["-4vvTl", "me", "host"],
    ["host", "-l", "me", "-p", "99", "true"],
    ["-o", "Port=77", "host"],
    ["-oUser=me", "host"],
    ["--", "host"],
  ];
  for (const args of lines) {
    const { stdout, success } = await new Deno.Command("ssh", {
      args: ["-F", "/dev/null", "-G", ...args],
      stdin: "null",
      stderr: "null",
    }).output();
    assertEquals(success, true, args.join(" "));
    const said = new TextDecoder().decode(stdout);
    const field = (name: string) =>
      said.match(new RegExp(`^${name} (.*)$`, "m"))?.[1];
    const line = parseSshArgs(args);
    assertEquals(line.host, field("hostname") ?? field("host"), args.join(" "));
    const user = line.user ?? line.settings.get("user");
    if (user) assertEquals(user, field("user"), args.join(" "));
    const port = line.port ?? (Number(line.settings.get("port")) || 22);
    assertEquals(String(port), field("port"), args.join(" "));
  }
});

Deno.test("what rsync, scp, sftp and git say is understood", () => {
  assertObjectMatch(
    parseSshArgs(["-l", "me", "host", "rsync", "--server", "-vn", ".", "dir"]),
    {
      user: "me",
      host: "host",
      command: "rsync --server -vn . dir",
      verbose: 0,
    },
  );
  assertObjectMatch(
    parseSshArgs([
      "-x",
      "-oPermitLocalCommand=no",
      "-oClearAllForwardings=yes",
      "-oRemoteCommand=none",
      "-oRequestTTY=no",
      "-oForwardAgent=no",
      "-s",
      "--",
      "host",
      "sftp",
    ]),
    { flags: ["x"], host: "host", subsystem: true, command: "sftp" },
  );
  assertObjectMatch(
    parseSshArgs([
      "-o",
      "SendEnv=GIT_PROTOCOL",
      "git@host",
      "git-upload-pack 'a b'",
    ]),
    { user: "git", host: "host", command: "git-upload-pack 'a b'" },
  );
  assertObjectMatch(parseSshArgs(["-tt", "host", "-T"]), { tty: -1 });
  assertObjectMatch(parseSshArgs(["-ttn", "host"]), {
    tty: 2,
    nullInput: true,
  });
  assertEquals(parseSshArgs(["host"]).command, undefined);
  assertEquals(
    parseSshArgs(["-o", 'ProxyCommand "a b"', "-o", "proxycommand=c", "h"])
      .settings.get("proxycommand"),
    "a b",
  );
});

Deno.test("an address in brackets is understood in a URL", () => {
  // OpenSSH 9.2 refuses these in -G; what they mean is not in doubt.
  assertObjectMatch(parseSshArgs(["ssh://me@[::1]:2222/"]), {
    user: "me",
    host: "::1",
    port: 2222,
  });
  assertObjectMatch(parseSshArgs(["ssh://[fe80::1]"]), { host: "fe80::1" });
});

Deno.test("what ssh would not understand is a usage error", () => {
  for (
    const args of [
      [],
      ["-4"],
      ["-p"],
      ["-Z", "host"],
      ["-p", "0", "host"],
      ["-p", "70000", "host"],
      ["-p", "2 2", "host"],
      ["@host"],
      ["me@"],
      ["-s", "host"],
      ["-o", "=x", "host"],
      ["ssh://"],
    ]
  ) {
    assertThrows(() => parseSshArgs(args), UsageError);
  }
});
