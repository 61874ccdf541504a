/** docs/protocol.md says what the code does: its vectors are read from the page. */
import { assert, assertEquals } from "@std/assert";
import { decode, encode, Message, type MessageFields } from "../../core/mod.ts";

const page = await Deno.readTextFile(
  new URL("../../docs/protocol.md", import.meta.url),
);

/** Rows of the table whose header begins with these cells. */
function rows(...head: string[]): string[][] {
  const lines = page.split("\n");
  const cells = (line: string) =>
    line.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim());
  const start = lines.findIndex((line) =>
    line.startsWith("|") && head.every((h, i) => cells(line)[i] === h)
  );
  assert(start >= 0, `no table ${head.join(", ")}`);
  const found: string[][] = [];
  for (let i = start + 2; lines[i]?.startsWith("|"); i++) {
    found.push(cells(lines[i]!));
  }
  return found;
}

function code(cell: string): string {
  return cell.replace(/^`|`$/g, "");
}

function evaluate<T>(cell: string): T {
  return new Function(`return ${code(cell)};`)() as T;
}

function hex(cell: string): string {
  return code(cell).replaceAll(" ", "");
}

Deno.test("every frame on the page is these bytes, and these bytes that frame", () => {
  const table = rows("fields", "bytes");
  assert(table.length >= 6);
  for (const [fields, bytes] of table) {
    const { data, ...header } = evaluate<
      Omit<MessageFields, "data"> & { data: string }
    >(fields!);
    const message = new Message({ ...header, data: Uint8Array.fromHex(data) });
    assertEquals(message.pack().toHex(), hex(bytes!), fields);
    const back = Message.fromFrame(Uint8Array.fromHex(hex(bytes!)));
    const { magic, dstId, srcId, authId, handle, replyTo } = back;
    assertEquals({ magic, dstId, srcId, authId, handle, replyTo }, header);
    assertEquals(back.data.toHex(), data);
  }
});

Deno.test("every value on the page is these bytes, and these bytes that value", () => {
  const table = rows("value", "bytes");
  assert(table.length >= 20);
  for (const [value, bytes] of table) {
    const expected = evaluate(value!);
    assertEquals(encode(expected).toHex(), hex(bytes!), value);
    assertEquals(decode(Uint8Array.fromHex(hex(bytes!))), expected, value);
  }
});

Deno.test("the page names every handle and magic that the code has", async () => {
  const { Handle, Magic } = await import("../../core/mod.ts");
  for (const [name, handle] of Object.entries(Handle)) {
    const row = rows("handle", "name").find(([number]) =>
      number === String(handle)
    );
    assertEquals(row?.[1], `\`${name}\``);
  }
  const magics = rows("magic", "the data is").map(([magic]) =>
    Number(code(magic!))
  );
  assertEquals(magics, Object.values(Magic));
});

Deno.test("the page names every reason of a dead message", async () => {
  const { Dead } = await import("../../core/mod.ts");
  const reasons = rows("reason", "when").map(([reason]) => reason!);
  for (const reason of Object.values(Dead)) {
    assert(reasons.some((row) => row.includes(`\`${reason}`)), reason);
  }
});

Deno.test("the page names every kind of piece, and every tag of what is live", async () => {
  const { LiveTag, Piece } = await import("../../core/mod.ts");
  const kinds = rows("kind", "name").map((
    [kind, name],
  ) => [code(name!), Number(kind)]);
  assertEquals(Object.fromEntries(kinds), Piece);
  const tags = rows("tag", "value", "payload").map(([tag]) => Number(tag));
  for (const tag of Object.values(LiveTag)) assert(tags.includes(tag));
});
