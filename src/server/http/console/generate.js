// Similar questions, with the settings of the sampler.

import * as api from "./api.js";
import { bar, failure, fill, find, node, number } from "./dom.js";
import { ask } from "./search.js";
import { tell } from "./took.js";
import { word } from "./words.js";

const root = find("#generate");
const form = find("form", root);
const parts = Object.fromEntries(["took", "failure", "empty", "written"].map((name) => [name, find(`.${name}`, root)]));
let shown = null;
let running = null;

/** What is asked for; empty numbers are left to the server. */
function request() {
  const value = (name) => (form.elements[name].value === "" ? undefined : form.elements[name].valueAsNumber);
  const names = ["samples", "temperature", "topK", "topP", "copyPenalty", "seed"];
  const sampling = Object.fromEntries(names.map((name) => [name, value(name)]));
  return { text: find("#text").value.trim(), k: value("k"), sampling };
}

async function run() {
  running?.abort();
  if (!find("#text").value.trim()) return;
  const mine = (running = new AbortController());
  root.setAttribute("aria-busy", "true");
  fill(parts.took, word("generating"));
  fill(parts.failure);
  try {
    shown = await api.generate(request(), { signal: mine.signal });
    render();
  } catch (error) {
    if (error.name === "AbortError") return;
    shown = null;
    render();
    fill(parts.failure, failure(error, error.code === "UNREACHABLE" ? run : null));
  } finally {
    if (running === mine) {
      running = null;
      root.removeAttribute("aria-busy");
    }
  }
}

function render() {
  if (!shown) {
    fill(parts.took);
    fill(parts.written);
    fill(parts.empty, node("p", {}, word("generateHint")));
    return;
  }
  const { paraphrases } = shown.reply;
  tell(parts.took, word("writtenCount", { n: number(paraphrases.length) }), shown);
  fill(parts.empty, paraphrases.length ? null : node("p", {}, word("nothingWritten")));
  fill(parts.written, paraphrases.map(({ text, score }) => node("li", {},
    node("span.text", {}, text), bar(score), node("span.number", { title: word("cosine", { x: "" }).trim() }, number(score, 3)),
    node("span.acts", {},
      node("button.plain", { type: "button", onclick: () => ask(text) }, word("searchThis")),
      node("button.plain", { type: "button", onclick: (event) => copy(text, event.target) }, word("copy"))))));
}

/** Copies, also where the page has no secure context and so no clipboard of its own. */
async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = node("textarea.unseen", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = word("copied");
  setTimeout(() => { button.textContent = word("copy"); }, 1500);
}

export function ready() {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
}

export const show = () => {
  if (!shown && !running) render();
};

export const translated = render;
