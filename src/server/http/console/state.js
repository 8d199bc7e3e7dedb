// What the views share: the bank that is chosen, and all banks.

import * as api from "./api.js";

const STORED = "simbert-bank";
const shared = { bank: null, banks: [], model: null };

/** Tells of changes: "banks", "bank". */
export const changes = new EventTarget();
const tell = (what) => changes.dispatchEvent(new Event(what));

export const current = () => shared.bank;
export const known = () => shared.banks;
export const served = () => shared.model;

/** Reads the banks and the model again, and chooses `wanted` where no bank is chosen yet; the time that it took. */
export async function refresh(wanted) {
  const { reply, took } = await api.banks();
  shared.banks = reply.banks;
  shared.model = (await api.model().catch(() => null))?.reply ?? null; // the rest serves without it
  const names = shared.banks.map((bank) => bank.name);
  if (!names.includes(shared.bank)) {
    shared.bank = [wanted, localStorage.getItem(STORED)].find((name) => names.includes(name)) ?? largest(shared.banks);
    tell("bank");
  }
  tell("banks");
  return took;
}

const largest = (banks) =>
  banks.reduce((best, bank) => (best && Number(best.questions) >= Number(bank.questions) ? best : bank), null)?.name ?? null;

export function choose(bank) {
  if (bank === shared.bank || !shared.banks.some(({ name }) => name === bank)) return;
  shared.bank = bank;
  localStorage.setItem(STORED, bank);
  tell("bank");
}
