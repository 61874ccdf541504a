/** The same script with the real ssh and with ours: all that it does is the same. */
import { assertEquals } from "@std/assert";
import { noLeaks } from "../fixtures/leaks.ts";
import { makeWorld, type Outcome, sh, WAYS } from "../fixtures/fakessh.ts";

/**
 * The real ssh says that it is leaving; script(1) ends its terminal's input with
 * a NUL, which is echoed sooner or later; and what is printed last may come
 * after the terminal was put back, which adds a CR.
 */
const TIDY = "tr -d '\\r' | sed '/Connection/d; s/\\^@//; /^$/d'";

/** Scripts, named by what they show. */
const SCRIPTS: Record<string, string> = {
  "exit code 0": "ssh loopback true",
  "exit code 1": "ssh loopback false",
  "exit code 7": "ssh loopback exit 7",
  "exit code 255": "ssh loopback exit 255",
  "a command that is not there":
    "ssh loopback no-such-command-here 2>/dev/null",
  "death by SIGKILL": "ssh loopback 'kill -9 $$'",
  "death by SIGTERM": "ssh loopback 'kill -15 $$'",
  "death below the shell":
    "ssh loopback 'sh -c \"kill -9 \\$\\$\"; exit $?' 2>/dev/null",
  "stdout and stderr are apart":
    "ssh loopback 'echo out; echo err >&2' 2>/dev/null; ssh loopback 'echo out; echo err >&2' >/dev/null",
  "bytes of all kinds, both ways":
    "head -c 300000 /dev/urandom >$D/bytes; ssh loopback cat <$D/bytes | cmp - $D/bytes && echo same",
  "words are joined by blanks":
    "ssh loopback echo 'a   b' \"'c   d'\" '$HOME' '*'",
  "an empty word": "ssh loopback echo '' x",
  "quotes and a newline": "ssh loopback 'echo \"a\nb\" '\"'\"'$x'\"'\"",
  "options after the host": "ssh loopback -T -x echo hi",
  "the directory and the user":
    "ssh loopback 'pwd; id -un; echo $HOME $USER $LOGNAME $SHELL'",
  "no terminal": "ssh loopback 'test -t 0 || test -t 1 || echo none'",
  "no terminal where there is none here":
    "ssh -t loopback 'test -t 0 || echo none'",
  "-n reads nothing":
    "printf 'a\\nb\\n' | while read x; do echo $x; ssh -n loopback true; done",
  "without -n the loop is eaten":
    "printf 'a\\nb\\n' | while read x; do echo $x; ssh loopback cat; done",
  "input is closed at its end": "printf 'c\\na\\nb\\n' | ssh loopback sort",
  "an input fed slowly":
    "{ echo b; sleep 0.1; echo a; sleep 0.1; echo c; } | ssh loopback sort",
  "an answer before the end of input":
    "mkfifo $D/in; { read x <$D/in; echo got $x >&2; } & { echo 1; wait; } | ssh loopback 'head -1' >$D/in; wait; rm $D/in",
  "an endless producer there": "ssh loopback yes | head -1",
  "an endless producer here": "yes | ssh loopback head -1",
  "a command that closes its output early":
    "ssh loopback 'exec >&-; read x; echo done $x >&2' <$D/word | cat",
  "a command that closes its input early":
    "yes | ssh loopback 'exec <&-; sleep 0.1; echo end'",
  "what runs on in the background":
    "ssh loopback '(sleep 0.2; echo late) & echo now'",
  "stdin is closed here": "ssh loopback cat <&-",
  "stdout is closed here": "ssh loopback 'echo out; echo err >&2' >&-",
  "a shell that reads what to do":
    "printf 'echo in $0 | wc -w\nread x; echo got $x\nword\nexit 7\n' | ssh loopback; echo $?; echo 'id -un' | ssh -T loopback ''",
  "a shell to log in with, at a terminal":
    "printf 'stty -echo; PS1=; unset PROMPT_COMMAND\ntest -t 0 && echo terminal >&2; exit 6\n' | script -qefc \"ssh loopback\" /dev/null | grep -c ^terminal",
  "no host": "ssh 2>/dev/null",
  "an unknown option": "ssh -% loopback true 2>/dev/null",
  "tar to tar":
    "mkdir $D/tree; echo x >$D/tree/f; ln -s f $D/tree/l; tar -C $D -cf - tree | ssh loopback 'mkdir -p t && tar -C t -xf - && cd t/tree && readlink l && cat f && rm -r ../../t'; rm -r $D/tree",
  "a variable that is asked for":
    "LC_TEST=yes ssh -o SendEnv=LC_TEST loopback 'echo done'",
  "RemoteCommand": "ssh -o RemoteCommand='echo hi' loopback",
  "a command that is no UTF-8":
    "ssh loopback \"printf %s '$(printf '\\377\\376 x')'\" | od -c",
  "a terminal and its size":
    "script -qefc \"stty cols 111 rows 33; ssh -t loopback 'stty size; tty >/dev/null && echo \\$TERM; exit 4'\" /dev/null | $TIDY",
  "a terminal that changes its size": `rm -f $D/log; touch $D/log
    script -qefc "(until grep -q ready $D/log; do sleep 0.02; done; stty cols 123 rows 45 </dev/tty) & ssh -t loopback 'trap \\"stty size; exit 3\\" WINCH; echo ready; while :; do sleep 0.05; done' | tee $D/log" /dev/null | $TIDY`,
  "Ctrl-C at a terminal": `rm -f $D/log; touch $D/log
    { until grep -q ready $D/log; do sleep 0.02; done; printf '\\003'; until grep -q got $D/log; do sleep 0.02; done; } |
    script -qefc "ssh -t loopback 'stty -echo; trap \\"echo got; exit 5\\" INT; echo ready; while :; do sleep 0.05; done' | tee $D/log" /dev/null | $TIDY`,
  "a terminal is put back":
    `script -qefc "stty -a >$D/stty; ssh -tt loopback true; stty -a | cmp - $D/stty && echo same" /dev/null | $TIDY`,
  "SIGINT":
    "timeout --preserve-status -s INT 0.5 ssh loopback 'sleep 5'; echo $?",
  "SIGTERM":
    "timeout --preserve-status -s TERM 0.5 ssh loopback 'sleep 5'; echo $?",
  "its version": "ssh -V 2>/dev/null; echo $?",
};

for (const way of WAYS) {
  Deno.test({
    name: `scripts do with this ssh what they do with the real one: ${way}`,
    ignore: Deno.uid() !== 0,
    async fn(t) {
      await using _leaks = await noLeaks();
      await using world = await makeWorld(way);
      await Deno.writeTextFile(`${world.folder}/word`, "word\n");
      for (const [name, script] of Object.entries(SCRIPTS)) {
        await t.step(name, async () => {
          const argv = sh(
            `D=${world.folder}; ${script.replaceAll("$TIDY", TIDY)}`,
          );
          const real: Outcome = await world.real(argv);
          assertEquals(await world.fake(argv), real);
          assertEquals(await world.fakeWithoutPerl(argv), real, "without Perl");
        });
      }
    },
  });
}
