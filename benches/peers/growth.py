#!/usr/bin/env python3
"""How the time of a search, that of a build and the memory grow with the number of vectors.

Indexes over more and more of the same vectors, each built with one thread and searched at recall@10 = 0.95. Writes
`ann-growth.md` and `ann-growth.svg` after each size, and ends with the exponents: time ~ n^exponent, fitted to all
sizes. `make bench-growth` runs it, with the same variables as `make bench-ann`; `SCALE` is the largest size.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

import vectors
from chart import log_ticks, panel, write_svg
from engines import BUILD_WIDTH, LINKS, OURS, build_engines, rate_at, search_in_turns
from vectors import Data, short

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
RECALL = 0.95
# What is measured, how it is written, and its axis.
MEASURES = {
    "search": (lambda value: f"{1e6 * value:,.0f} µs", f"microseconds a search, at recall@10 = {RECALL}", 1e6),
    "build": (lambda value: f"{value:,.1f} s", "seconds to build", 1),
    "bytes": (lambda value: f"{value / 2**20:,.1f} MiB", "MiB that searches need", 2**-20),
}


def measure(args, data: Data, names: list[str]) -> dict[str, dict[str, float]]:
    """Of each engine over one size: seconds of processor time of a search and of the build, and bytes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vectors"
        data.write(file)
        engines = build_engines(names, data, file, args.binary, 1)
        curves = search_in_turns(engines, args.queries, args.rounds, RECALL)
        found = {}
        for name, engine in engines.items():
            found[name] = {"search": 1 / rate_at(curves[name], RECALL), "build": engine.build_cpu, "bytes": engine.bytes}
            engine.end()
        return found


def exponent(points: dict[int, float]) -> float:
    """The slope of a line through the logarithms."""
    return float(np.polyfit(np.log(list(points)), np.log(list(points.values())), 1)[0])


def write(args, what: str, found: dict[int, dict]) -> list[str]:
    """Writes the table and the plot of the sizes so far; returns the lines to print."""
    lines = [
        f"{what}, more and more of the same. M {LINKS}, efConstruction {BUILD_WIDTH}, one thread, processor time;"
        f" a search at recall@10 = {RECALL}, best of {args.rounds} rounds of {args.queries:,} queries.",
        "",
    ]
    names = list(next(iter(found.values())))
    lines += [f"| | {' | '.join(f'{n:,}' for n in found)} | exponent |", "|---" * (len(found) + 2) + "|"]
    ratios, panels = [], []
    for measure, (written, title, unit) in MEASURES.items():
        series = {name: {n: found[n][name][measure] for n in found if name in found[n]} for name in names}
        slopes = {name: exponent(points) for name, points in series.items() if len(points) > 1}
        for name, points in series.items():
            cells = [written(points[n]) if n in points else "" for n in found]
            slope = f"{slopes[name]:.2f}" if name in slopes else ""
            lines.append(f"| {name}, {measure} | {' | '.join(cells)} | {slope} |")
        for name, slope in slopes.items():
            ratios.append(f"ratio growth_{measure}_exponent_{name.removeprefix('simbert ')} {slope:.3f}")
        place = lambda points: [(np.log10(n), np.log10(unit * value)) for n, value in points.items()]
        curves = {name: place(points) for name, points in series.items()}
        values = [10**y for points in curves.values() for _, y in points]
        labels = {name: f"{name}: n^{slope:.2f}" for name, slope in slopes.items()}
        sizes = [(np.log10(n), short(n)) for n in found]
        ticks = log_ticks(min(values) / 2, max(values) * 2)
        panels.append(panel(400 * len(panels), title, "vectors", sizes, ticks, curves, labels))
    text = "\n".join([*lines, "", *(f"    {line}" for line in ratios)])
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "ann-growth.md").write_text(text + "\n", encoding="utf-8")
    write_svg(args.results / "ann-growth.svg", panels)
    return [*lines, "", *ratios]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    vectors.add_arguments(parser, "1m")
    parser.add_argument("--hnswlib-up-to", type=vectors.count, default=100_000, metavar="N", help="0 leaves it out")
    parser.add_argument("--f32-up-to", type=vectors.count, default=1_000_000, metavar="N", help="0 leaves it out")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    data = Data.load(args)
    found = {}
    for n in [size for size in SIZES if size < args.scale] + [args.scale]:
        most = {"simbert f32": args.f32_up_to, "hnswlib": args.hnswlib_up_to}
        names = [name for name in [*OURS, "hnswlib"] if n <= most.get(name, n)]
        found[n] = measure(args, data.first(n), names)
        lines = write(args, data.what, found)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
