import { join } from "node:path";
import { runClient } from "./client.ts";
import { perlClient } from "./client_perl.ts";
import { TOKEN_LENGTH } from "./wire.ts";
import { quoteAll, watchFolder } from "../parent/mod.ts";

/** Longest path that a Unix socket may have, everywhere. */
const MAX_SOCKET_PATH = 100;

/**
 * A folder that no other user can look into: in it are the socket and the
 * program that is called as ssh, which has the token.
 */
export class ClientFolder {
  /** Its path. */
  readonly path: string;
  /** Path of the Unix socket. */
  readonly socket: string;
  /** Path of the program to call as ssh. */
  readonly ssh: string;
  /** What a client must know. */
  readonly token: string;
  #watch: AsyncDisposable | undefined;

  private constructor(path: string) {
    this.path = path;
    this.socket = join(path, "socket");
    this.ssh = join(path, "ssh");
    const random = crypto.getRandomValues(new Uint8Array(TOKEN_LENGTH / 2));
    this.token = random.toHex();
  }

  /**
   * Makes one with a name of its own, for one run. It goes too when this process
   * is killed or interrupted, but for one in a place that a shell would quote.
   *
   * @param perl path of the Perl that runs the client; `null`: the runtime runs it
   */
  static async temporary(
    perl?: string | null,
  ): Promise<ClientFolder> {
    const prefix = "fakessh-";
    let path = await Deno.makeTempDir({ prefix });
    if (isTooLong(path)) {
      await Deno.remove(path);
      path = await Deno.makeTempDir({ dir: "/tmp", prefix });
    }
    const folder = await ClientFolder.at(path, perl);
    folder.#watch = watchFolder(path);
    return folder;
  }

  /**
   * Fills a folder that was just made by us.
   *
   * @param perl as above
   * @throws {TypeError} when its path is too long for a socket
   */
  static async at(
    path: string,
    perl?: string | null,
  ): Promise<ClientFolder> {
    const folder = new ClientFolder(path);
    try {
      if (isTooLong(path)) {
        throw new TypeError(
          `Cannot listen in "${path}": the path is too long for a socket`,
        );
      }
      await Deno.chmod(path, 0o700);
      await folder.#writeClient(perl === undefined ? await findPerl() : perl);
      return folder;
    } catch (error) {
      await folder.remove();
      throw error;
    }
  }

  async #writeClient(perl: string | null): Promise<void> {
    const mode = 0o700;
    await Deno.writeTextFile(join(this.path, "token"), this.token, {
      mode: 0o600,
    });
    if (perl) {
      const script = perlClient(perl, this.socket, this.token);
      return await Deno.writeTextFile(this.ssh, script, { mode });
    }
    const runtime = Deno.execPath();
    const client = join(this.path, "client.js");
    // A compiled program is its own client: see main.ts.
    const command = Deno.build.standalone ? [runtime] : [
      runtime,
      "run",
      "-q",
      "--no-config",
      "--no-lock",
      "--no-prompt",
      // It reads its arguments as they are from /proc, which takes all there is.
      "-A",
      client,
    ];
    await Deno.writeTextFile(
      client,
      `(${runClient})(${
        JSON.stringify([this.socket, this.token])
      }, Deno.args);`,
      { mode: 0o600 },
    );
    await Deno.writeTextFile(
      this.ssh,
      `#!/bin/sh\nFAKESSH_CLIENT=${
        quoteAll([this.path])
      }\nexport FAKESSH_CLIENT\nexec ${quoteAll(command)} "$@"\n`,
      { mode },
    );
  }

  /** Removes it with all that is in it. */
  async remove(): Promise<void> {
    await this.#watch?.[Symbol.asyncDispose]();
    // The socket goes by itself when its listener is closed: what vanishes in
    // the middle of it makes the removal stop.
    for (let attempt = 0; attempt < 10; attempt++) {
      try {
        return await Deno.remove(this.path, { recursive: true });
      } catch {
        try {
          await Deno.lstat(this.path);
        } catch {
          return;
        }
      }
    }
  }
}

/** Whether a socket in this folder would have too long a path. */
function isTooLong(path: string): boolean {
  return path.length + "/socket".length > MAX_SOCKET_PATH;
}

let perl: Promise<string | null> | undefined;

/** Where Perl is, if it is: almost everywhere, even where little else is. */
function findPerl(): Promise<string | null> {
  return perl ??= (async () => {
    const { stdout } = await new Deno.Command("sh", {
      args: ["-c", "perl -e 1 && command -v perl"],
      stdin: "null",
      stderr: "null",
    }).output();
    const path = new TextDecoder().decode(stdout).trim();
    // What stands in the first line of a script cannot hold a blank.
    return /^\/\S{1,100}$/.test(path) ? path : null;
  })();
}
