// What tests ask of the page that a sentence of Python does not say. Runs in the page, one function at a time.

const short = (node) => node.outerHTML.slice(0, 90);
const shownCanvas = () => {
  const canvas = document.querySelector("#map canvas");
  const { width, height } = canvas;
  return { canvas, width, height, data: canvas.getContext("2d").getImageData(0, 0, width, height).data };
};

const looks = {
  /** Whether the view that is shown waits for nothing. */
  settled: () => !document.querySelector("main > section:not([hidden])")?.matches("[aria-busy]"),

  text: (selector) => document.querySelector(selector)?.innerText ?? "",

  texts: (selector) => [...document.querySelectorAll(selector)].map((node) => node.innerText),

  /** Sets a field as if it was typed and left. */
  put(node, value) {
    node.value = value;
    for (const kind of ["input", "change"]) node.dispatchEvent(new Event(kind, { bubbles: true }));
  },

  /** How much of a bar is filled, 0 to 1. */
  filled(selector) {
    const bar = document.querySelector(selector);
    return bar.firstChild.offsetWidth / bar.offsetWidth;
  },

  /** Pixels of an answer that are cut off. */
  clipped(button) {
    const answer = button.parentNode.querySelector(".answer");
    return answer.scrollHeight - answer.clientHeight;
  },

  /** The text of the view that is shown, without what is a bank's, a file's or a key's. */
  saidByPage() {
    const said = document.querySelector("main > section:not([hidden])").cloneNode(true);
    const others = ".hits, .offers, .legend, .twins, .card, .list h2, .title p, .bank-name, option, code, kbd";
    said.querySelectorAll(others).forEach((node) => node.remove());
    return said.innerText;
  },

  /** Words that the page asks for, and that are not there. */
  async missingWords() {
    const main = document.querySelector("script[type=module]").src;
    const { known } = await import(main.replace("main.js", "words.js"));
    const nodes = [...document.querySelectorAll("[data-word], [data-placeholder], [data-label]")];
    const asked = nodes.flatMap(({ dataset }) => [dataset.word, dataset.placeholder, dataset.label]);
    return asked.filter((key) => key && !known(key));
  },

  /** The contrast of pairs of colours. Source: WCAG 2.2, relative luminance. */
  contrasts() {
    const style = getComputedStyle(document.documentElement);
    const linear = (x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    const light = (name) => {
      const hex = style.getPropertyValue(name).trim();
      const [r, g, b] = [1, 3, 5].map((i) => linear(Number.parseInt(hex.slice(i, i + 2), 16) / 255));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
    const pairs = ["ink", "soft", "faint", "accent", "alarm"].flatMap((ink) => [[ink, "paper"], [ink, "card"]]);
    pairs.push(["accent", "accent-wash"], ["soft", "accent-wash"], ["accent-ink", "accent"], ["alarm", "alarm-wash"]);
    return Object.fromEntries(pairs.map(([a, b]) => [`${a} on ${b}`, ratio(`--${a}`, `--${b}`)]));
  },

  /** What reaches beyond the screen, but for what scrolls by itself. */
  beyond(width) {
    const outside = (node) => node.getBoundingClientRect().right > width + 1 && !node.closest(".wide, nav")
      && getComputedStyle(node).position !== "absolute";
    return [...document.querySelectorAll("main *, header *")].filter(outside).map(short);
  },

  /** Controls that are lower than so many pixels. */
  lowerThan(pixels) {
    const low = (node) => node.offsetParent && node.offsetHeight < pixels;
    return [...document.querySelectorAll("button, select")].filter(low).map(short);
  },

  /** What a keyboard must reach; of radio buttons, one is reached for all. */
  reachable() {
    const nodes = [...document.querySelectorAll("a[href], button, input, select, canvas, [tabindex='0']")];
    return nodes.filter((node) => node.offsetParent && !node.disabled && node.type !== "radio" && !node.matches(".skip"));
  },

  /** Whether one sees that a node has the focus. */
  ringed(node) {
    const ring = (node) => {
      const { outlineStyle, outlineWidth } = node ? getComputedStyle(node) : { outlineStyle: "none" };
      return outlineStyle !== "none" && Number.parseFloat(outlineWidth) > 0;
    };
    return ring(node) || ring(node.nextElementSibling);
  },

  short,

  /** A place well inside of a point of the map, from the canvas's middle. */
  pointOfMap() {
    const { canvas, width, height, data } = shownCanvas();
    const solid = (x, y) => data[4 * (y * width + x) + 3] > 200;
    for (let y = Math.floor(height / 3); y < height - 40; y += 1) {
      for (let x = 40; x < width - 60; x += 1) {
        if (solid(x, y) && solid(x, y + 2) && solid(x - 1, y + 1) && solid(x + 1, y + 1)) {
          return [x / devicePixelRatio - canvas.clientWidth / 2, (y + 1) / devicePixelRatio - canvas.clientHeight / 2];
        }
      }
    }
    return null;
  },

  /** A hash of what the map shows. */
  mapDrawn: () => shownCanvas().data.reduce((hash, byte) => (Math.imul(hash, 31) + byte) | 0, 7),
};
