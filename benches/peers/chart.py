"""Plots of the benches, as SVG."""

import math
from pathlib import Path

COLOURS = {
    "simbert int8": "#2a6f97",
    "simbert f32": "#61a5c2",
    "hnswlib": "#8d5a97",
    "faiss": "#c97b3d",
    "usearch": "#8a9a5b",
    "hnsw_rs": "#b0555a",
}
# Of names that have none of their own, in turns.
OTHERS = ["#2a6f97", "#c97b3d", "#8d5a97", "#8a9a5b", "#b0555a", "#61a5c2"]
WIDTH, HEIGHT = 460, 300

Points = list[tuple[float, float]]
Ticks = list[tuple[float, str]]


def log_ticks(low: float, high: float, digits=(1, 2, 5)) -> Ticks:
    """Ticks of a logarithmic axis between two values, at their logarithms to base 10."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [digit * 10.0**power for power in powers for digit in digits]
    return [(math.log10(value), f"{value:,.10g}") for value in values if low <= value <= high]


def panel(top: float, title: str, x_title: str, x_ticks: Ticks, y_ticks: Ticks, lines: dict[str, Points], labels=None) -> str:
    """One plot, `HEIGHT` high and from `top` down. Points and ticks are given along the axes, before these are scaled."""
    xs = [x for points in lines.values() for x, _ in points] + [x for x, _ in x_ticks]
    ys = [y for points in lines.values() for _, y in points] + [y for y, _ in y_ticks]
    right = lambda x: 80 + WIDTH * (x - min(xs)) / max(max(xs) - min(xs), 1e-9)
    down = lambda y: top + 40 + HEIGHT * (max(ys) - y) / max(max(ys) - min(ys), 1e-9)
    foot = top + 40 + HEIGHT
    parts = [f'<text x="10" y="{top + 20}">{title}</text>']
    parts.append(f'<text x="{80 + WIDTH / 2}" y="{foot + 38}" text-anchor="middle">{x_title}</text>')
    for x, text in x_ticks:
        parts.append(f'<path d="M{right(x):.1f} {top + 40}V{foot}" stroke="#e3e6e8"/>')
        parts.append(f'<text x="{right(x):.1f}" y="{foot + 18}" text-anchor="middle">{text}</text>')
    for y, text in y_ticks:
        parts.append(f'<path d="M80 {down(y):.1f}H{80 + WIDTH}" stroke="#e3e6e8"/>')
        parts.append(f'<text x="74" y="{down(y) + 4:.1f}" text-anchor="end">{text}</text>')
    for i, (name, points) in enumerate(lines.items()):
        colour = COLOURS.get(name, OTHERS[i % len(OTHERS)])
        path = " ".join(f"{right(x):.1f},{down(y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{right(x):.1f}" cy="{down(y):.1f}" r="2.5" fill="{colour}"/>' for x, y in points]
        label = (labels or {}).get(name, name)
        parts.append(f'<text x="{95 + WIDTH}" y="{top + 60 + 20 * i}" fill="{colour}">{label}</text>')
    return "".join(parts)


def write_svg(path: Path, panels: list[str]) -> None:
    width, height = WIDTH + 250, len(panels) * (HEIGHT + 100)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">'
        f'<rect width="{width}" height="{height}" fill="white"/>{"".join(panels)}</svg>\n',
        encoding="utf-8",
    )


def bars(path: Path, title: str, values: dict[str, float], left: float = 120) -> None:
    """A bar for each name, simbert's in its colour; the names end at `left`."""
    top, parts = max(values.values()), []
    for i, (name, value) in enumerate(values.items()):
        y, width, colour = 40 + 34 * i, 380 * value / top, "#2a6f97" if name.startswith("simbert") else "#b0b7bf"
        parts.append(f'<text x="{left - 10}" y="{y + 17}" text-anchor="end">{name}</text>')
        parts.append(f'<rect x="{left}" y="{y}" width="{width:.0f}" height="24" fill="{colour}"/>')
        parts.append(f'<text x="{left + 6 + width:.0f}" y="{y + 17}">{value:,.0f}</text>')
    height = 50 + 34 * len(values)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + 460}" height="{height}" font-family="sans-serif" font-size="13">'
        f'<rect width="{left + 460}" height="{height}" fill="white"/><text x="10" y="24">{title}</text>{"".join(parts)}</svg>\n',
        encoding="utf-8",
    )
