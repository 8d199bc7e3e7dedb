#!/usr/bin/env python3
"""Building and searching an index of simbert beside hnswlib, faiss and usearch, on this machine, in turns.

All get the same unit vectors, 16 links and a build width of 200, and search with one thread. Writes a table and a plot,
named after the vectors and their number, and ends with a line for each ratio. `make bench-ann` runs it, over synthetic
vectors unless it is told `QUESTIONS=file QUERIES="files"`; `SCALE=1m` takes a million, and `BENCH_ANN="options"` passes
on what else is described here.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import vectors
from chart import log_ticks, panel, write_svg
from engines import BUILD_WIDTH, FORMER, LINKS, OURS, PEERS, VERSIONS, build_engines, rate_at, search_in_turns
from vectors import Data, short

# Above, a build with one thread takes too long, and hnsw_rs too long in any case.
MODEST = 100_000
# For vectors that come one at a time: how many are there, how many come.
THERE, NEW = 20_000, 5_000
RECALLS = (0.95, 0.99)
SHORT = {"simbert int8": "int8", "simbert f32": "f32"}


class Run:
    """What was built and measured."""

    def __init__(self, args, data: Data, file: Path):
        self.args, self.data = args, data
        self.threads = args.build_threads
        self.two_threads = {}
        if self.threads == 1:
            for name in [*OURS, *({"hnswlib"} & set(args.peers))]:
                engine = build_engines([name], data, file, args.binary, 2)[name]
                self.two_threads[name] = engine.build_seconds
                engine.end()
        self.engines = build_engines([*OURS, *args.peers], data, file, args.binary, self.threads)
        if self.threads == 2:
            self.two_threads = {name: engine.build_seconds for name, engine in self.engines.items()}
        self.curves = search_in_turns(self.engines, args.queries, args.rounds, 0.998)
        for engine in self.engines.values():
            engine.end()

    def rate(self, name: str, recall: float, key: str = "cpu_seconds") -> float:
        return rate_at(self.curves[name], recall, key)

    def recall_at(self, name: str, width: int) -> float:
        """With the widest searches where they were not that wide."""
        curve = self.curves[name]
        return next((point["recall"] for point in curve if point["width"] == width), curve[-1]["recall"])

    def table(self) -> list[str]:
        built = "one thread" if self.threads == 1 else f"{self.threads} threads"
        lines = [f"| | build s, {built} | of processor time | two threads, s | bytes a vector | resident | recall at width 64 "]
        lines[0] += "| QPS at 0.95 | by wall | QPS at 0.99 | by wall |"
        lines.append("|---" * 11 + "|")
        for name, engine in self.engines.items():
            sizes = [engine.bytes or math.nan, engine.resident]
            two = f"{self.two_threads[name]:.1f}" if name in self.two_threads else ""
            rates = [self.rate(name, recall, key) for recall in RECALLS for key in ("cpu_seconds", "seconds")]
            cells = [name, f"{engine.build_seconds:.1f}", f"{engine.build_cpu:.1f}", two]
            cells += [whole(size / len(self.data.vectors)) for size in sizes]
            cells += [f"{self.recall_at(name, 64):.4f}", *map(whole, rates)]
            lines.append(f"| {' | '.join(cells)} |")
        lines += ["", "Recall and queries a second of processor time by width:", ""]
        lines.append(f"| width | {' | '.join(self.engines)} |")
        lines.append("|---" * (len(self.engines) + 1) + "|")
        for points in zip(*self.curves.values()):
            cells = [f"{point['recall']:.4f} {1 / point['cpu_seconds']:,.0f}" for point in points]
            lines.append(f"| {points[0]['width']} | {' | '.join(cells)} |")
        return lines

    def ratios(self) -> dict[str, float]:
        ratios = {}
        peers = [name for name in self.args.peers if name in PEERS]
        against = {"best_peer": peers, "hnsw_rs": [name for name in self.args.peers if name in FORMER]}
        for other, names in against.items():
            for recall in RECALLS:
                rates = [self.rate(name, recall) for name in names]
                best = max((rate for rate in rates if not math.isnan(rate)), default=math.nan)
                for name in OURS:
                    ratios[f"qps_{SHORT[name]}_at_{recall}_vs_{other}"] = self.rate(name, recall) / best
        if "hnswlib" in self.args.peers:
            theirs = self.engines["hnswlib"]
            for name in OURS:
                ours = self.engines[name]
                if self.threads == 1:
                    ratios[f"build_{SHORT[name]}_one_thread_vs_hnswlib"] = ours.build_cpu / theirs.build_cpu
                both = self.two_threads
                ratios[f"build_{SHORT[name]}_two_threads_vs_hnswlib"] = both[name] / both["hnswlib"]
                ratios[f"recall_{SHORT[name]}_vs_hnswlib"] = self.recall_at(name, 64) / self.recall_at("hnswlib", 64)
            ratios["bytes_int8_vs_hnswlib"] = self.engines["simbert int8"].bytes / theirs.bytes
            ratios["resident_int8_vs_hnswlib"] = self.engines["simbert int8"].resident / theirs.resident
        return {name: ratio for name, ratio in ratios.items() if not math.isnan(ratio)}


def whole(number: float) -> str:
    return "" if math.isnan(number) else f"{number:,.0f}"


def one_at_a_time(args, data: Data, file: Path) -> list[str]:
    """What it takes to add vectors one at a time, in simbert and in hnsw_rs."""
    new = min(NEW, len(data.vectors) // 2)
    there = min(THERE, len(data.vectors) - new)
    lines = [
        f"{new:,} vectors added one at a time to {there:,}, a search of width 64 after each ten; ms of processor time:",
        "",
        "| | insert | link later, a vector | search meanwhile, median | slowest 1 % | recall |",
        "|---|---|---|---|---|---|",
    ]
    for name, kind in (OURS | FORMER).items():
        command = [args.binary, "add", file, kind, str(there), str(new)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"examples/ann failed: {done.stderr}")
        took = json.loads(done.stdout)
        times = [f"{took[key]:.3f}" for key in ("insert_ms", "maintain_ms", "search_ms", "slow_search_ms")]
        lines.append(f"| {name} | {' | '.join(times)} | {took['recall']:.4f} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    vectors.add_arguments(parser, "100k")
    every = [*PEERS, *FORMER]
    names = f"some of {','.join(every)}; absent: all, above 100k without hnsw_rs"
    parser.add_argument("--peers", type=lambda text: text.split(","), help=names)
    parser.add_argument("--build-threads", type=int, choices=(1, 2), help="1 up to 100k, where two are timed too; else 2")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    args.peers = args.peers or (every if args.scale <= MODEST else list(PEERS))
    args.build_threads = args.build_threads or (1 if args.scale <= MODEST else 2)
    if unknown := set(args.peers) - set(every):
        parser.error(f"expected peers among {', '.join(every)}, received {', '.join(unknown)}")

    data = Data.load(args)
    n, dimension = data.vectors.shape
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vectors"
        data.write(file)
        run = Run(args, data, file)
        singly = ["", *one_at_a_time(args, data, file)] if "hnsw_rs" in args.peers else []

    left_out = [name for name in every if name not in args.peers]
    lines = [
        f"{n:,} {data.what}, {dimension} wide. M {LINKS}, efConstruction {BUILD_WIDTH}; searches on one thread,"
        f" best of {args.rounds} rounds of {len(data.queries):,} queries; {run.engines['simbert int8'].instructions}."
        + (f" Left out: {', '.join(left_out)}." if left_out else ""),
        "",
        *run.table(),
        *singly,
        "",
        f"{VERSIONS}. Bytes: what walks need; resident: memory that the process holds; the f32 rows by which int8"
        " scores its best candidates again lie in a mapped file, as in a bank, and are not in it. hnsw_rs is the crate"
        " that made simbert's graphs before, with simbert's distance.",
    ]
    ratios = [f"ratio {name} {value:.3f}" for name, value in run.ratios().items()]
    name = "-".join(["ann", *([] if args.scale == MODEST else [short(args.scale)]), data.kind])
    args.results.mkdir(parents=True, exist_ok=True)
    text = "\n".join([*lines, "", *(f"    {line}" for line in ratios)])
    (args.results / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    plot(args.results / f"{name}.svg", run.curves, f"{n:,} vectors ({data.kind})")
    print("\n".join([*lines, "", *ratios]))


def plot(path: Path, curves: dict[str, list[dict]], what: str) -> None:
    """Rate (logarithmic) over recall; the recall's axis is stretched towards 1."""
    nines = lambda recall: -math.log10(max(1 - recall, 1e-4))
    place = lambda point: (nines(point["recall"]), -math.log10(point["cpu_seconds"]))
    lines = {name: [place(point) for point in curve] for name, curve in curves.items()}
    rates = [10**rate for points in lines.values() for _, rate in points]
    recalls = [(nines(recall), str(recall)) for recall in (0.5, 0.9, 0.95, 0.99, 0.999)]
    title = f"{what}: queries a second of processor time, one thread"
    write_svg(path, [panel(0, title, "recall@10", recalls, log_ticks(min(rates), max(rates)), lines)])


if __name__ == "__main__":
    main()
