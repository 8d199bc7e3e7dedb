// The map of the bank: the drawing, and beside it what is suspicious.

import * as api from "./api.js";
import { Chart } from "./chart.js";
import { fill, find, node, number, percent } from "./dom.js";
import { colourer } from "./colour.js";
import { ask } from "./search.js";
import { current, known } from "./state.js";
import { tell } from "./took.js";
import { Turn } from "./turn.js";
import { word } from "./words.js";

/** Pairs that are listed; colours that are, of few and of many; questions that are looked at for metadata. */
const [LISTED, COLOURS, OF_MANY, LOOKED_AT] = [50, 12, 6, 100];

const root = find("#map");
const form = find("form", root);
const parts = Object.fromEntries(["took", "card", "legend", "twins", "tip"].map((name) => [name, find(`.${name}`, root)]));
const canvas = find("canvas", root);
const turn = new Turn(root);
let shown = null; // { bank, label, reply, took }
let lit = null; // the colour's name that alone is lit

const chart = new Chart(canvas, {
  hovered: (place, at) => tip(place, at),
  chosen: (place) => card(place),
  entered: (place) => ask(shown.reply.points[place].text),
});

/** FAQs, and the metadata keys that the bank's first questions have. */
async function offerColours(bank) {
  const select = form.elements.labelKey;
  const { reply } = await api.questions(bank, LOOKED_AT);
  const keys = [...new Set(reply.questions.flatMap((question) => Object.keys(question.metadata ?? {})))].sort();
  const before = select.value;
  fill(select, node("option", { value: "" }, word("byFaqId")), keys.map((key) => node("option", { value: key }, key)));
  // FAQ ids say little where each question has its own, or none; then a text does that some share.
  const { questions, faqs } = known().find(({ name }) => name === bank) ?? {};
  const values = (key) => new Set(reply.questions.map(({ metadata }) => metadata?.[key]?.text)).size;
  const shared = Number(faqs) > 0 && Number(questions) > 1.5 * Number(faqs);
  select.value = keys.includes(before) ? before : shared ? "" : keys.find((key) => values(key) > 1 && values(key) < 20) ?? "";
}

function draw() {
  const bank = current();
  if (!bank) return;
  const work = async (signal) => {
    if (shown?.bank !== bank) await offerColours(bank);
    const { labelKey, points, near } = form.elements;
    const request = { labelKey: labelKey.value, points: points.value, nearDuplicateScore: near.value || "0.95" };
    return { bank, label: labelKey.value, ...(await api.map(bank, request, { signal })) };
  };
  turn.take(bank, word("drawing"), work, (drawn) => {
    shown = drawn;
    lit = null;
    render();
    chart.all();
  });
}

const kindOf = (point) => (shown.label ? point.label : point.faqId);

function render() {
  card(null);
  find(".atlas", root).hidden = !shown?.reply.points.length;
  if (!shown) return fill(parts.took);
  const { reply } = shown;
  const values = { n: number(reply.points.length), all: number(Number(reply.questions)) };
  const count = word(Number(reply.questions) > reply.points.length ? "mapCount" : "mapAll", values);
  if (!reply.points.length) return fill(parts.took, word("emptyMap"));
  tell(parts.took, count, shown);
  canvas.setAttribute("aria-label", word("mapLabel", { bank: shown.bank, n: values.n }));
  const colour = colourer(reply.points.map(kindOf));
  chart.show(reply.points, reply.nearDuplicates, (point) => ({
    colour: colour.of(kindOf(point)), dim: lit !== null && kindOf(point) !== lit.kind }));
  const listed = colour.counts.length > COLOURS ? OF_MANY : COLOURS;
  fill(parts.legend, colour.counts.slice(0, listed).map(([kind, count]) => legend(kind, count, colour)),
    colour.counts.length > listed ? node("li.hint", {}, word("andMore", { n: number(colour.counts.length - listed) })) : null);
  twins(reply);
}

function legend(kind, count, colour) {
  const swatch = node("i");
  swatch.style.background = colour.of(kind);
  const pressed = lit !== null && lit.kind === kind;
  return node("li", {}, node("button", { type: "button", "aria-pressed": String(pressed), onclick: () => {
    lit = pressed ? null : { kind };
    render();
    (find(".legend [aria-pressed=true]", root) ?? find(".legend button", root))?.focus();
  } }, swatch, node("span", {}, kind ?? word("noLabel")), node("small", {}, number(count))));
}

function twins({ points, nearDuplicates, neighboursKept, lookedUp }) {
  const suspicious = nearDuplicates.filter(({ oneFaq }) => !oneFaq);
  const fine = nearDuplicates.length - suspicious.length;
  fill(find(".twins-hint", root), [word(suspicious.length ? "twinsSome" : "twinsNone"), fine ? word("twinsFine", { n: number(fine) }) : null,
    lookedUp < points.length ? word("twinsLooked", { n: number(lookedUp) }) : null].filter(Boolean).join(" "));
  const pair = ({ first, second, score }) => node("li", {}, node("button", { type: "button", onclick: () => chart.visit(first, second) },
    node("b", {}, number(score, 3)), ...[first, second].map((place) => node("span", {}, points[place].text,
      node("small", {}, [points[place].id, points[place].faqId && `FAQ ${points[place].faqId}`].filter(Boolean).join(" · "))))));
  fill(parts.twins, suspicious.slice(0, LISTED).map(pair),
    suspicious.length > LISTED ? node("li.hint", {}, word("andMore", { n: number(suspicious.length - LISTED) })) : null);
  parts.took.append(node("span", {}, word("mapKept", { x: percent(neighboursKept) })));
}

function tip(place, at) {
  parts.tip.hidden = place === null;
  if (place === null) return;
  const { text, id, faqId, label } = shown.reply.points[place];
  fill(parts.tip, node("b", {}, text), node("small", {}, [id, faqId && `FAQ ${faqId}`, label].filter(Boolean).join(" · ")));
  const room = canvas.clientWidth - parts.tip.offsetWidth;
  parts.tip.style.left = `${Math.max(0, Math.min(room, at.x + 14))}px`;
  parts.tip.style.top = `${at.y + 18 + parts.tip.offsetHeight > canvas.clientHeight ? at.y - 14 - parts.tip.offsetHeight : at.y + 18}px`;
}

/** The chosen point, with what is nearly the same. */
function card(place) {
  parts.card.hidden = place === null;
  fill(find("#map-said"));
  if (place === null) return;
  const { points, nearDuplicates } = shown.reply;
  const { text, id, faqId, label } = points[place];
  const beside = nearDuplicates.filter(({ first, second }) => first === place || second === place);
  const others = beside.map(({ first, second, score, oneFaq }) => node(`li${oneFaq ? "" : ".suspicious"}`, {},
    node("b", {}, number(score, 3)), points[first === place ? second : first].text));
  fill(parts.card, node("h2", {}, text), node("p.tags", {}, [id, faqId && `FAQ ${faqId}`, label].filter(Boolean).map((tag) => node("span", {}, tag))),
    others.length ? node("ul", {}, others) : null,
    node("button", { type: "button", onclick: () => ask(text) }, word("searchThis")));
  fill(find("#map-said"), [text, faqId && `FAQ ${faqId}`].filter(Boolean).join(", "));
}

export function ready() {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    draw();
  });
  form.addEventListener("change", draw);
  for (const button of root.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => ({ in: () => chart.zoom(1.6), out: () => chart.zoom(1 / 1.6), all: () => chart.all() })[button.dataset.zoom]());
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", render);
}

export function show() {
  if ((turn.running?.about ?? shown?.bank) !== current()) draw();
  else chart.draw();
}

export function translated() {
  const first = form.elements.labelKey.options[0];
  if (first) first.textContent = word("byFaqId");
  render();
}
