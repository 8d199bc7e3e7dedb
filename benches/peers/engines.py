"""Indexes that the benches build and search: other libraries' in this process, simbert's and hnsw_rs's by `examples/ann`."""

import contextlib
import ctypes
import json
import math
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import faiss
import hnswlib
import numpy as np
import usearch
from usearch.index import Index

from vectors import K, Data

LINKS, BUILD_WIDTH = 16, 200
WIDTHS = [10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 200, 256, 400, 640]
VERSIONS = f"hnswlib {version('hnswlib')}, faiss {faiss.__version__}, usearch {usearch.__version__}"


def resident(process: int | str = "self") -> float:
    """Bytes of a process's own memory that are in use now, without files that it maps. Not a number but on Linux."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except FileNotFoundError:
        return math.nan
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), math.nan)


class Peer:
    """An index of another library: `build` makes it, `find` searches it with a width."""

    bytes = None

    def __init__(self, data: Data, threads: int):
        self.data = data
        with contextlib.suppress(AttributeError):  # there only where the allocator is glibc's
            ctypes.CDLL(None).malloc_trim(0)  # so that the index does not fill holes that others left
        before = resident()
        wall, cpu = time.perf_counter(), time.process_time()
        self.build(data.vectors, threads)
        self.build_seconds, self.build_cpu = time.perf_counter() - wall, time.process_time() - cpu
        self.resident = resident() - before

    def search(self, width: int) -> dict:
        wall, cpu = time.perf_counter(), time.process_time()
        found = self.find(self.data.queries, width)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return {"recall": self.data.recall(found), "seconds": wall, "cpu_seconds": cpu}

    def end(self) -> None:
        del self.index


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


PEERS = {"hnswlib": Hnswlib, "faiss": Faiss, "usearch": Usearch}
# What `examples/ann` calls them.
OURS = {"simbert int8": "int8", "simbert f32": "off"}
FORMER = {"hnsw_rs": "hnsw_rs"}


class Example:
    """An index of `examples/ann`, a process that searches when it is told a width. It builds as soon as it is started."""

    def __init__(self, binary: Path, file: Path, kind: str, threads: int):
        command = [binary, "search", file, kind, str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def await_build(self) -> None:
        built = self.answer()
        self.instructions = built["instructions"]
        self.build_seconds, self.build_cpu = built["build_seconds"], built["build_cpu_seconds"]
        self.bytes = built["bytes"]
        self.resident = resident(self.process.pid)

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        return json.loads(line) if line else sys.exit("examples/ann failed")

    def search(self, width: int) -> dict:
        print(width, file=self.process.stdin, flush=True)
        return self.answer()

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


# hnsw_rs takes longer than all others to build, and so builds in its process beside those after it.
BUILD_ORDER = [*OURS, "hnswlib", "hnsw_rs", "faiss", "usearch"]


def build_engines(names: list[str], data: Data, file: Path, binary: Path, threads: int) -> dict[str, Peer | Example]:
    """Builds them of `data`, or of the file that holds the same."""
    engines = {}
    for name in sorted(names, key=BUILD_ORDER.index):
        engine = PEERS[name](data, threads) if name in PEERS else Example(binary, file, (OURS | FORMER)[name], threads)
        engines[name] = engine
        if name in OURS:
            engine.await_build()
        if name not in FORMER:
            report(name, engine, threads)
    for name in set(names) & set(FORMER):
        engines[name].await_build()
        report(name, engines[name], threads)
    return {name: engines[name] for name in names}


def report(name: str, engine: Peer | Example, threads: int) -> None:
    took = f"{engine.build_seconds:.1f} s, {engine.build_cpu:.1f} s of processor time"
    print(f"{name}, threads: {threads}: built in {took}", file=sys.stderr, flush=True)


def search_in_turns(engines: dict, queries: int, rounds: int, enough: float) -> dict[str, list[dict]]:
    """For each engine and width the recall and the least seconds a query, until all have more than `enough` recall."""
    curves = {name: [] for name in engines}
    for width in WIDTHS:
        runs = {name: [] for name in engines}
        for _ in range(rounds):
            for name, engine in engines.items():
                runs[name].append(engine.search(width))
        for name, measured in runs.items():
            best = {key: min(run[key] for run in measured) / queries for key in ("seconds", "cpu_seconds")}
            curves[name].append({"width": width, "recall": measured[0]["recall"], **best})
        now = {name: curve[-1] for name, curve in curves.items()}
        shown = [f"{name} {point['recall']:.4f} {1 / point['cpu_seconds']:,.0f}/s" for name, point in now.items()]
        print(f"width {width}: {', '.join(shown)}", file=sys.stderr, flush=True)
        if min(curve[-1]["recall"] for curve in curves.values()) > enough:
            break
    return curves


def rate_at(curve: list[dict], wanted: float, key: str = "cpu_seconds") -> float:
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
