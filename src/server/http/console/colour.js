// Colours of kinds: few kinds get colours that are far apart, many get a hue of their name.

/** Hues that are told apart easily, the most frequent kind first. */
const HUES = [180, 45, 280, 130, 15, 240, 85, 330, 210, 60, 305, 155];
const NONE = { light: "oklch(0.72 0.01 260)", dark: "oklch(0.55 0.01 260)" };

const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;
const tone = (hue, step, chroma) => (dark() ? `oklch(${0.76 - 0.05 * step} ${chroma} ${hue})` : `oklch(${0.6 + 0.06 * step} ${chroma} ${hue})`);

/** FNV-1a. */
function hash(text) {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}

/** The kinds with their counts, most frequent first, and the colour of each; `undefined` is a kind, too. */
export function colourer(kinds) {
  const counted = new Map();
  for (const kind of kinds) counted.set(kind, (counted.get(kind) ?? 0) + 1);
  const counts = [...counted].sort(([a, m], [b, n]) => (a === undefined) - (b === undefined) || n - m || (a < b ? -1 : 1));
  const named = counts.filter(([kind]) => kind !== undefined);
  const few = named.length <= HUES.length; // of many, one says little, and all are softer
  const colours = new Map(named.map(([kind], i) => [kind, few ? tone(HUES[i], 0, 0.13) : tone(hash(kind) % 360, (hash(kind) >>> 9) % 3, 0.1)]));
  return { counts, of: (kind) => colours.get(kind) ?? NONE[dark() ? "dark" : "light"] };
}
