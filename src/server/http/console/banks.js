// The banks: what they hold, how they are, and new ones.

import * as api from "./api.js";
import { bar, bytes, failure, fill, find, node, number, percent } from "./dom.js";
import { changes, choose, current, known, refresh, served } from "./state.js";
import { tell } from "./took.js";
import { word } from "./words.js";

const root = find("#banks");
const parts = Object.fromEntries(["took", "failure", "empty", "list", "model"].map((name) => [name, find(`.${name}`, root)]));
const dialog = find("#create");
const form = find("form", dialog);
const opened = new Map(); // what GetBank said of banks whose details are shown
let took;

/** How a bank is: a kind for the dot, and a word. */
function health(bank) {
  if (served() && bank.modelFingerprint !== served().fingerprint) return ["foreign", word("foreign")];
  if (Number(bank.damagedGraphs) > 0) return ["damaged", word("damaged", { n: number(Number(bank.damagedGraphs)) })];
  if (Number(bank.indexBytes) === 0 && Number(bank.questions) > 0) return ["asleep", word("notOpen")];
  return ["healthy", word("healthy")];
}

function render() {
  const banks = known();
  tell(parts.took, word("bankCount", { n: number(banks.length) }), { took, reply: {} });
  fill(parts.empty, banks.length ? null : node("p", {}, word("noBanks")));
  fill(parts.list, banks.map((bank) => row(opened.get(bank.name) ?? bank)));
  const model = served();
  if (!model) return;
  const { hits, misses } = model.cache ?? { hits: 0, misses: 0 };
  fill(parts.model, word("serverModel", { fingerprint: model.fingerprint, width: model.dimension,
    hits: number(Number(hits)), all: number(Number(hits) + Number(misses)) }));
}

function row(bank) {
  const [kind, said] = health(bank);
  const fact = (value, name) => node("div.fact", {}, node("b", {}, value), node("span", {}, name));
  const isOpen = opened.has(bank.name);
  const use = node("a", { href: `#search/${encodeURIComponent(bank.name)}` }, word("use"));
  return node("li", {},
    node("div.summary", {},
      node("div.title", {}, node("h2", {}, bank.name), bank.description ? node("p", {}, bank.description) : null,
        node(`p.health.${kind}`, {}, node("i"), said)),
      fact(number(Number(bank.questions)), word("questions")),
      fact(number(Number(bank.faqs)), word("faqs")),
      fact(bytes(Number(bank.bytesOnDisk)), word("onDisk")),
      node("div.acts", {}, use, node("button.plain", { type: "button", "aria-expanded": String(isOpen), onclick: () => toggle(bank.name) }, word("details")))),
    isOpen ? details(bank) : null);
}

function details(bank) {
  const all = Number(bank.questions);
  const inGraph = Number(bank.questionsInGraph);
  const share = all ? inGraph / all : 0;
  const bits = { QUANTISATION_INT8: 8, QUANTISATION_F16: 16, QUANTISATION_OFF: 32 };
  const line = (name, ...value) => [node("dt", {}, name), node("dd", {}, ...value)];
  return node("dl.details", {},
    line(word("inGraph"), bar(share), `${number(inGraph)} · ${percent(share)}`,
      inGraph < all ? node("span.hint", {}, word("linking", { n: number(all - inGraph) })) : null),
    line(word("inMemory"), bytes(Number(bank.indexBytes))),
    line(word("vectors"), word("width", { n: bank.dimension, bits: bits[bank.quantisation] ?? "?" })),
    line(word("modelOf"), node("code", {}, bank.modelFingerprint)));
}

/** Shows a bank's details; to know them, the server opens the bank. */
async function toggle(name) {
  if (opened.delete(name)) return render();
  fill(parts.failure);
  try {
    opened.set(name, (await api.bank(name)).reply.bank);
    render();
  } catch (error) {
    fill(parts.failure, failure(error));
  }
}

async function create(event) {
  event.preventDefault();
  const value = (name) => form.elements[name].value.trim();
  const settings = { name: value("name"), description: value("description"), quantisation: value("quantisation") };
  fill(find(".failure", form));
  try {
    await api.createBank(settings);
    dialog.close();
    await reload();
    choose(settings.name);
  } catch (error) {
    fill(find(".failure", form), failure(error));
  }
}

async function reload() {
  try {
    took = await refresh();
    fill(parts.failure);
  } catch (error) {
    fill(parts.failure, failure(error, reload));
  }
}

export function ready() {
  changes.addEventListener("banks", render);
  find(".new", root).addEventListener("click", () => {
    form.reset();
    fill(find(".failure", form));
    dialog.showModal();
  });
  find("[value=cancel]", form).addEventListener("click", () => dialog.close());
  form.addEventListener("submit", create);
}

let seen; // the bank that was chosen when the view was last shown

export const show = () => {
  if (seen === current()) reload();
  seen = current();
  render();
};

export const translated = render;
