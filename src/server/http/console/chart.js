// The drawing: points in a plane, to look at by pointer, touch and keyboard.

/** Pixels: around the points, of a point at most, from which a pointer finds it; how far one can look in; how unlike axes may be. */
const [MARGIN, RADIUS, REACH, DEEPEST, STRETCH] = [28, 3.6, 14, 60, 1.5];
const TURN = 2 * Math.PI;

export class Chart {
  /** `hovered(place, at)`, `chosen(place)` and `entered(place)` are told of; a place is a number of a point, or null. */
  constructor(canvas, told) {
    Object.assign(this, { canvas, told, points: [], pairs: [], looks: [], chosen: null, hovered: null, pointers: new Map() });
    this.view = { x: 0, y: 0, scale: 1 };
    this.reach = { x: 1, y: 1 };
    new ResizeObserver(() => this.draw()).observe(canvas);
    const on = (kind, act, options) => canvas.addEventListener(kind, act.bind(this), options);
    on("pointerdown", this.down);
    on("pointermove", this.move);
    on("pointerup", this.up);
    on("pointercancel", this.up);
    on("pointerleave", () => this.hover(null));
    on("wheel", this.wheel, { passive: false });
    on("dblclick", (event) => this.zoom(2, this.inside(event)));
    on("keydown", this.key);
    on("focus", () => this.draw());
    on("blur", () => this.draw());
  }

  /** Takes points, pairs of them, and how each looks: `{ colour, dim }`. */
  show(points, pairs, look) {
    if (points !== this.points) [this.chosen, this.hovered] = [null, null];
    Object.assign(this, { points, pairs, looks: points.map(look) });
    const farthest = (axis) => points.reduce((most, point) => Math.max(most, Math.abs(point[axis])), 0.05);
    this.reach = { x: farthest("x"), y: farthest("y") };
    this.groups = new Map(pairs.flatMap((pair) => [[pair.first, pair], [pair.second, pair]]));
    for (const pair of pairs.filter(({ oneFaq }) => !oneFaq)) this.groups.set(pair.first, pair).set(pair.second, pair);
    this.draw();
  }

  get size() {
    return { width: this.canvas.clientWidth, height: this.canvas.clientHeight };
  }

  /** Pixels of a unit of the plane, by axis: all points fill the canvas, but neither axis is stretched too far. */
  get unit() {
    const { width, height } = this.size;
    const fit = { x: (Math.max(80, width) / 2 - MARGIN) / this.reach.x, y: (Math.max(80, height) / 2 - MARGIN) / this.reach.y };
    const { scale } = this.view;
    return { x: Math.min(fit.x, STRETCH * fit.y) * scale, y: Math.min(fit.y, STRETCH * fit.x) * scale };
  }

  /** Where a point is on the canvas. */
  at({ x, y }, unit = this.unit) {
    const { width, height } = this.size;
    return { x: width / 2 + (x - this.view.x) * unit.x, y: height / 2 - (y - this.view.y) * unit.y };
  }


  inside(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.paint();
    });
  }

  paint() {
    const { canvas, points, looks } = this;
    const { width, height } = this.size;
    if (!width) return;
    const ratio = devicePixelRatio;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    }
    const pen = canvas.getContext("2d");
    const ink = (name) => getComputedStyle(canvas).getPropertyValue(name);
    const [alarm, line, text] = [ink("--alarm"), ink("--line-strong"), ink("--ink")];
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const unit = this.unit;
    const radius = Math.min(RADIUS, Math.max(1.6, 0.17 * Math.sqrt((width * height) / points.length))) * Math.min(2.4, this.view.scale ** 0.4);
    for (const pair of this.pairs) {
      const [a, b] = [this.at(points[pair.first], unit), this.at(points[pair.second], unit)];
      pen.strokeStyle = pair.oneFaq ? line : alarm;
      pen.lineWidth = pair.oneFaq ? 1 : 1.5;
      pen.beginPath();
      pen.moveTo(a.x, a.y);
      pen.lineTo(b.x, b.y);
      pen.stroke();
    }
    const ring = (place, style, wider, thick) => {
      const { x, y } = this.at(points[place], unit);
      pen.strokeStyle = style;
      pen.lineWidth = thick;
      pen.beginPath();
      pen.arc(x, y, radius + wider, 0, TURN);
      pen.stroke();
    };
    points.forEach((point, place) => {
      const { x, y } = this.at(point, unit);
      if (x < -9 || y < -9 || x > width + 9 || y > height + 9) return;
      pen.globalAlpha = looks[place].dim ? 0.12 : 0.88;
      pen.fillStyle = looks[place].colour;
      pen.beginPath();
      pen.arc(x, y, radius, 0, TURN);
      pen.fill();
      const pair = this.groups.get(place);
      if (pair) ring(place, pair.oneFaq ? line : alarm, 2.5, pair.oneFaq ? 1 : 1.5);
    });
    pen.globalAlpha = 1;
    if (this.hovered !== null) ring(this.hovered, text, 2, 1.5);
    if (this.chosen !== null) ring(this.chosen, text, 4, document.activeElement === canvas ? 3 : 2);
  }

  /** Shows all. */
  all() {
    this.view = { x: 0, y: 0, scale: 1 };
    this.draw();
  }

  /** Looks closer, `about` a place of the canvas, or the middle. */
  zoom(factor, about) {
    const { width, height } = this.size;
    const { x, y } = about ?? { x: width / 2, y: height / 2 };
    const scale = Math.min(DEEPEST, Math.max(1, this.view.scale * factor));
    const before = this.unit;
    this.view.scale = scale;
    const after = this.unit;
    this.view.x += (x - width / 2) * (1 / before.x - 1 / after.x);
    this.view.y -= (y - height / 2) * (1 / before.y - 1 / after.y);
    this.keep();
  }

  pan(dx, dy) {
    this.view.x -= dx / this.unit.x;
    this.view.y += dy / this.unit.y;
    this.keep();
  }

  /** Keeps the points in sight. */
  keep() {
    const most = 1.2 - 1 / this.view.scale;
    for (const axis of ["x", "y"]) this.view[axis] = Math.min(Math.max(0, most), Math.max(-Math.max(0, most), this.view[axis]));
    // One finger scrolls the page while there is nothing to pan.
    this.canvas.style.touchAction = this.view.scale > 1 ? "none" : "pan-y";
    this.draw();
  }

  /** Goes to a pair of points, and chooses the first. */
  visit(first, second) {
    const [a, b] = [this.points[first], this.points[second]];
    this.view = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, scale: Math.min(12, Math.max(2, 0.7 / Math.max(Math.abs(a.x - b.x), Math.abs(a.y - b.y), 0.06))) };
    this.keep();
    this.choose(first);
  }

  choose(place) {
    this.chosen = place;
    this.told.chosen(place);
    this.draw();
  }

  hover(place, at) {
    if (place === this.hovered && place === null) return;
    this.hovered = place;
    this.canvas.classList.toggle("over", place !== null);
    this.told.hovered(place, at);
    this.draw();
  }

  /** The point nearest to a place of the canvas, within reach. */
  near({ x, y }) {
    let best = null;
    let least = REACH * REACH;
    const unit = this.unit;
    this.points.forEach((point, place) => {
      const at = this.at(point, unit);
      const square = (at.x - x) ** 2 + (at.y - y) ** 2;
      if (square < least) [best, least] = [place, square];
    });
    return best;
  }

  down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.inside(event));
    this.moved = this.pointers.size > 1;
  }

  move(event) {
    const at = this.inside(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) return this.hover(this.near(at), at);
    if (this.pointers.size === 1) {
      if (Math.hypot(at.x - before.x, at.y - before.y) < 3 && !this.moved) return undefined;
      this.moved = true;
      this.hover(null);
      this.pan(at.x - before.x, at.y - before.y);
    } else {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const span = (point) => Math.max(1, Math.hypot(point.x - other.x, point.y - other.y));
      this.zoom(span(at) / span(before), { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 });
    }
    this.pointers.set(event.pointerId, at);
    return undefined;
  }

  up(event) {
    if (!this.pointers.delete(event.pointerId) || event.type !== "pointerup" || this.moved) return;
    const at = this.inside(event);
    const place = this.near(at);
    this.choose(place);
    if (event.pointerType === "touch") this.hover(place, at); // a finger does not hover
  }

  /** The wheel scrolls the page, unless it is meant for the map. */
  wheel(event) {
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== this.canvas) return;
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY / (event.ctrlKey ? 120 : 400)), this.inside(event));
  }

  key(event) {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (ways[event.key]) this.step(ways[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoom(1.6, this.chosen === null ? undefined : this.at(this.points[this.chosen]));
    else if (event.key === "-") this.zoom(1 / 1.6);
    else if (event.key === "0") this.all();
    else if (event.key === "Escape") this.choose(null);
    else if (event.key === "Enter" && this.chosen !== null) this.told.entered(this.chosen);
    else return;
    event.preventDefault();
  }

  /** Chooses the next point that way: near, and more along than beside it. From none, the one nearest to the middle. */
  step([dx, dy]) {
    const { width, height } = this.size;
    const from = this.chosen === null ? { x: width / 2, y: height / 2 } : this.at(this.points[this.chosen]);
    let best = null;
    let least = Infinity;
    const unit = this.unit;
    this.points.forEach((point, place) => {
      const at = this.at(point, unit);
      const [along, beside] = [(at.x - from.x) * dx + (at.y - from.y) * dy, Math.abs((at.x - from.x) * dy + (at.y - from.y) * dx)];
      const cost = this.chosen === null ? Math.hypot(along, beside) : along + 2 * beside;
      if (place === this.chosen || (this.chosen !== null && along <= 0.01) || cost >= least) return;
      [best, least] = [place, cost];
    });
    if (best === null) return;
    const { x, y } = this.at(this.points[best]);
    if (x < 20 || y < 20 || x > width - 20 || y > height - 20) this.pan(width / 2 - x, height / 2 - y);
    this.choose(best);
  }
}
