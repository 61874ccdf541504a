import { Secret } from "../../core/mod.ts";

/** Asks somebody for something that is not to be seen. */
export type Ask = (text: string) => Promise<Secret>;

/**
 * Asks at the terminal, wherever stdin comes from. What is typed goes through
 * a pipe and nowhere else.
 */
const SCRIPT = `exec </dev/tty 2>/dev/tty || exit 1
saved=$(stty -g)
trap 'stty "$saved"; exit 1' INT TERM HUP
stty -echo
printf %s "$1" >&2
IFS= read -r line || line=
stty "$saved"
echo >&2
printf %s "$line"`;

/** Whether there is a terminal to ask at. */
function hasTerminal(): boolean {
  try {
    Deno.openSync("/dev/tty").close();
    return true;
  } catch {
    return false;
  }
}

/** A way to ask at the terminal; `undefined` where there is none. */
export function askAtTerminal(before: () => void): Ask | undefined {
  if (!hasTerminal()) return undefined;
  return async (text) => {
    before();
    // It may come from anywhere: nothing in it may move the cursor.
    // deno-lint-ignore no-control-regex
    const clean = text.replace(/[\x00-\x1f\x7f-\x9f]+/g, " ").slice(0, 300);
    const { success, stdout } = await new Deno.Command("sh", {
      args: ["-c", SCRIPT, "sh", clean],
      stdin: "null",
      stderr: "null",
    }).output();
    if (!success) throw new Error("nobody answered at the terminal");
    return new Secret(new TextDecoder().decode(stdout));
  };
}
