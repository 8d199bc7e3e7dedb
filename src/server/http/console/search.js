// Searching: directly, or with generated phrases as well.

import * as api from "./api.js";
import { all, bar, failure, fill, find, node, number, percent } from "./dom.js";
import { current, known } from "./state.js";
import { tell } from "./took.js";
import { Turn } from "./turn.js";
import { word } from "./words.js";

/** Questions that are offered to try. */
const OFFERED = 4;

const root = find("#search");
const parts = Object.fromEntries(["form", "took", "failure", "empty", "hits", "phrases"].map((name) =>
  [name, find(name === "form" ? name : `.${name}`, root)]));
const query = find("#query");
const turn = new Turn(root);
let shown = null; // what is shown: { bank, text, expanded, reply, took }
let phrase = null; // whose hits alone are lit

const expanded = () => find("[name=way]:checked", root).value === "expanded";

/** What is asked for, as the call has it; empty numbers are left to the server. */
function request() {
  const value = (selector) => {
    const { value, valueAsNumber } = find(selector, root);
    return value === "" ? undefined : valueAsNumber;
  };
  const options = { k: value("#hits-most"), minScore: value("#least"), groupByFaq: find("#by-faq").checked };
  const text = query.value.trim();
  return expanded() ? { text, options, phrases: value("#phrases-most") } : { query: { text }, options };
}

function run() {
  const [bank, text, way] = [current(), query.value.trim(), expanded()];
  if (!bank || !text) return;
  const asked = request();
  turn.take(text, word("searching"), (signal) => (way ? api.expand : api.search)(bank, asked, { signal }), (answer) => {
    shown = answer && { bank, text, expanded: way, ...answer };
    phrase = null;
    render();
  });
}

/** Asks for something from elsewhere on the page. */
export function ask(text) {
  query.value = text;
  location.hash = "search";
  run();
}

const hitCount = (n) => word("foundCount", { n: number(n) });

function render() {
  const { reply, took } = shown ?? {};
  parts.phrases.hidden = !shown?.expanded;
  find(".found", root).classList.toggle("beside", Boolean(shown?.expanded));
  if (!shown) {
    fill(parts.took);
    fill(parts.hits);
    return;
  }
  tell(parts.took, hitCount(reply.hits.length), { took, reply });
  fill(parts.empty, reply.hits.length ? null : node("p", {}, word("nothingFound")));
  fill(parts.hits, reply.hits.map(hit));
  if (shown.expanded) fill(find("ul", parts.phrases), phraseList());
  fitAnswers();
}

/** Offers to open the answers that are cut off. */
function fitAnswers() {
  for (const answer of all(".answer", root)) {
    answer.nextElementSibling.hidden = !answer.matches(".whole") && answer.scrollHeight <= answer.clientHeight;
  }
}

/** The query and the phrases, each with its score and how many hits it found best. */
function phraseList() {
  const found = new Map();
  for (const hit of shown.reply.hits) found.set(hit.phrase, (found.get(hit.phrase) ?? 0) + 1);
  const rows = [{ text: shown.text, score: 1, itself: true }, ...shown.reply.phrases];
  return rows.map(({ text, score, itself }) => {
    const count = found.get(text) ?? 0;
    const pressed = phrase === text;
    const choose = () => {
      phrase = pressed ? null : text;
      render();
      find("[aria-pressed=true]", parts.phrases)?.focus();
    };
    return node("li", {}, node("button", { type: "button", onclick: choose, "aria-pressed": String(pressed), disabled: !count },
      node("span.text", {}, text), bar(score),
      node("span.numbers", {}, node("span", {}, itself ? word("itself") : number(score, 3)), node("span", {}, count ? hitCount(count) : "–"))));
  });
}

function hit(found) {
  const { question, score, probability } = found;
  const answer = question.answer ? node("p.answer", {}, question.answer) : null;
  const open = answer && node("button.plain.more", { type: "button", "aria-expanded": "false", onclick: (event) => {
    const long = answer.classList.toggle("whole");
    event.target.setAttribute("aria-expanded", String(long));
    event.target.textContent = word(long ? "less" : "more");
  } }, word("more"));
  const tags = [question.id, question.faqId && `FAQ ${question.faqId}`,
    ...Object.entries(question.metadata ?? {}).map(([key, value]) => `${key} ${Object.values(value)[0]}`)];
  const by = shown.expanded && found.phrase && found.phrase !== shown.text
    ? node("p.by", {}, word("foundBy", { phrase: found.phrase })) : null;
  const item = node("li", {},
    node("div.what", {}, node("h3", {}, question.text), answer, open, by,
      node("p.tags", {}, tags.filter(Boolean).map((tag) => node("span", {}, tag)))),
    node("div.score", {},
      probability === undefined ? null : node("b", { title: word("probability") }, percent(probability)),
      bar(score), node("span", {}, word("cosine", { x: number(score, 3) }))));
  item.classList.toggle("dim", phrase !== null && found.phrase !== phrase);
  return item;
}

/** Offers questions of the bank while nothing was asked. */
async function offer() {
  const bank = current();
  if (shown || turn.running) return;
  if (!bank) {
    fill(parts.empty, known().length ? null : node("p", {}, word("noBanks"), " ", node("a", { href: "#banks" }, word("newBank"))));
    return;
  }
  let questions = [];
  try {
    ({ reply: { questions } } = await api.questions(bank, OFFERED));
  } catch (error) {
    if (bank === current() && !shown) fill(parts.failure, failure(error));
    return;
  }
  if (bank !== current() || shown || turn.running) return;
  fill(parts.failure);
  fill(parts.empty, questions.length
    ? [node("p", {}, word("tryOne")), node("ul.offers", {}, questions.map(({ text }) =>
      node("li", {}, node("button", { type: "button", onclick: () => ask(text) }, text))))]
    : node("p", {}, word("nothingInBank"), " ", node("a", { href: "#import" }, word("importSome"))));
}

export function ready() {
  parts.form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  for (const way of all("[name=way]", root)) {
    way.addEventListener("change", () => {
      all(".only-expanded", root).forEach((option) => { option.hidden = !expanded(); });
      if (query.value.trim()) run();
    });
  }
  find(".options", root).addEventListener("change", (event) => {
    if (event.target.name !== "way" && query.value.trim()) run();
  });
  addEventListener("resize", () => requestAnimationFrame(fitAnswers));
  if (matchMedia("(min-width: 48rem)").matches && !location.hash.includes("#")) query.focus({ preventScroll: true });
}

export function show() {
  if (shown && shown.bank !== current()) {
    shown = null;
    render();
    if (query.value.trim()) return run();
  }
  return offer();
}

export function translated() {
  render();
  if (!root.hidden) offer();
}
