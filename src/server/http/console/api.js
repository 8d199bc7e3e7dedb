// Calls of the server, as JSON, with the time that each took.

import { find } from "./dom.js";

const STORED = "simbert-key";

/** An answer that is an error: its code is a gRPC status' name, or UNREACHABLE. */
export class CallError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export const key = {
  get: () => sessionStorage.getItem(STORED),
  set: (value) => (value ? sessionStorage.setItem(STORED, value) : sessionStorage.removeItem(STORED)),
};

/** Milliseconds of a duration such as "0.0012s"; 0 without one. */
const ms = (text) => (text ? 1000 * Number.parseFloat(text) : 0);

/** Stages of a reply's timings, in milliseconds and in their order. */
export function stages(timings = {}) {
  const names = { queue: "queue", tokenise: "tokenise", infer: "infer", generate: "write", search: "look" };
  return Object.entries(names).map(([field, name]) => [name, ms(timings[field])]).filter(([, time]) => time >= 0.05);
}

/**
 * Calls: the reply, and its round trip in milliseconds. Paths are relative, so that the page can lie behind a prefix.
 * A server that asks for a key is given one, if the user has one.
 */
export async function call(method, path, body, { signal } = {}) {
  const sent = key.get();
  const answer = await once(method, path, body, sent, signal);
  if (answer.error?.code !== "UNAUTHENTICATED") return settled(answer);
  const fresh = key.get() !== sent ? key.get() : await askForKey();
  if (!fresh) return settled(answer);
  return settled(await once(method, path, body, fresh, signal));
}

function settled(answer) {
  if (answer.error) throw answer.error;
  return answer;
}

async function once(method, path, body, bearer, signal) {
  const headers = {};
  if (bearer) headers.authorization = `Bearer ${bearer}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const started = performance.now();
  let response, text;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal,
      credentials: "omit", cache: "no-store" });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { error: new CallError("UNREACHABLE", error.message) };
  }
  const took = performance.now() - started;
  let reply;
  try {
    reply = JSON.parse(text);
  } catch {
    reply = { error: { code: "FAILED", message: `HTTP ${response.status}` } }; // a proxy's own page, perhaps
  }
  if (response.status === 401) return { error: new CallError("UNAUTHENTICATED", reply.error?.message ?? "") };
  if (!response.ok) return { error: new CallError(reply.error?.code ?? "FAILED", reply.error?.message ?? `HTTP ${response.status}`) };
  return { reply, took };
}

let asking; // one dialog for all calls that wait

/** Asks for the key; null when the user has none. */
function askForKey() {
  asking ??= new Promise((resolve) => {
    const dialog = find("#ask-key");
    const form = find("form", dialog);
    form.reset();
    find("[value=cancel]", dialog).onclick = () => dialog.close("");
    form.onsubmit = () => key.set(form.elements.key.value.trim());
    dialog.onclose = () => {
      asking = undefined;
      const given = dialog.returnValue === "" ? null : key.get();
      document.dispatchEvent(new Event("key"));
      resolve(given);
    };
    dialog.returnValue = "";
    find("[type=submit]", dialog).value = "given";
    dialog.showModal();
  });
  return asking;
}

const bankPath = (bank) => `v1/banks/${encodeURIComponent(bank)}`;

export const model = () => call("GET", "v1/model");
export const banks = () => call("GET", "v1/banks");
export const bank = (name) => call("GET", bankPath(name));
export const createBank = (settings) => call("POST", "v1/banks", settings);
export const questions = (bank, most) => call("GET", `${bankPath(bank)}/questions?pageSize=${most}`);
export const upsert = (bank, list, options) => call("POST", `${bankPath(bank)}/questions`, { questions: list }, options);
export const search = (bank, request, options) => call("POST", `${bankPath(bank)}/search`, request, options);
export const expand = (bank, request, options) => call("POST", `${bankPath(bank)}/search:expanded`, request, options);
export const generate = (request, options) => call("POST", "v1/generate", request, options);
export const map = (bank, request, options) => call("GET", `${bankPath(bank)}/map?${new URLSearchParams(request)}`, undefined, options);
