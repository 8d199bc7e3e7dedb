// A file of questions into the bank: looked at, then sent in slices.

import { TableError, encodingOf, quoted, rowsOf, separatorOf } from "./csv.js";
import { bytes, duration, failure, fill, find, node, number } from "./dom.js";
import { columnsFault, kindsOf, questionOf } from "./questions.js";
import { Sender } from "./sender.js";
import { current, known, refresh } from "./state.js";
import { word } from "./words.js";

/** Rows of the preview, and lines of the list of what was left out. */
const [PREVIEWED, LISTED] = [5, 100];

const root = find("#import");
const parts = Object.fromEntries(["failure", "preview", "sending", "left-out", "counts", "progress", "about", "start", "cancel", "resume", "again"]
  .map((name) => [name, find(`.${name}`, root)]));
const input = find("#file");
let table = null; // what was chosen: { file, encoding, separator, names, kinds, rows }
let sender = null;
let fault = null; // what keeps the file from being read

async function look(file) {
  reset();
  try {
    const encoding = await encodingOf(file);
    const head = new TextDecoder(encoding).decode(await file.slice(0, 1 << 16).arrayBuffer(), { stream: true });
    const separator = separatorOf(head);
    const rows = [];
    for await (const row of rowsOf(file, encoding, separator)) {
      rows.push(row.cells);
      if (rows.length > PREVIEWED) break;
    }
    if (rows.length < 2) throw new TableError(rows.length ? "onlyHeader" : "isEmpty");
    const [names, ...first] = rows;
    table = { file, encoding, separator, names, kinds: kindsOf(names), rows: first };
  } catch (error) {
    fault = error;
  }
  render();
}

function reset() {
  sender?.cancel();
  [table, sender, fault] = [null, null, null];
  input.value = "";
  render();
}

function render() {
  fill(find(".bank-name", root), current() ?? "–");
  fill(parts.failure, fault && refused(fault));
  parts.preview.hidden = !table || sender !== null;
  parts.sending.hidden = sender === null;
  const drop = find(".drop", root);
  drop.hidden = sender !== null;
  drop.classList.toggle("chosen", table !== null);
  if (table && !sender) renderPreview();
  if (sender) renderProgress();
  renderLeftOut();
}

function refused(error) {
  const sentence = error instanceof TableError ? word(error.word, error.values) : error.message;
  return node("div.error", { role: "alert" }, node("strong", {}, word("badFile")), node("p", {}, sentence));
}

const separatorName = (separator) => word({ ",": "comma", "\t": "tab", ";": "semicolon" }[separator]);

function renderPreview() {
  const { file, encoding, separator, names, kinds, rows } = table;
  fill(parts.about, word("fileAbout", { name: file.name, bytes: bytes(file.size), encoding: encoding.toUpperCase(), separator: separatorName(separator) }));
  const words = { id: "asId", text: "asText", faq: "asFaq", answer: "asAnswer", metadata: "asMetadata", none: "asNothing" };
  const head = names.map((name, i) => node("th", { scope: "col" }, node("span", {}, name || "–"),
    node("select", { "aria-label": word("columnIs", { name }), onchange: (event) => {
      kinds[i] = event.target.value;
      hint();
    } }, Object.entries(words).map(([kind, key]) => node("option", { value: kind, selected: kinds[i] === kind }, word(key))))));
  fill(find("thead", parts.preview), node("tr", {}, head));
  fill(find("tbody", parts.preview), rows.map((cells) => node("tr", {}, names.map((_, i) => node("td", {}, cells[i] ?? "")))));
  hint();
}

/** Says what is still wrong; nothing can be sent until then. */
function hint() {
  const wrong = current() ? columnsFault(table.kinds) : word("needsBank");
  fill(find(".columns-hint", root), wrong ?? "");
  parts.start.disabled = wrong !== null;
}

async function send() {
  const { file, encoding, separator, names, kinds } = table;
  const rows = rowsOf(file, encoding, separator, (read) => sender?.read(read));
  await rows.next(); // the header
  sender = new Sender(current(), file.size, renderProgress);
  const mine = sender;
  render();
  parts.cancel.focus();
  try {
    await mine.send(rows, (cells) => questionOf(cells, names, kinds));
  } catch (error) {
    if (mine !== sender) return; // another file was chosen
    fault = error;
  }
  if (mine !== sender) return;
  render();
  if (mine.state === "done" || mine.state === "cancelled") parts.again.focus();
  refresh().catch(() => {}); // the next call tells
}

let drawn = 0; // rows that were left out and are in the list

function renderProgress() {
  const { state, inserted, updated, failed, share, line, seconds, error } = sender;
  parts.progress.firstElementChild.style.width = `${100 * share}%`;
  parts.progress.setAttribute("aria-valuenow", String(Math.floor(100 * share)));
  const values = { inserted: number(inserted), updated: number(updated), failed: number(failed.length), line: number(line),
    written: number(inserted + updated), rate: number((inserted + updated) / Math.max(seconds, 0.1)), time: duration(seconds),
    left: duration(share > 0.01 ? (seconds / share) * (1 - share) : Infinity) };
  const said = { sending: "sent", waiting: "waiting", done: "done", cancelled: "cancelled", paused: "paused", broken: "paused" };
  fill(parts.counts, word(said[state], values));
  parts.progress.dataset.state = state;
  if (error) fill(parts.failure, failure(error));
  else if (!fault) fill(parts.failure);
  parts.resume.hidden = state !== "paused";
  parts.cancel.hidden = !["sending", "waiting", "paused"].includes(state);
  parts.again.hidden = !parts.cancel.hidden;
  if (failed.length !== drawn) renderLeftOut();
}

function renderLeftOut() {
  const failed = sender?.failed ?? [];
  drawn = failed.length;
  parts["left-out"].hidden = !failed.length;
  fill(find("h2", parts["left-out"]), word("leftOutCount", { n: number(failed.length) }));
  fill(find("tbody", parts["left-out"]), failed.slice(0, LISTED).map(({ line, id, reason }) =>
    node("tr", {}, node("td", {}, String(line)), node("td", {}, id), node("td", {}, reason))),
  failed.length > LISTED ? node("tr", {}, node("td", { colSpan: 3 }, word("andMore", { n: number(failed.length - LISTED) }))) : null);
}

/** Gives the list of what was left out as a table. */
function save() {
  const lines = [["line", "id", "reason"], ...sender.failed.map(({ line, id, reason }) => [String(line), id, reason])];
  const text = lines.map((cells) => cells.map(quoted).join(",")).join("\r\n");
  const url = URL.createObjectURL(new Blob(["\ufeff", text, "\r\n"], { type: "text/csv" }));
  node("a", { href: url, download: "left-out.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

export function ready() {
  input.addEventListener("change", () => input.files[0] && look(input.files[0]));
  const drop = find(".drop", root);
  for (const kind of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files[0]) look(event.dataTransfer.files[0]);
    });
  }
  parts.start.addEventListener("click", send);
  parts.cancel.addEventListener("click", () => sender.cancel());
  parts.resume.addEventListener("click", () => sender.resume());
  parts.again.addEventListener("click", () => {
    reset();
    input.focus();
  });
  find(".save", root).addEventListener("click", save);
}

export function show() {
  if (!sender) render();
  if (!known().length) fill(find(".columns-hint", root), word("needsBank"));
}

export const translated = render;
