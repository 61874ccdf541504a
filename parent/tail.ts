const LINES = 100;
const WIDTH = 1000;

// deno-lint-ignore no-control-regex
const CONTROL = /\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]/g;

/** A line that the other end printed, fit to be shown to a person. */
export function clean(line: string): string {
  // It may hold orders for the terminal.
  return line.slice(0, WIDTH).replace(CONTROL, "");
}

/** The last lines that somebody printed, fit to be shown to a person. */
export class Tail {
  #lines: string[] = [];

  /** The last lines of a text. */
  static of(text: string): string {
    const tail = new Tail();
    for (const line of text.split("\n")) tail.push(line);
    return tail.toString();
  }

  /** Adds a line. */
  push(line: string): void {
    this.#lines.push(clean(line));
    if (this.#lines.length > LINES) this.#lines.shift();
  }

  /** The lines, oldest first. */
  toString(): string {
    return this.#lines.join("\n");
  }

  /** The line that most likely says what went wrong. */
  last(): string {
    const lines = this.#lines.filter((line) => line.trim() !== "");
    return lines.findLast((line) => /^(error|fatal)|uncaught/i.test(line)) ??
      lines.at(-1) ?? "";
  }
}
