// The page's frame: views, the bank, the language.

import { key } from "./api.js";
import * as banks from "./banks.js";
import { all, failure, fill, find, node } from "./dom.js";
import * as generate from "./generate.js";
import * as importing from "./import.js";
import * as map from "./map.js";
import * as search from "./search.js";
import { changes, choose, current, known, refresh } from "./state.js";
import { language, speak, translate, word } from "./words.js";

const STORED = "simbert-language";
const VIEWS = { search, generate, map, import: importing, banks };

/** The view and the bank that the address names: #map/faq. */
function address() {
  const [view, bank] = location.hash.slice(1).split("/").map(decodeURIComponent);
  return { view: view in VIEWS ? view : "search", bank };
}

function show() {
  const { view, bank } = address();
  if (bank) choose(bank);
  for (const section of all("main > section")) section.hidden = section.id !== view;
  for (const link of all("nav a")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${word(view)} · simbert`;
  VIEWS[view].show();
}

function showBanks() {
  const select = find("#bank");
  const options = known().map(({ name }) => node("option", { value: name }, name));
  fill(select, options.length ? options : node("option", { value: "" }, word("noBank")));
  select.disabled = !options.length;
  select.value = current() ?? "";
}

function say(wanted) {
  speak(wanted);
  translate();
  const button = find("#language");
  button.textContent = word("other");
  button.lang = language() === "zh" ? "en" : "zh-Hans";
  showBanks();
  Object.values(VIEWS).forEach((view) => view.translated?.());
  document.title = `${word(address().view)} · simbert`;
}

async function start() {
  try {
    await refresh(address().bank);
    fill(find("#trouble"));
  } catch (error) {
    fill(find("#trouble"), failure(error, start));
  }
  show();
}

addEventListener("hashchange", show);
addEventListener("keydown", (event) => {
  const typing = /^(input|textarea|select)$/i.test(event.target.tagName) || find("dialog[open]");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  location.hash = "search";
  find("#search").hidden = false;
  find("#query").focus();
  find("#query").select();
});
find(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says which view it is
  find("#main").focus();
});
find("#bank").addEventListener("change", (event) => {
  choose(event.target.value);
  history.replaceState(null, "", `#${address().view}/${encodeURIComponent(event.target.value)}`);
});
find("#language").addEventListener("click", () => {
  const other = language() === "zh" ? "en" : "zh";
  localStorage.setItem(STORED, other);
  say(other);
});
const showKey = () => { find("#key").hidden = !key.get(); };
find("#key").addEventListener("click", () => {
  key.set(null);
  showKey();
});
document.addEventListener("key", showKey);
changes.addEventListener("banks", showBanks);
changes.addEventListener("bank", () => {
  find("#bank").value = current() ?? "";
  VIEWS[address().view].show();
});

showKey();
Object.values(VIEWS).forEach((view) => view.ready?.());
say(localStorage.getItem(STORED) ?? navigator.language ?? "en");
start();
