/**
 * The answer to a shell that found no Deno: one line of script, which it reads
 * from the pipe and runs. It ends with a usable Deno in `d`, or with the shell.
 *
 * ```text
 * child                                 parent
 *   MITO404 Linux x86_64 ---------------->
 *   <------------------------------------- the script
 *   MITO402 musl ------------------------> it cannot run here: the end
 *   MITO409 -----------------------------> another connection sends it: waiting
 *   MITO408 gzip ------------------------> nothing in the cache
 *   <------------------------------------- size, line break, so many bytes
 *   MITO403 what was tried --------------> no directory would do: the end
 *   MITO000 -----------------------------> Deno has started
 * ```
 *
 * What is needed there: `head`, `mkdir`, `chmod`, `mv`, `rm`, `wc`; `mkfifo`
 * when nothing is to be kept. Used where they are found: `gzip`, a tool for
 * SHA-256, `df`.
 *
 * @module
 */
import { GLIBC_MINOR, LIBRARIES, type Platform } from "./platforms.ts";
import { quote } from "./quote.ts";

/** What is to be had: Deno's executable for one platform. */
export interface RuntimeInfo {
  /** Its version, such as `2.9.6`. */
  version: string;
  /** Bytes of the executable. */
  size: number;
  /** SHA-256 of the executable, in hex. */
  sha256: string;
}

/** Entries that stay in a cache when another is added. */
const KEPT = 3;

/** Seconds to wait for another connection that sends the same. */
const PATIENCE = 300;

/** Refuses by name what Deno cannot run on, before anything is sent. */
function probe(loader: string): string {
  // The C library says its version when its loader runs it, and the loader
  // says which libraries it does not find: no other tool is needed.
  return `
    [ -e /proc/self/exe ]||no "/proc is not mounted there"
    v=
    for l in "" /lib/*-linux-gnu/ /usr/lib/*-linux-gnu/ /lib64/ /usr/lib64/ /lib/ /usr/lib/;do
      v=$(${loader} "$l"libc.so.6 2>/dev/null)
      case $v in "GNU C Library"*)break;;esac
      v=
    done
    [ "$v" ]||{ for m in /lib/ld-musl-*;do
        [ -e "$m" ]&&no "its C library is musl, and Deno needs glibc"
      done
      no "there is no glibc"; }
    v=\${v#*release version 2.};v=\${v%%[!0-9]*}
    [ "$v" -ge ${GLIBC_MINOR} ]||no "its glibc is 2.$v, and 2.${GLIBC_MINOR} is needed"
    m=$(LD_PRELOAD="${
    LIBRARIES.join(" ")
  }" ${loader} "$l"libc.so.6 2>&1 >/dev/null)
    m=\${m#*object ?};m=\${m%%? from*}
    [ -z "$m" ]||no "there is no $m"`;
}

/** Directories that are tried when nothing is to be kept. */
const PASSING = `
    set -- "\${TMPDIR:-/tmp}" /tmp /var/tmp /dev/shm "$HOME" /`;

/**
 * Directories that are tried, in order. What nobody but the user may write to
 * comes first; below the others a directory is made that is the user's own.
 */
const LASTING = `
    q=$XDG_CACHE_HOME
    [ "$q" ]||{ [ -d "$HOME" ]&&q=$HOME/.cache; }
    set -- \${q:+"$q"} /var/tmp /tmp
    [ "$q" ]||[ -z "$HOME" ]||set -- "$@" "$HOME/.cache"`;

/** What all of it is made of. `b` is the directory that is being tried. */
const COMMON = `
    e=;p=;j=;c=
    w=$(umask);umask 077
    r=$(uname -n);u=$(id -u 2>/dev/null||echo x)
    tidy(){ rm -rf \${p:+"$p"} \${j:+"$j"} 2>/dev/null
      rmdir "$c" 2>/dev/null
      p=;j=
      return 0; }
    bad(){ e="$e; $b: $1"
      tidy; }
    trap tidy EXIT
    trap 'exit 1' HUP INT TERM PIPE
    command -v head >/dev/null||head(){ dd bs=1 count="$2" 2>/dev/null; }
    command -v gzip >/dev/null&&z=gzip||z=none
    inflate(){ [ $z = gzip ]&&gzip -dc||{ [ $z = none ]&&cat; }; }
    sum(){ { sha256sum||shasum -a 256||openssl dgst -sha256 -r||busybox sha256sum; } <"$1" 2>/dev/null|{ read -r x y
      echo "$x"; }; }
    few(){ [ "$4" -lt $m ] 2>/dev/null&&bad "$4 KiB are free, $m are needed"; }
    room(){ q=$(command -v sh)
      case $q in /*);;*)q=/bin/sh;;esac
      { echo "#!$q" >"$p/x"&&chmod 700 "$p/x"; } 2>/dev/null||{ bad "it is full"
        return 1; }
      "$p/x" 2>/dev/null||{ bad "nothing may be run from there (noexec)"
        return 1; }
      rm -f "$p/x"
      few $(df -Pk "$p" 2>/dev/null|tail -n 1)&&return 1
      return 0; }
    take(){ say "408 $z"
      read -r g<&3||exit 1
      head -c "$g" <&3|{ inflate >"$p/deno"||{ cat >/dev/null
          false; }; }||{ bad "it could not be written"
        return 1; }
      x=$(sum "$p/deno")
      [ $(wc -c <"$p/deno") -eq $s ]&&[ "\${x:-$h}" = $h ]||{ bad "damaged on the way"
        return 1; }
      chmod 700 "$p/deno"
      x=$("$p/deno" -V 2>&1|head -n 1)
      case $x in "deno "*)return 0;;esac
      bad "it does not run: $x"
      return 1; }`;

/**
 * Looks in the caches, else puts it into the first that will have it. An entry
 * that was checked gets an old date, and a stamp beside it a new one: whatever
 * writes to the entry makes it newer, and it is checked again. Nothing finer
 * than a second can be relied on.
 */
const KEEP = `
    where(){ [ -O "$b" ]&&c=$b/mitogen||c=$b/mitogen-$u; }
    safe(){ [ -d "$c" ]&&[ -O "$c" ]&&[ ! -h "$c" ]; }
    seal(){ { touch -t 200001010000 "$f"
      echo >"$f.ok"; } 2>/dev/null; }
    has(){ f=$c/$n
      [ -f "$f" ]&&[ -O "$f" ]&&[ -x "$f" ]||return 1
      [ -O "$f.ok" ]&&[ "$f.ok" -nt "$f" ]||[ "$(sum "$f")" = $h ]||return 1
      seal
      return 0; }
    lock(){ i=0
      until mkdir "$c/$n.lock" 2>/dev/null;do
        [ $i -le ${PATIENCE} ]||return 0
        x=;y=
        read -r x y 2>/dev/null <"$c/$n.lock/by"
        if [ -z "$y" ]&&[ $i -gt 3 ]||{ [ "$x" = "$r" ]&&! kill -0 "$y" 2>/dev/null; };then
          rm -rf "$c/$n.lock"
          i=$((i+60))
        else
          say 409
          sleep 1
          i=$((i+1))
          has&&return 0
        fi
      done
      j=$c/$n.lock
      echo "$r $$" >"$j/by"; }
    put(){ case $b in /tmp|/var/tmp)[ -d "$b" ]||return 1;;*)mkdir -p "$b" 2>/dev/null;;esac
      where
      mkdir "$c" 2>/dev/null
      [ -d "$c" ]||{ bad "it cannot be written to"
        return 1; }
      safe||{ bad "$c is not this user's own"
        return 1; }
      p=$c/part.$r.$$
      rm -rf "$p"
      mkdir "$p" 2>/dev/null||{ p=
        bad "it cannot be written to"
        return 1; }
      room||return 1
      lock
      has&&{ tidy
        return 0; }
      take||return 1
      mv -f "$p/deno" "$f"||{ bad "it cannot be written to"
        return 1; }
      seal
      tidy
      for x in "$c/part.$r."*;do
        kill -0 "\${x##*.}" 2>/dev/null||rm -rf "$x"
      done
      ls -t "$c"/deno-*.ok|tail -n +${KEPT + 1}|while read -r x;do
        rm -f "\${x%.ok}" "$x"
      done
      return 0; }
    look(){ where
      safe&&has&&d=$f; }
    d=
    [ -z "$a" ]||{ b=$a
      look||{ put&&d=$f; }; }
    [ "$d" ]||for b in "$@";do
      look&&break
    done
    [ "$d" ]||for b in "$@";do
      put&&{ d=$f
        break; }
    done`;

/**
 * Puts it where it is deleted as soon as it has started: Deno closes the
 * descriptor that it is given, and a process of its own waits for that.
 */
const DROP = `
    put(){ [ -d "$b" ]||return 1
      c=$b/mitogen.$$
      mkdir "$c" 2>/dev/null||{ bad "it cannot be written to"
        return 1; }
      p=$c
      mkfifo "$p/gone" 2>/dev/null||{ bad "no mkfifo there, or it is full"
        return 1; }
      room&&take; }
    d=
    for b in "$@";do
      put&&{ d=$p/deno
        break; }
    done
    [ -z "$d" ]||{
      ( {
        trap '' HUP INT TERM
        read -r x <"$p/gone"
        rm -rf "$p"
      } >/dev/null 2>&1 3<&- 4>&- & )
      exec 5>"$p/gone"
      k=5
    }`;

/** What to send to a shell that asks. */
export function runtimeScript(
  platform: Platform,
  info: RuntimeInfo,
  cacheDir?: string | null,
): string {
  const { version, size, sha256 } = info;
  const text = `
    say(){ echo "MITO$1" >&4||exit 1; }
    no(){ say "402 $1"
      exit 127; }
    ${platform.loader === undefined ? "" : probe(platform.loader)}
    n=${quote(`deno-${version}-${sha256.slice(0, 16)}`)}
    s=${size};m=${Math.ceil(size / 1024) + 64};h=${quote(sha256)}
    a=${quote(cacheDir ?? "")}
    ${cacheDir === null ? PASSING : LASTING}
    ${COMMON}
    ${cacheDir === null ? DROP : KEEP}
    [ "$d" ]||{ say "403 \${e#; }"
      exit 127; }
    umask $w
    trap - EXIT HUP INT TERM PIPE`;
  return oneLine(text) + "\n";
}

/** A script as one line, which is what `read` takes. */
function oneLine(text: string): string {
  let line = "";
  for (const part of text.split("\n")) {
    const step = part.trim();
    if (step === "") continue;
    const open = line === "" ||
      /(?:\bdo|\bthen|\belse|\bin|[{(&|]|;;)$/.test(line);
    line += (line === "" ? "" : open ? " " : ";") + step;
  }
  return line;
}
