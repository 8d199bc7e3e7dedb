// Similar questions, with the settings of the sampler.

import * as api from "./api.js";
import { bar, fill, find, node, number } from "./dom.js";
import { ask } from "./search.js";
import { tell } from "./took.js";
import { Turn } from "./turn.js";
import { word } from "./words.js";

const root = find("#generate");
const form = find("form", root);
const parts = Object.fromEntries(["took", "empty", "written"].map((name) => [name, find(`.${name}`, root)]));
const turn = new Turn(root);
let shown = null;

/** What is asked for; empty numbers are left to the server. */
function request() {
  const value = (name) => (form.elements[name].value === "" ? undefined : form.elements[name].valueAsNumber);
  const names = ["samples", "temperature", "topK", "topP", "copyPenalty", "seed"];
  const sampling = Object.fromEntries(names.map((name) => [name, value(name)]));
  return { text: find("#text").value.trim(), k: value("k"), sampling };
}

function run() {
  const asked = request();
  if (!asked.text) return;
  turn.take(asked.text, word("generating"), (signal) => api.generate(asked, { signal }), (answer) => {
    shown = answer;
    render();
  });
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
  if (!shown && !turn.running) render();
};

export const translated = render;
