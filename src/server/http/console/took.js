// How long a call took: in all, by stage, and as a strip of stages.

import { stages } from "./api.js";
import { fill, milliseconds, node, number } from "./dom.js";
import { word } from "./words.js";

/** Says what came of a call and what it took. */
export function tell(line, said, { took, reply } = {}) {
  if (took === undefined) return fill(line, said);
  const parts = stages(reply.timings);
  const rest = Math.max(0, took - parts.reduce((sum, [, time]) => sum + time, 0));
  const all = parts.length ? [...parts, ["rest", rest]] : [];
  const strip = all.map(([name, time]) => {
    const part = node(`i.${name}`);
    part.style.flexGrow = String(time / took);
    return part;
  });
  const named = all.map(([name, time]) => node("span.stage", {}, node(`i.${name}`), `${word(name)} ${number(time, 1)}`));
  return fill(line, node("b", {}, said), node("span", {}, word("roundTrip", { ms: milliseconds(took) })),
    all.length ? node("span.strip", { "aria-hidden": "true" }, strip) : null, ...named);
}
