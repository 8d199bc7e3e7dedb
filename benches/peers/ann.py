#!/usr/bin/env python3
"""Building and searching an index of simbert beside hnswlib, faiss and usearch, on this machine, in turns.

All get the same unit vectors, 16 links and a build width of 200, and search with one thread. Writes `ann.md` and `ann.svg`
and ends with a line for each ratio. `make bench-ann` runs it; `BENCH_ANN=path` takes vectors of an encoder (`.npy` or
`.fvecs`) instead of synthetic ones, `SCALE=1m` a million of them.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import faiss
import hnswlib
import numpy as np
import usearch
from usearch.index import Index

HERE = Path(__file__).resolve().parent
LINKS, BUILD_WIDTH, K, TRUE = 16, 200, 10, 10
WIDTHS = [10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 200, 256, 400, 640]
COLOURS = {"simbert int8": "#2a6f97", "simbert f32": "#61a5c2", "hnswlib": "#8d5a97", "faiss": "#c97b3d", "usearch": "#8a9a5b"}


def synthetic(n: int, queries: int, dimension: int, seed: int) -> np.ndarray:
    """Unit vectors around topics of 400 each, along directions of falling weight: about as hard as a bank's questions."""
    draw = np.random.default_rng(seed)
    weights = (1 / (1 + np.arange(dimension) / 16)).astype(np.float32)
    centres = 0.6 * draw.standard_normal((max(n // 400, 2), dimension), np.float32) * weights
    turn = np.linalg.qr(draw.standard_normal((dimension, dimension)))[0].astype(np.float32)
    parts = []
    for start in range(0, n + queries, 100_000):
        m = min(100_000, n + queries - start)
        part = centres[draw.integers(0, len(centres), m)] + draw.standard_normal((m, dimension), np.float32) * weights
        parts.append(part @ turn)
    return np.concatenate(parts)


def read_vectors(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return np.load(path).astype(np.float32)
    if path.suffix == ".fvecs":
        numbers = np.fromfile(path, np.int32)
        return np.ascontiguousarray(numbers.reshape(-1, numbers[0] + 1)[:, 1:]).view(np.float32)
    sys.exit(f"expected vectors in .npy or .fvecs, received {path}")


class Data:
    """Distinct unit vectors, queries that are not among them, and each query's true nearest."""

    def __init__(self, args):
        if args.vectors:
            every = read_vectors(args.vectors)
            every = every[np.random.default_rng(args.seed).permutation(len(every))]
            self.what = f"`{args.vectors.name}`"
        else:
            every = synthetic(args.count, args.queries, 384, args.seed)
            self.what = "synthetic"
        every /= np.linalg.norm(every, axis=1, keepdims=True)
        every = every[np.sort(np.unique(every, axis=0, return_index=True)[1])] if args.vectors else every
        if len(every) < 2 * args.queries:
            sys.exit(f"expected {2 * args.queries} distinct vectors or more, received {len(every)}")
        self.queries = np.ascontiguousarray(every[: args.queries])
        self.vectors = np.ascontiguousarray(every[args.queries :])
        self.truth = np.empty((args.queries, TRUE), np.uint32)
        for i in range(0, args.queries, 50):
            scores = self.queries[i : i + 50] @ self.vectors.T
            best = np.argpartition(-scores, TRUE, axis=1)[:, :TRUE]
            order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1)
            self.truth[i : i + 50] = np.take_along_axis(best, order, 1)

    def write(self, path: Path) -> None:
        (n, dimension), queries = self.vectors.shape, len(self.queries)
        with path.open("wb") as file:
            for part in (np.array([dimension, n, queries, TRUE], "<u4"), self.vectors, self.queries, self.truth):
                part.tofile(file)

    def recall(self, found) -> float:
        return float(np.mean([len(set(a) & set(b)) for a, b in zip(found.tolist(), self.truth.tolist())]) / K)


class Peer:
    """An index of another library: `build` makes it, `find` searches it with a width."""

    def __init__(self, data: Data, threads: int):
        self.data = data
        wall, cpu = time.perf_counter(), time.process_time()
        self.build(data.vectors, threads)
        self.build_seconds, self.build_cpu = time.perf_counter() - wall, time.process_time() - cpu

    def search(self, width: int) -> dict:
        wall, cpu = time.perf_counter(), time.process_time()
        found = self.find(self.data.queries, width)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return {"recall": self.data.recall(found), "seconds": wall, "cpu_seconds": cpu}


class Hnswlib(Peer):
    def build(self, vectors, threads):
        self.index = hnswlib.Index("ip", vectors.shape[1])
        self.index.init_index(len(vectors), ef_construction=BUILD_WIDTH, M=LINKS)
        self.index.add_items(vectors, num_threads=threads)
        self.bytes = self.index.index_file_size()

    def find(self, queries, width):
        self.index.set_ef(width)
        return self.index.knn_query(queries, K, num_threads=1)[0]


class Faiss(Peer):
    bytes = None

    def build(self, vectors, threads):
        faiss.omp_set_num_threads(threads)
        self.index = faiss.IndexHNSWFlat(vectors.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = BUILD_WIDTH
        self.index.add(vectors)
        faiss.omp_set_num_threads(1)

    def find(self, queries, width):
        self.index.hnsw.efSearch = width
        return self.index.search(queries, K)[1]


class Usearch(Peer):
    def build(self, vectors, threads):
        sizes = dict(connectivity=LINKS, expansion_add=BUILD_WIDTH, expansion_search=64)
        self.index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32", **sizes)
        self.index.add(np.arange(len(vectors)), vectors, threads=threads)
        self.bytes = self.index.serialized_length

    def find(self, queries, width):
        self.index.expansion_search = width
        return self.index.search(queries, K, threads=1).keys


class Simbert:
    """The same by `examples/ann.rs`, a process that searches when it is told a width."""

    def __init__(self, binary: Path, file: Path, quantisation: str, threads: int):
        command = [binary, file, quantisation, str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        built = self.answer()
        self.instructions = built["instructions"]
        self.build_seconds, self.build_cpu, self.bytes = (built[k] for k in ("build_seconds", "build_cpu_seconds", "bytes"))

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        return json.loads(line) if line else sys.exit("simbert's example failed")

    def search(self, width: int) -> dict:
        print(width, file=self.process.stdin, flush=True)
        return self.answer()

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def at_recall(curve: list[dict], wanted: float, key: str) -> float:
    """Queries a second where the recall is `wanted`: between the two widths around it, along a line in log(rate)."""
    before = None
    for point in curve:
        rate = math.log(1 / point[key])
        if point["recall"] >= wanted:
            if before is None or before[0] >= point["recall"]:
                return math.exp(rate)
            part = (wanted - before[0]) / (point["recall"] - before[0])
            return math.exp(before[1] + part * (rate - before[1]))
        before = (point["recall"], rate)
    return math.nan


def plot(path: Path, curves: dict[str, list[dict]], title: str) -> None:
    """Rate (log) over recall; the recall's axis is stretched towards 1."""
    place = lambda recall: 70 + 460 * min(-math.log10(max(1 - recall, 1e-4)), 4) / 4
    rates = [1 / p["cpu_seconds"] for curve in curves.values() for p in curve]
    low, high = math.log10(min(rates)) - 0.05, math.log10(max(rates)) + 0.05
    height = lambda rate: 360 - 300 * (math.log10(rate) - low) / (high - low)
    parts = [f'<text x="10" y="24">{title}</text>', '<text x="300" y="405" text-anchor="middle">recall@10</text>']
    for recall in (0.5, 0.9, 0.95, 0.99, 0.999, 0.9999):
        x = place(recall)
        parts.append(f'<path d="M{x:.0f} 60V360" stroke="#e3e6e8"/><text x="{x:.0f}" y="380" text-anchor="middle">{recall}</text>')
    for power in range(2, 6):
        for digit in (1, 2, 5):
            rate = digit * 10**power
            if low <= math.log10(rate) <= high:
                y = height(rate)
                parts.append(f'<path d="M70 {y:.0f}H530" stroke="#e3e6e8"/><text x="64" y="{y + 4:.0f}" text-anchor="end">{rate:,}</text>')
    for i, (name, curve) in enumerate(curves.items()):
        points = " ".join(f"{place(p['recall']):.1f},{height(1 / p['cpu_seconds']):.1f}" for p in curve)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>')
        parts.append(f'<text x="545" y="{80 + 20 * i}" fill="{COLOURS[name]}">{name}</text>')
    path.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="660" height="420" font-family="sans-serif" font-size="12">'
        f'<rect width="660" height="420" fill="white"/>{"".join(parts)}</svg>\n'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=HERE / "../../target/release/examples/ann")
    parser.add_argument("--vectors", type=Path, help=".npy or .fvecs of vectors; absent: synthetic ones")
    parser.add_argument("--scale", default="100k", help="how many synthetic vectors: a number, with k or m")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    args = parser.parse_args()
    args.count = int(float(args.scale.lower().rstrip("km")) * {"k": 1_000, "m": 1_000_000}.get(args.scale[-1].lower(), 1))
    if not args.binary.is_file():
        parser.error(f"there is no {args.binary}; `make bench-ann` makes it")

    data = Data(args)
    n, dimension = data.vectors.shape
    peers = {"hnswlib": Hnswlib, "faiss": Faiss, "usearch": Usearch}
    ours = {"simbert int8": "int8", "simbert f32": "off"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vectors"
        data.write(file)
        note = lambda what: print(what, file=sys.stderr, flush=True)
        two = {}
        for name, kind in ours.items():
            engine = Simbert(args.binary, file, kind, 2)
            two[name] = engine.build_seconds
            engine.end()
            note(f"{name}, two threads: {two[name]:.1f} s")
        two["hnswlib"] = Hnswlib(data, 2).build_seconds
        note(f"hnswlib, two threads: {two['hnswlib']:.1f} s")
        engines = {}
        for name in [*ours, *peers]:
            make = lambda: peers[name](data, 1) if name in peers else Simbert(args.binary, file, ours[name], 1)
            engines[name] = make()
            note(f"{name}: built in {engines[name].build_seconds:.1f} s ({engines[name].build_cpu:.1f} s of processor time)")
        curves = {name: [] for name in engines}
        for width in WIDTHS:
            runs = {name: [] for name in engines}
            for _ in range(args.rounds):
                for name, engine in engines.items():
                    runs[name].append(engine.search(width))
            for name, measured in runs.items():
                best = {key: min(run[key] for run in measured) / args.queries for key in ("seconds", "cpu_seconds")}
                curves[name].append({"width": width, "recall": measured[0]["recall"], **best})
            note(f"width {width}: " + ", ".join(f"{name} {c[-1]['recall']:.4f} {1 / c[-1]['cpu_seconds']:,.0f}/s" for name, c in curves.items()))
            if min(curve[-1]["recall"] for curve in curves.values()) > 0.998:
                break
        for name in ours:
            engines[name].end()

    title = f"{n:,} x {dimension} {data.what} unit vectors, one thread: queries a second of processor time"
    lines = [f"{title}. M {LINKS}, efConstruction {BUILD_WIDTH}; best of {args.rounds} rounds; {engines['simbert int8'].instructions}.", ""]
    lines += ["| | build s | of processor time | two threads, s | bytes a vector | recall at width 64 | QPS at 0.95 | by wall | QPS at 0.99 | by wall |"]
    lines += ["|---|---|---|---|---|---|---|---|---|---|"]
    rate = {name: {w: at_recall(c, w, "cpu_seconds") for w in (0.95, 0.99)} for name, c in curves.items()}
    for name, engine in engines.items():
        walls = {w: at_recall(curves[name], w, "seconds") for w in (0.95, 0.99)}
        recall = next((f"{p['recall']:.4f}" for p in curves[name] if p["width"] == 64), "")
        size = f"{engine.bytes / n:,.0f}" if engine.bytes else ""
        both = f"{two[name]:.1f}" if name in two else ""
        rates = " | ".join(f"{r[w]:,.0f}" for w in (0.95, 0.99) for r in (rate[name], walls))
        lines.append(f"| {name} | {engine.build_seconds:.1f} | {engine.build_cpu:.1f} | {both} | {size} | {recall} | {rates} |")
    lines += ["", "Recall and queries a second of processor time by width:", "", "| width | " + " | ".join(engines) + " |"]
    lines += ["|---" * (len(engines) + 1) + "|"]
    for i, width in enumerate(curves["hnswlib"]):
        cells = [f"{c[i]['recall']:.4f} {1 / c[i]['cpu_seconds']:,.0f}" for c in curves.values()]
        lines.append(f"| {width['width']} | " + " | ".join(cells) + " |")
    versions = f"hnswlib {version('hnswlib')}, faiss {faiss.__version__}, usearch {usearch.__version__}"
    lines += ["", versions + ". Bytes: what a search needs in memory; int8 scores its best candidates again by f32 rows, which may lie on disk."]

    ratios = {}
    for wanted in (0.95, 0.99):
        best = max(rate[name][wanted] for name in peers if not math.isnan(rate[name][wanted]))
        for name, kind in ours.items():
            ratios[f"qps_{'int8' if kind == 'int8' else 'f32'}_at_{wanted}_vs_best_peer"] = rate[name][wanted] / best
    for name, kind in ours.items():
        kind = "int8" if kind == "int8" else "f32"
        ratios[f"build_{kind}_one_thread_vs_hnswlib"] = engines[name].build_cpu / engines["hnswlib"].build_cpu
        ratios[f"build_{kind}_two_threads_vs_hnswlib"] = two[name] / two["hnswlib"]
        recalls = [next(p["recall"] for p in curves[e] if p["width"] == min(64, curves[e][-1]["width"])) for e in (name, "hnswlib")]
        ratios[f"recall_{kind}_vs_hnswlib"] = recalls[0] / recalls[1]
    ratios["bytes_int8_vs_hnswlib"] = engines["simbert int8"].bytes / engines["hnswlib"].bytes
    ratio_lines = [f"ratio {name} {value:.3f}" for name, value in ratios.items()]
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "ann.md").write_text("\n".join([*lines, "", *(f"    {line}" for line in ratio_lines)]) + "\n")
    plot(args.results / "ann.svg", curves, title)
    print("\n".join([*lines, "", *ratio_lines]))


if __name__ == "__main__":
    main()
