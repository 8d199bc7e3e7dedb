// From a table's rows to questions, checked as the server does, so that one bad line does not cost a slice.

import { sha256 } from "./sha256.js";
import { word } from "./words.js";

const KINDS = { id: "id", question: "text", answer: "answer", faq_id: "faq" };
const MOST = { text: 8 << 10, answer: 256 << 10, faq: 512, id: 512, key: 512, value: 4 << 10, values: 64 };
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

const utf8 = new TextEncoder();
const size = (text) => utf8.encode(text).length;

/** What the columns of these names hold: id, text, answer, faq or metadata. `text` beside `question` is metadata. */
export function kindsOf(names) {
  const lower = names.map((name) => name.toLowerCase());
  return lower.map((name) => (name === "text" && !lower.includes("question") ? "text" : KINDS[name] ?? "metadata"));
}

/** A sentence on what is wrong with the choice of columns; none if nothing is. */
export function columnsFault(kinds) {
  if (!kinds.includes("text")) return word("needsText");
  const names = { id: "asId", text: "asText", faq: "asFaq", answer: "asAnswer" };
  const twice = Object.keys(names).find((kind) => kinds.filter((other) => other === kind).length > 1);
  return twice ? word("twice", { what: word(names[twice]) }) : null;
}

/** A cell as a metadata value: a flag, a number as JSON has them, or text. */
function value(cell) {
  if (cell === "true" || cell === "false") return { flag: cell === "true" };
  if (NUMBER.test(cell) && Number.isFinite(Number(cell))) return { number: Number(cell) };
  return { text: cell };
}

/** The question of a row, or a sentence on what is wrong with it: `{ question }` or `{ id, reason }`. */
export function questionOf(cells, names, kinds) {
  const of = (kind) => cells[kinds.indexOf(kind)] || undefined; // an empty cell is no value
  const text = of("text");
  const id = of("id") ?? (text && `q-${sha256(text).slice(0, 16)}`);
  const bad = (key, values) => ({ id: id ?? "", reason: word(key, values) });
  const long = (what, text, most) => text !== undefined && size(text) > most && bad("longText", { what, most, n: size(text) });
  if (cells.length > names.length) return bad("manyCells", { most: names.length, n: cells.length });
  if (text === undefined) return bad("blankText");
  if (CONTROL.test(id) || size(id) > MOST.id) return bad("badId");
  const fault = long(word("asText"), text, MOST.text) || long(word("asFaq"), of("faq"), MOST.faq) || long(word("asAnswer"), of("answer"), MOST.answer);
  if (fault) return fault;
  const metadata = {};
  for (const [i, cell] of cells.entries()) {
    if (kinds[i] !== "metadata" || cell === "" || names[i] === "") continue;
    const fault = long(names[i], names[i], MOST.key) || long(names[i], cell, MOST.value);
    if (fault) return fault;
    Object.defineProperty(metadata, names[i], { value: value(cell), enumerable: true }); // also a key such as __proto__
  }
  if (Object.keys(metadata).length > MOST.values) return bad("manyValues", { n: Object.keys(metadata).length });
  return { question: { id, text, faqId: of("faq"), answer: of("answer"), metadata } };
}
