// Short work of nodes, numbers and errors. Text goes in as text, never as HTML.

import { known, language, word } from "./words.js";

export const find = (selector, root = document) => root.querySelector(selector);
export const all = (selector, root = document) => [...root.querySelectorAll(selector)];

/** A node: its tag with classes ("p.hint"), its properties, what is in it. */
export function node(tag, properties = {}, ...inside) {
  const [name, ...classes] = tag.split(".");
  const made = document.createElement(name);
  made.classList.add(...classes);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key in made && !key.includes("-")) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...inside.flat().filter((part) => part !== null && part !== undefined && part !== false));
  return made;
}

/** Puts nodes in the place of all that a node holds. */
export const fill = (root, ...inside) => root.replaceChildren(...inside.flat().filter(Boolean));

const locale = () => (language() === "zh" ? "zh-CN" : "en-GB");

export const number = (x, digits = 0) =>
  new Intl.NumberFormat(locale(), { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(x);

/** What is not sure does not read as if it were. */
export const percent = (x) => `${number(x < 1 ? Math.min(x * 100, 99.9) : 100, x * 100 < 99.5 ? 0 : 1)} %`;

export const milliseconds = (ms) => `${number(ms, ms < 100 ? 1 : 0)} ms`;

export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let power = 0;
  while (count >= 1024 && power < units.length - 1) {
    count /= 1024;
    power += 1;
  }
  return `${number(count, power && count < 100 ? 1 : 0)} ${units[power]}`;
}

export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "…";
  const whole = Math.max(0, Math.ceil(seconds));
  const two = (x) => String(x).padStart(2, "0");
  const minutes = `${Math.floor(whole / 60) % 60}:${two(whole % 60)}`;
  return whole < 3600 ? minutes : `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

/** A bar as long as `share`, 0 to 1; the number stands beside it. */
export function bar(share, kind = "") {
  const fill = node("i");
  fill.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  const made = node("div.bar", { "aria-hidden": "true" }, fill);
  if (kind) made.classList.add(kind);
  return made;
}

/** Says what went wrong, with a way out where there is one. */
export function failure(error, again) {
  const title = word(known(error.code) ? error.code : "FAILED");
  const sentence = error.code === "UNREACHABLE" ? word("unreachableHint") : error.message;
  return node("div.error", { role: "alert" }, node("strong", {}, title), node("p", {}, sentence),
    again && node("button", { type: "button", onclick: again }, word("tryAgain")));
}
