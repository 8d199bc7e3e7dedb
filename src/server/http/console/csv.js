// Tables as text: RFC 4180, and what spreadsheets make of it.

/** A fault that ends the reading; `word` says it, filled with `values`. */
export class TableError extends Error {
  constructor(word, values = {}) {
    super(word);
    Object.assign(this, { word, values });
  }
}

/** Bytes that are looked at to tell the encoding. */
const LOOKED_AT = 1 << 18;

/** How bytes are text: by their byte order mark; else UTF-8 if they are that, and GB 18030 if not. */
export async function encodingOf(file) {
  const head = new Uint8Array(await file.slice(0, LOOKED_AT).arrayBuffer());
  if (head[0] === 0xff && head[1] === 0xfe) return "utf-16le";
  if (head[0] === 0xfe && head[1] === 0xff) return "utf-16be";
  for (const encoding of ["utf-8", "gb18030"]) {
    try {
      // A character that the end cuts is no fault.
      const text = new TextDecoder(encoding, { fatal: true }).decode(head, { stream: true });
      if (!text.includes("\0")) return encoding;
    } catch { /* the next */ }
  }
  throw new TableError("notText");
}

/** What most often separates cells in the first line, outside of quotes. */
export function separatorOf(text) {
  const line = /^(?:"(?:[^"]|"")*"|[^"\r\n])*/.exec(text)[0].replace(/"(?:[^"]|"")*"/g, "");
  const count = (separator) => line.split(separator).length;
  return [",", "\t", ";"].reduce((best, separator) => (count(separator) > count(best) ? separator : best));
}

/**
 * Cuts text, piece by piece, into rows: `{ line, cells }`, lines from 1. Quotes hold separators, line ends and, doubled,
 * quotes; one within a cell that did not begin with it is a character. Blank lines are left out.
 */
export class Rows {
  constructor(separator) {
    this.separator = separator;
    this.line = 1;
    this.begin();
  }

  begin() {
    Object.assign(this, { cells: [], cell: "", at: "start", first: this.line });
  }

  /** The rows that end in this piece. */
  push(text) {
    const rows = [];
    for (const c of text) {
      if (this.return && c === "\n") { // CRLF is one line end
        this.return = false;
        continue;
      }
      this.return = c === "\r";
      const ends = c === "\n" || c === "\r";
      if (this.at === "quoted") {
        if (c === '"') this.at = "closing";
        else this.cell += ends ? "\n" : c;
        if (ends) this.line += 1;
      } else if (this.at === "closing" && c === '"') {
        this.cell += c;
        this.at = "quoted";
      } else if (ends) {
        this.line += 1;
        this.end(rows);
      } else if (c === this.separator) {
        this.cells.push(this.cell);
        this.cell = "";
        this.at = "start";
      } else if (this.at === "start" && c === '"') {
        this.at = "quoted";
        this.opened = this.line;
      } else {
        this.cell += c;
        this.at = "plain";
      }
    }
    return rows;
  }

  /** The row that the end of the file ends. */
  finish() {
    if (this.at === "quoted") throw new TableError("openQuote", { line: this.opened });
    const rows = [];
    this.end(rows);
    return rows;
  }

  end(rows) {
    this.cells.push(this.cell);
    if (this.cells.some((cell) => cell.trim() !== "")) rows.push({ line: this.first, cells: this.cells.map((cell) => cell.trim()) });
    this.begin();
  }
}

/** The rows of a file, read as they are asked for; `read` is told of the bytes that were, more or less. */
export async function* rowsOf(file, encoding, separator, read = () => {}) {
  const decoder = new TextDecoder(encoding, { fatal: true });
  const rows = new Rows(separator);
  const reader = file.stream().getReader();
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      const found = rows.push(decode(decoder, value, !done));
      const size = value?.length ?? 0;
      for (const [i, row] of found.entries()) {
        read(bytes + (size * (i + 1)) / found.length); // a small file is one piece
        yield row;
      }
      bytes += size;
      if (done) break;
    }
  } finally {
    reader.cancel().catch(() => {}); // whoever reads no further lets go of the file
  }
  yield* rows.finish();
}

function decode(decoder, bytes, stream) {
  try {
    return decoder.decode(bytes ?? new Uint8Array(), { stream });
  } catch {
    throw new TableError("notText");
  }
}

/** What a table cell must be written as. */
export const quoted = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
