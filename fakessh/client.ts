/**
 * The client in JavaScript, for where there is no Perl: what
 * `client_perl.ts` does, in the same order. It stands for itself: its source
 * is written to a file and run there.
 *
 * @param where path of the socket, and the token
 * @param args what ssh was called with
 */
export async function runClient(
  where: [socket: string, token: string],
  args: string[],
): Promise<never> {
  const [path, token] = where;
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  // Deno's own raw mode changes less than ssh does.
  const stty = (...args: string[]) =>
    decoder.decode(
      new Deno.Command("stty", { args, stdin: "inherit" }).outputSync().stdout,
    ).trim();
  let saved: string | undefined;
  let child: Deno.ChildProcess | undefined;
  const finish = (code: number): never => {
    try {
      child?.kill();
    } catch {
      // It has ended.
    }
    if (saved !== undefined) stty(saved);
    Deno.exit(code);
  };
  const fail = (why: string): never => {
    Deno.stderr.writeSync(encoder.encode(`fakessh: ${why}\r\n`));
    return finish(255);
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const) {
    Deno.addSignalListener(name, () => finish(255));
  }
  const gone = "the program that lends its connections is gone";
  const dial = () =>
    Deno.connect({ transport: "unix", path })
      .catch((error) => fail(`${gone}: ${error.message}`));
  const [control, data] = await Promise.all([dial(), dial()]);
  const writeAll = async (
    to: { write(bytes: Uint8Array): Promise<number> },
    bytes: Uint8Array,
  ) => {
    for (let at = 0; at < bytes.length;) {
      at += await to.write(bytes.subarray(at));
    }
  };
  const send = (kind: string, body: Uint8Array) => {
    const frame = new Uint8Array(5 + body.length);
    frame[0] = kind.charCodeAt(0);
    new DataView(frame.buffer).setUint32(1, body.length);
    frame.set(body, 5);
    return writeAll(control, frame);
  };
  const tty = [Deno.stdin, Deno.stdout, Deno.stderr]
    .map((stream) => stream.isTerminal());
  const size = () => {
    try {
      const { rows, columns } = Deno.consoleSize();
      return [rows, columns];
    } catch {
      return [0, 0];
    }
  };
  const self = () => {
    try {
      return Deno.uid() ?? "";
    } catch {
      return "";
    }
  };
  const names = /^(?:LANG|LC_\w+|TERM|COLORTERM|NO_COLOR|GIT_PROTOCOL)$/;
  const env = Object.entries(Deno.env.toObject())
    .filter(([name]) => names.test(name)).map((pair) => pair.join("="));
  const id = crypto.randomUUID().replaceAll("-", "");
  let sent: Promise<unknown> | undefined;
  if (tty[0]) {
    // Ahead of the greeting, so that no change goes unnoticed after it.
    Deno.addSignalListener("SIGWINCH", () => {
      sent = sent?.then(() => send("Z", encoder.encode(size().join(" "))))
        .catch(() => {});
    });
  }
  await writeAll(data, encoder.encode(`D${token}${id}`));
  await writeAll(control, encoder.encode(`C${token}${id}`));
  // Arguments need not be text, and Deno has made text of them.
  const words = () => {
    const given = encoder.encode(args.map((arg) => `\0${arg}`).join(""));
    if (!args.some((arg) => arg.includes("\ufffd"))) return given;
    try {
      const line = Deno.readFileSync("/proc/self/cmdline");
      let at = line.length - 1;
      for (let left = args.length; left > 0; left--) {
        at = line.lastIndexOf(0, at - 1);
      }
      return line.subarray(at, -1);
    } catch {
      return given;
    }
  };
  const head = [
    `${tty.map(Number).join("")} ${self()}`,
    ...size(),
    env.length,
    ...env,
  ];
  sent = send(
    "H",
    new Uint8Array([...encoder.encode(head.join("\0")), ...words()]),
  );
  await sent;

  let stopped = false;
  const up = async () => {
    const buffer = new Uint8Array(131072);
    try {
      for (;;) {
        const count = await Deno.stdin.read(buffer);
        if (stopped) return;
        if (count === null) break;
        await writeAll(data, buffer.subarray(0, count));
      }
      await data.closeWrite();
    } catch {
      // Nobody takes it any more.
    }
  };
  // Nothing is written to a terminal before its mode is right.
  const ready = Promise.withResolvers<void>();
  const down = async () => {
    const buffer = new Uint8Array(131072);
    let deaf = false;
    for (;;) {
      const count = await data.read(buffer).catch(() => null);
      await ready.promise;
      if (count === null) break;
      if (deaf) continue;
      try {
        await writeAll(Deno.stdout, buffer.subarray(0, count));
      } catch {
        deaf = true;
        await send("P", new Uint8Array()).catch(() => {});
      }
    }
    try {
      Deno.stdout.close();
    } catch {
      // It was closed from the other side.
    }
  };
  const written = down();
  let buffered = new Uint8Array(0);
  const take = async (size: number): Promise<Uint8Array> => {
    while (buffered.length < size) {
      const chunk = new Uint8Array(65536);
      const count = await control.read(chunk).catch(() => null);
      if (count === null) return fail(gone);
      const joined = new Uint8Array(buffered.length + count);
      joined.set(buffered);
      joined.set(chunk.subarray(0, count), buffered.length);
      buffered = joined;
    }
    const taken = buffered.subarray(0, size);
    buffered = buffered.subarray(size);
    return taken;
  };
  let deafError = false;
  const mux =
    /^(?:mux_client_request_session: session request failed|kex_\w+): /;
  // What ssh says itself then is for us; it says that first.
  const pass = async (errors: ReadableStream<Uint8Array>) => {
    let refused = false;
    let first = true;
    for await (const chunk of errors) {
      if (first) refused = mux.test(decoder.decode(chunk));
      first = false;
      if (refused || deafError) continue;
      await writeAll(Deno.stderr, chunk).catch(() => deafError = true);
    }
    return refused;
  };
  const report = (code: number, refused = false) =>
    send("D", new Uint8Array(refused ? [code, 0x72] : [code]));
  // Runs a command with our own streams.
  const runHere = async (how: string, command: string, args: string[]) => {
    const here = how.includes("h");
    try {
      child = new Deno.Command(command, {
        args,
        stdin: how.includes("n") ? "null" : "inherit",
        stdout: "inherit",
        stderr: here ? "inherit" : "piped",
        detached: here,
      }).spawn();
    } catch {
      return await report(255);
    }
    if (here) {
      // What is its own alone it can close.
      for (const stream of [Deno.stdin, Deno.stdout]) {
        try {
          stream.close();
        } catch {
          // It was closed already.
        }
      }
    }
    const [{ code, signal }, refused] = await Promise.all([
      child.status,
      !here && pass(child.stderr),
    ]);
    child = undefined;
    await report(signal ? 255 : code, refused);
  };
  for (;;) {
    const head = await take(5);
    const kind = String.fromCharCode(head[0]!);
    const body = await take(new DataView(head.slice().buffer).getUint32(1));
    switch (kind) {
      case "E":
        if (deafError) break;
        await writeAll(Deno.stderr, body).catch(() => deafError = true);
        break;
      case "R": {
        const [how, command, ...args] = decoder.decode(body).split("\0");
        void runHere(how!, command!, args).catch(() => {});
        break;
      }
      case "W":
        ready.resolve();
        stopped = true;
        if (tty[0]) break;
        try {
          Deno.stdin.close();
        } catch {
          // It was closed already.
        }
        break;
      case "G":
        if (decoder.decode(body) === "r" && tty[0]) {
          saved = stty("-g");
          stty("raw", "-echo");
        }
        ready.resolve();
        void up();
        break;
      case "X":
        ready.resolve();
        await written;
        return finish(body[0]!);
    }
  }
}
