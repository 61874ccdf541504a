/**
 * Quoting for shells. Every value that reaches a command line goes through here.
 *
 * @module
 */

/** Words that no shell changes. */
const PLAIN = /^[A-Za-z0-9_@%+=:,./-]+$/;

/**
 * Quotes a word for a POSIX `sh`.
 *
 * @throws {TypeError} when the word holds a NUL, which no argument can
 */
export function quote(word: string): string {
  if (word.includes("\0")) {
    throw new TypeError(
      `Cannot pass ${JSON.stringify(word)} to a program: it holds a NUL`,
    );
  }
  if (PLAIN.test(word)) return word;
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Quotes an argument vector for a POSIX `sh`. */
export function quoteAll(words: readonly string[]): string {
  return words.map(quote).join(" ");
}

/**
 * Quotes a word for a login shell of which only the name is known to its
 * owner: sh, bash, dash, ksh, zsh, fish, csh, tcsh read it alike.
 *
 * Inside single quotes fish reads backslashes and csh reads `!`, so these are
 * put outside of them, with a backslash that all understand.
 *
 * @throws {TypeError} on a line break, which csh cannot take, and on a NUL
 */
export function quoteForLogin(word: string): string {
  if (/[\n\r\0]/.test(word)) {
    throw new TypeError(
      `Cannot pass ${
        JSON.stringify(word.slice(0, 100))
      } through a login shell: it holds a line break or a NUL`,
    );
  }
  if (PLAIN.test(word)) return word;
  return `'${word.replace(/['\\!]/g, (c) => `'\\${c}'`)}'`;
}

/**
 * A script for a POSIX `sh` in letters, digits and the few signs that survive
 * `sudo -i`, which has a login shell of any kind read a backslash before each.
 *
 * @throws {TypeError} when the script holds a NUL
 */
export function quoteOctal(script: string): string {
  quote(script);
  let octal = "";
  for (const byte of new TextEncoder().encode(script)) {
    const c = String.fromCharCode(byte);
    octal += /[A-Za-z0-9]/.test(c)
      ? c
      : `\\${byte.toString(8).padStart(3, "0")}`;
  }
  return `eval "\`printf '${octal}'\`"`;
}
