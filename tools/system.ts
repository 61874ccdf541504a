/**
 * What the tests need of the machine: Debian's own sshd, shells and tools.
 *
 * @module
 */

/** Programs that tests run, and the Debian package that has each. */
const NEEDED: Record<string, string> = {
  "/usr/sbin/sshd": "openssh-server",
  ssh: "openssh-client",
  "ssh-keygen": "openssh-client",
  sudo: "sudo",
  doas: "opendoas",
  script: "bsdutils",
  python3: "python3",
  "google-authenticator": "libpam-google-authenticator",
  rsync: "rsync",
  git: "git",
  zsh: "zsh",
  fish: "fish",
  tcsh: "tcsh",
  "bsd-csh": "csh",
  dash: "dash",
  ps: "procps",
  useradd: "passwd",
  busybox: "busybox-static",
  unshare: "util-linux",
  nsenter: "util-linux",
  mount: "mount",
};

/** Whether there is such a program. */
export async function exists(program: string): Promise<boolean> {
  const folders = program.startsWith("/")
    ? [""]
    : `${Deno.env.get("PATH")}:/usr/sbin:/sbin`.split(":").map((f) => f + "/");
  for (const folder of folders) {
    try {
      if ((await Deno.stat(folder + program)).isFile) return true;
    } catch {
      // Not here.
    }
  }
  return false;
}

/** Programs that are not there. */
export async function missing(): Promise<string[]> {
  const absent: string[] = [];
  for (const program of Object.keys(NEEDED)) {
    if (!await exists(program)) absent.push(program);
  }
  return absent;
}

/**
 * Whether a test must be left out here: a program that it runs is not there,
 * or it needs to be `"root"` and is not.
 *
 * @example
 * ```ts ignore
 * Deno.test({ name: "...", ignore: await lacking("root", "rsync"), fn() {} });
 * ```
 */
export async function lacking(...needs: string[]): Promise<boolean> {
  for (const need of needs) {
    if (need === "root" ? Deno.uid() !== 0 : !await exists(need)) return true;
  }
  return false;
}

async function run(command: string, args: string[]): Promise<boolean> {
  const { success } = await new Deno.Command(command, {
    args,
    stdin: "null",
    env: { DEBIAN_FRONTEND: "noninteractive" },
  }).spawn().status;
  return success;
}

/**
 * Installs what is missing, where that can be done: as root on Debian.
 *
 * @returns what is missing still
 */
export async function prepare(): Promise<string[]> {
  const absent = await missing();
  if (absent.length === 0) return [];
  if (Deno.uid() !== 0 || !await exists("apt-get")) return absent;
  const packages = [...new Set(absent.map((program) => NEEDED[program]!))];
  console.log(`Installing ${packages.join(" ")} with apt-get`);
  await run("apt-get", ["update", "-qq"]);
  await run("apt-get", [
    "install",
    "-y",
    "-qq",
    "--no-install-recommends",
    // A fresh machine may still be installing something of its own.
    "--option=DPkg::Lock::Timeout=120",
    ...packages,
  ]);
  return await missing();
}

if (import.meta.main) {
  const absent = await prepare();
  if (absent.length > 0) {
    console.error(`Missing: ${absent.join(" ")}`);
    Deno.exit(1);
  }
}
