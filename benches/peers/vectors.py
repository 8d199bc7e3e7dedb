"""What the benches of the index search: unit vectors, queries that are none of them, and each query's true nearest."""

import argparse
import hashlib
import os
import random
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
K = 10
# Texts that are encoded into one file, so that a larger bench takes up the files of a smaller one.
PART = 10_000


def add_arguments(parser: argparse.ArgumentParser, scale: str) -> None:
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/examples/ann")
    parser.add_argument("--scale", type=count, default=count(scale), help=f"vectors: a number, with k or m (default {scale})")
    file = dict(type=Path, metavar="FILE")
    parser.add_argument("--questions", **file, help="questions to encode, one a line; absent: synthetic vectors")
    parser.add_argument("--query-file", **file, nargs="+", help="queries for --questions, in the first column")
    parser.add_argument("--vectors", **file, help=".npy or .fvecs of vectors, instead of questions")
    parser.add_argument("--queries", type=int, default=1000, help="how many queries")
    parser.add_argument("--model", type=Path, default=ROOT / "data/model", help="model directory that encodes questions")
    parser.add_argument("--int8-encoder", action="store_true", help="encode with the model's 8-bit graphs")
    parser.add_argument("--simbert", type=Path, default=ROOT / "target/release/simbert")
    parser.add_argument("--cache", type=Path, default=ROOT / "target/bench-vectors", help="keeps encoded questions")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path(__file__).resolve().parent / "results")


def count(text: str) -> int:
    """`100k` is 100,000."""
    return int(float(text.lower().rstrip("km")) * {"k": 1_000, "m": 1_000_000}.get(text[-1].lower(), 1))


def short(n: int) -> str:
    """100,000 is `100k`."""
    return f"{n // 10**6}m" if n % 10**6 == 0 else f"{n // 1000}k" if n % 1000 == 0 else str(n)


class Data:
    """`vectors` and `queries` are unit vectors; `truth` holds the numbers of each query's `K` nearest, best first."""

    def __init__(self, vectors: np.ndarray, queries: np.ndarray, kind: str, what: str):
        self.vectors, self.queries, self.kind, self.what = vectors, queries, kind, what
        self.truth = np.empty((len(queries), K), np.uint32)
        for i in range(0, len(queries), 50):
            scores = queries[i : i + 50] @ vectors.T
            best = np.argpartition(-scores, K, axis=1)[:, :K]
            order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1)
            self.truth[i : i + 50] = np.take_along_axis(best, order, 1)

    @classmethod
    def load(cls, args) -> "Data":
        if not args.binary.is_file():
            sys.exit(f"there is no {args.binary}; `make bench-ann` makes it")
        if args.questions:
            every, what = encoded(args)
            kind = "questions"
        elif args.vectors:
            every = read_vectors(args.vectors)
            every = every[np.random.default_rng(args.seed).permutation(len(every))]
            kind, what = "vectors", f"vectors of `{args.vectors.name}`"
        else:
            every = synthetic(args.scale, args.queries, 384, args.seed)
            kind, what = "synthetic", "synthetic unit vectors"
        every /= np.linalg.norm(every, axis=1, keepdims=True)
        every = every[first_of_equals(every)][: args.queries + args.scale]
        if len(every) < args.queries + 2 * K:
            sys.exit(f"expected {args.queries + 2 * K} distinct vectors or more, received {len(every)}")
        return cls(every[args.queries :], every[: args.queries], kind, what)

    def first(self, n: int) -> "Data":
        return Data(self.vectors[:n], self.queries, self.kind, self.what)

    def write(self, path: Path) -> None:
        """The file that `examples/ann` reads."""
        n, dimension = self.vectors.shape
        with path.open("wb") as file:
            for part in (np.array([dimension, n, len(self.queries)], np.uint32), self.vectors, self.queries, self.truth):
                part.tofile(file)

    def recall(self, found: np.ndarray) -> float:
        return float(np.mean([len(set(a) & set(b)) for a, b in zip(found.tolist(), self.truth.tolist())]) / K)


def first_of_equals(rows: np.ndarray) -> np.ndarray:
    """The numbers of the rows that equal none before them, by a 64-bit hash."""
    factors = np.random.default_rng(0).integers(1, 2**63, rows.shape[1], np.uint64) | np.uint64(1)
    blocks = (rows[i : i + 10_000].view(np.uint32) for i in range(0, len(rows), 10_000))
    hashes = np.concatenate([(block * factors).sum(axis=1, dtype=np.uint64) for block in blocks])
    return np.sort(np.unique(hashes, return_index=True)[1])


def synthetic(n: int, queries: int, dimension: int, seed: int) -> np.ndarray:
    """Vectors around topics of 400 each, along directions of falling weight."""
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


def encoded(args) -> tuple[np.ndarray, str]:
    """Vectors of the queries, then of the questions, and what these are."""
    if not args.query_file:
        sys.exit("--questions needs --query-file: queries must not be among the questions")
    queries = distinct(line for path in args.query_file for line in lines(path))
    random.Random(args.seed).shuffle(queries)
    queries = queries[: args.queries]
    if len(queries) < args.queries:
        sys.exit(f"expected {args.queries} distinct queries or more, received {len(queries)}")
    asked = {fold(query) for query in queries}
    questions = [question for question in distinct(lines(args.questions)) if fold(question) not in asked]
    random.Random(args.seed).shuffle(questions)
    wanted = args.scale + args.scale // 50  # as some have equal vectors
    own = len(questions)
    if own < wanted:
        questions += islice(altered(questions, asked, args.seed), wanted - own)
    own = min(own, args.scale)
    graphs = "8-bit graphs" if args.int8_encoder else "f32 graphs"
    asked_of = ", ".join(f"`{path.name}`" for path in args.query_file)
    what = f"questions of `{args.questions.name}` by the model's {graphs}, queries of {asked_of}"
    if own < args.scale:
        what += (
            f" ({own:,} as they are; of the others, made of those, one half has two neighbouring characters swapped,"
            " and one half joins the first half of a question to the second half of another)"
        )
    return encode(args, queries, questions[:wanted]), what


def lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        yield from (line.split("\t")[0].strip() for line in file)


def fold(text: str) -> str:
    """What is left of a text without width, case, space and closing punctuation."""
    return "".join(unicodedata.normalize("NFKC", text).lower().split()).rstrip("?!.。…~")


def distinct(texts: Iterator[str]) -> list[str]:
    """The first of those that fold to the same, without empty ones."""
    first = {}
    for text in texts:
        first.setdefault(fold(text), text)
    first.pop("", None)
    return list(first.values())


def altered(questions: list[str], asked: set[str], seed: int) -> Iterator[str]:
    """Texts like questions that are none of them, nor among those that are asked, without end."""
    draw = random.Random(seed)
    seen = asked | {fold(question) for question in questions}
    questions = [question for question in questions if len(question) >= 4]
    for number in range(2**62):
        one, other = draw.choice(questions), draw.choice(questions)
        if number % 2:
            at = draw.randrange(len(one) - 1)
            text = one[:at] + one[at + 1] + one[at] + one[at + 2 :]
        else:
            text = one[: len(one) // 2] + other[len(other) // 2 :]
        if fold(text) not in seen:
            seen.add(fold(text))
            yield text


def encode(args, queries: list[str], questions: list[str]) -> np.ndarray:
    """By `simbert encode`, in parts that are kept under a hash of the model and the texts."""
    if not args.simbert.is_file():
        sys.exit(f"there is no {args.simbert}; `make build` makes it")
    args.cache.mkdir(parents=True, exist_ok=True)
    model = hashlib.sha256(b"int8" if args.int8_encoder else b"f32")
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        model.update((args.model / name).read_bytes())
    parts = []
    for texts in [queries, *(questions[i : i + PART] for i in range(0, len(questions), PART))]:
        key, text = model.copy(), "".join(f"{text}\n" for text in texts)
        key.update(text.encode())
        output = args.cache / f"{key.hexdigest()[:24]}.npy"
        if not output.is_file():
            source = output.with_suffix(f".{os.getpid()}.txt")
            source.write_text(text, encoding="utf-8")
            command = [args.simbert, "encode", "--file", source, "--output", output, "--model", args.model]
            done = subprocess.run([*command, "--int8"] if args.int8_encoder else command)
            source.unlink()
            if done.returncode:
                sys.exit("simbert could not encode the questions")
        parts.append(np.load(output))
    return np.concatenate(parts)
