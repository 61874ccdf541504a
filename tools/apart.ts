/**
 * A place of its own for a run of tests: its processes, its users and the
 * rules for these. Tests make users, write rules for sudo and look for processes
 * that are left; two runs side by side would meet, and the machine would keep
 * what a killed run had made.
 *
 * @module
 */
import { userInfo } from "node:os";
import { exists } from "./system.ts";

/** What bash reads when its user logs in, or sends a command over ssh. */
const PROFILE = [".bash_profile", ".bash_login", ".profile", ".bashrc"];

/** How many places there may be at a time: each has a thousand user ids. */
export const MAX_PLACES = 30;

/**
 * What happens in the new namespaces ahead of the command: a copy of /etc, user
 * and process ids that are no other place's, tickets of sudo that are not
 * shared, and an empty file over each that is named up to `--`.
 *
 * Users and processes of the same id would meet in /tmp, in what is named after
 * them; where the kernel does not let the second be chosen, that is rare.
 *
 * The shell stays, as the init of the namespace: it takes care of orphans, and
 * all ends with it. The command runs in its foreground, since what a shell
 * starts in the background does not get SIGINT.
 */
const ENTER = `etc=$1 place=$2
shift 2
cp -a /etc "$etc"
first=$((20000 + place * 1000))
sed -i "s/^\\([UG]ID_MIN\\).*/\\1 $first/;s/^\\([UG]ID_MAX\\).*/\\1 $((first + 999))/" "$etc/login.defs"
mount --bind "$etc" /etc
mkdir -p /run/sudo
mount -t tmpfs -o mode=0711 tmpfs /run/sudo
{ echo $((place * 10000 % 30000)) >/proc/sys/kernel/ns_last_pid;} 2>/dev/null||:
>/etc/empty
while [ "$1" != -- ]; do mount --bind /etc/empty "$1"; shift; done
shift
set +e
"$@"
exit $?`;

/**
 * Files of root's own profile. Tests log in as root, and what others made of
 * that - pyenv's takes a second each time, and a minute when it was ever
 * interrupted - is not what they test.
 */
export async function rootsProfile(): Promise<string[]> {
  if (Deno.uid() !== 0) return [];
  const found: string[] = [];
  for (const name of PROFILE) {
    const path = `${userInfo().homedir}/${name}`;
    if (await exists(path)) found.push(path);
  }
  return found;
}

/**
 * What goes ahead of a command that is to run apart.
 *
 * @param etc where its copy of /etc goes, which the caller removes after it
 * @param place which of the {@linkcode MAX_PLACES}; one command at a time in each
 * @param hidden files that it is to find empty
 */
export function apart(etc: string, place: number, hidden: string[]): string[] {
  const namespaces = ["--mount", "--pid", "--fork", "--mount-proc"];
  return [
    ...["unshare", ...namespaces, "--kill-child", "sh", "-ec", ENTER, "sh"],
    ...[etc, `${place}`, ...hidden, "--"],
  ];
}

/** Whether commands can run apart here: as root on Linux, if that is let. */
export async function canBeApart(folder: string): Promise<boolean> {
  if (Deno.uid() !== 0 || Deno.build.os !== "linux") return false;
  const probe = `${folder}/probe`;
  const [command, ...args] = [...apart(probe, 0, []), "true"];
  const { success, stderr } = await new Deno.Command(command!, { args })
    .output().catch((error) => ({
      success: false,
      stderr: new TextEncoder().encode(error.message),
    }));
  if (!success) {
    const why = new TextDecoder().decode(stderr).trim();
    console.error(`\nFiles of tests cannot run apart: ${why}\n`);
  }
  // It is not there if it came to nothing.
  await Deno.remove(probe, { recursive: true }).catch(() => {});
  return success;
}
