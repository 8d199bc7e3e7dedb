#!/usr/bin/env python3
"""Training steps of simbert beside the same steps in PyTorch, on this machine, in turns.

First one step of both without dropout: losses and the gradient of every parameter must agree. Then short rounds in turns,
in f32 and in bf16 (PyTorch's by autocast), and the rate of PyTorch's own matrix products. Writes `train.md` and `train.svg`
and ends with a line for each ratio. `make bench-train` runs it.
"""

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import unicodedata
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from chart import bars
from network import Batch, Network, load_weights

HERE = Path(__file__).resolve().parent
MOST_TOKENS = 64
# Largest relative error (l2) of a parameter's gradient, and of a loss, towards PyTorch in f32.
GRADIENT_BOUND = {"f32": 1e-4, "bf16": 0.05}
LOSS_BOUND = {"f32": 1e-4, "bf16": 2e-2}


def synthetic_pairs(tokenizer: Tokenizer, count: int, seed: int) -> list[tuple[str, str]]:
    """Sentences of random characters of the vocabulary, as long as questions are."""
    draw = random.Random(seed)
    characters = sorted(p for p in tokenizer.get_vocab() if len(p) == 1 and unicodedata.category(p) == "Lo")
    sentence = lambda: "".join(draw.choices(characters, k=draw.randint(6, 20)))
    return [(sentence(), sentence()) for _ in range(count)]


class Data:
    """Pairs that fit, as text for simbert and as ids for PyTorch."""

    def __init__(self, args, tokenizer: Tokenizer):
        names = tokenizer.get_vocab()
        cls, sep = (next(names[n] for n in choice if n in names) for choice in (("[CLS]", "<s>"), ("[SEP]", "</s>")))
        if args.pairs:
            lines = (line.rstrip("\n").split("\t") for line in args.pairs.open(encoding="utf-8"))
            texts = [(line[0], line[1]) for line in lines if len(line) > 1 and line[0] != line[1]][: args.limit]
        else:
            texts = synthetic_pairs(tokenizer, 2_000, args.seed)
        ids = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
        self.texts, self.rows = [], []
        for a, b in dict.fromkeys(texts):
            first, second = ids(a), ids(b)
            if first and second and len(first) + len(second) + 3 <= MOST_TOKENS:
                pack = lambda x, y: ([cls, *x, sep, *y, sep], len(x) + 2)
                self.texts.append((a, b))
                self.rows.append((pack(first, second), pack(second, first)))
        if len(self.rows) < args.batch_pairs:
            sys.exit(f"expected {args.batch_pairs} or more pairs of up to {MOST_TOKENS} tokens, found {len(self.rows)}")

    def write(self, path: Path, count: int | None = None) -> None:
        path.write_text("".join(f"{a}\t{b}\n" for a, b in self.texts[:count]), encoding="utf-8")

    def batch(self, chosen) -> Batch:
        return Batch([row for i in chosen for row in self.rows[i]])


def run_simbert(args, folder: Path, pairs: Path, compute: str, steps: int, batch_pairs: int, exact: bool) -> list[dict]:
    """The reports of the first steps of a run. `exact`: no dropout, no clipping, and weights that stay where they are."""
    rate, dropout, clip, decay = ("1e-30", 0.0, 0.0, 0.0) if exact else ("1e-5", args.dropout, 1.0, 0.01)
    (folder / "run.toml").write_text(
        f"""output = "{folder / 'run'}"
[model]
base = "{args.model.resolve()}"
pooling = "mean"
dropout = {dropout}
compute = "{compute}"
[data]
pairs = ["{pairs}"]
max_tokens = {MOST_TOKENS}
[optimizer]
steps = 1000000
batch_pairs = {batch_pairs}
learning_rate = {rate}
clip_norm = {clip}
weight_decay = {decay}
[checkpoint]
every = 1000000
""",
        encoding="utf-8",
    )
    command = [args.simbert, "train", folder / "run.toml", "--restart", "--json", "--cpu"]
    command += ["--stop-after", str(steps), "--threads", str(args.threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"simbert failed: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def autocast(compute: str):
    return torch.autocast("cpu", torch.bfloat16) if compute == "bf16" else contextlib.nullcontext()


def compare(args, data: Data, folder: Path) -> tuple[list[str], bool]:
    """One step of both on the same batch from the same weights."""
    data.write(folder / "few.tsv", args.batch_pairs)
    gradients, losses = {}, {}
    for compute in ("f32", "bf16"):
        (report,) = run_simbert(args, folder, folder / "few.tsv", compute, 1, args.batch_pairs, True)
        # After one step, Adam's mean is a tenth of the gradient.
        state = load_file(folder / "run/checkpoint/optimizer.safetensors")
        key = f"simbert {compute}"
        gradients[key] = {n.removeprefix("mean."): 10.0 * t for n, t in state.items() if n.startswith("mean.")}
        losses[key] = (report["generation_loss"], report["similarity_loss"])
    weights = load_weights(folder / "run/checkpoint/weights.safetensors")
    for compute in ("f32", "bf16"):
        network = Network(weights, args.model / "config.json", 0.0)
        with autocast(compute):
            parts = network.losses(data.batch(range(args.batch_pairs)))
        sum(parts).backward()
        gradients[f"torch {compute}"] = {name: weight.grad for name, weight in network.weights.items()}
        losses[f"torch {compute}"] = tuple(part.item() for part in parts)
    lines = ["| one step | generation loss | similarity loss | largest gradient error | of |", "|---|---|---|---|---|"]
    fine, truth = True, gradients["torch f32"]
    for key in losses:
        compute = key.split()[1]
        if gradients[key].keys() != truth.keys():
            sys.exit(f"the parameters differ: {sorted(gradients[key].keys() ^ truth.keys())}")
        errors = {name: ((gradients[key][name] - t).norm() / t.norm()).item() for name, t in truth.items()}
        worst = max(errors, key=errors.get)
        off = max(abs(loss / true - 1) for loss, true in zip(losses[key], losses["torch f32"]))
        lines.append(f"| {key} | {losses[key][0]:.5f} | {losses[key][1]:.5f} | {errors[worst]:.2e} | `{worst}` |")
        if key.startswith("simbert") and not (errors[worst] < GRADIENT_BOUND[compute] and off < LOSS_BOUND[compute]):
            fine = False
    lines.append(f"\nBounds for simbert: gradients {GRADIENT_BOUND}, losses {LOSS_BOUND}, relative to PyTorch in f32.")
    return lines, fine


class Torch:
    """Full steps: forward, backward, clipping, AdamW."""

    def __init__(self, args, data: Data, weights, compute: str):
        self.data, self.compute, self.draw = data, compute, random.Random(args.seed)
        self.batch_pairs = args.batch_pairs
        self.network = Network(weights, args.model / "config.json", args.dropout)
        parameters = self.network.weights.values()
        groups = [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": 0.01},
            {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
        ]
        self.parameters = list(parameters)
        self.optimizer = torch.optim.AdamW(groups, lr=1e-5, eps=1e-7, fused=True)

    def step(self) -> tuple[float, float]:
        """Tokens and product operations a second."""
        began = time.perf_counter()
        batch = self.data.batch(self.draw.sample(range(len(self.data.rows)), self.batch_pairs))
        with autocast(self.compute):
            loss = sum(self.network.losses(batch))
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        loss.item()
        seconds = time.perf_counter() - began
        return batch.tokens / seconds, self.network.product_flops(batch) / batch.tokens


def product_rate(dtype: torch.dtype) -> float:
    """Operations a second of PyTorch's products, of a layer's widest shape: the median of 15."""
    a, b = torch.randn(1024, 384, dtype=dtype), torch.randn(384, 1536, dtype=dtype)
    rates = []
    for _ in range(15):
        began = time.perf_counter()
        for _ in range(4):
            a @ b
        rates.append(4 * 2.0 * 1024 * 384 * 1536 / (time.perf_counter() - began))
    return statistics.median(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simbert", type=Path, default=HERE / "../../target/release/simbert")
    parser.add_argument("--model", type=Path, default=HERE / "../../data/model", help="model directory to start from")
    parser.add_argument("--pairs", type=Path, help="TSV of sentence pairs; absent: random characters")
    parser.add_argument("--limit", type=int, default=20_000, help="most pairs to read")
    parser.add_argument("--batch-pairs", type=int, default=32)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="steps of a round, of which the first two are not counted")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    args = parser.parse_args()
    if args.steps < 3 or args.rounds < 1:
        parser.error("expected 3 or more steps and at least one round")
    if not args.simbert.is_file():
        parser.error(f"there is no {args.simbert}; `make build` makes it")
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    data = Data(args, Tokenizer.from_file(str(args.model / "tokenizer.json")))

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        lines, fine = compare(args, data, folder)
        print("\n".join(lines), flush=True)
        weights = load_weights(folder / "run/checkpoint/weights.safetensors")
        data.write(folder / "pairs.tsv")
        theirs = {compute: Torch(args, data, weights, compute) for compute in ("f32", "bf16")}
        rates = {f"{who} {compute}": [] for compute in ("f32", "bf16") for who in ("simbert", "torch")}
        products = {"f32": [], "bf16": []}
        per_token = []
        for number in range(args.rounds):
            for compute in ("f32", "bf16"):
                reports = run_simbert(args, folder, folder / "pairs.tsv", compute, args.steps, args.batch_pairs, False)
                rates[f"simbert {compute}"] += [r["tokens"] / r["seconds"] for r in reports[2:]]
                for step in range(args.steps):
                    rate, operations = theirs[compute].step()
                    if step >= 2:
                        rates[f"torch {compute}"].append(rate)
                        per_token.append(operations)
                products[compute].append(product_rate(torch.float32 if compute == "f32" else torch.bfloat16))
            print(f"round {number + 1} of {args.rounds}", file=sys.stderr, flush=True)

    median = {name: statistics.median(values) for name, values in rates.items()}
    lines += ["", "| full steps | tokens/s, median | lowest | highest |", "|---|---|---|---|"]
    lines += [f"| {n} | {median[n]:,.0f} | {min(v):,.0f} | {max(v):,.0f} |" for n, v in rates.items()]
    what = f"pairs of `{args.pairs.name}`" if args.pairs else "random characters"
    lines += ["", f"{args.threads} threads, PyTorch {torch.__version__}, {args.batch_pairs} pairs a step, {what}."]
    ratios = {}
    for compute, name in (("f32", "train_f32_vs_torch"), ("bf16", "train_bf16_vs_torch_bf16")):
        ratios[name] = median[f"simbert {compute}"] / median[f"torch {compute}"]
    for compute in ("f32", "bf16"):
        rate = statistics.median(products[compute])
        ratios[f"train_{compute}_of_gemm"] = median[f"simbert {compute}"] * statistics.median(per_token) / rate
        lines.append(f"PyTorch's products of 1024 x 384 x 1536 in {compute}: {rate / 1e9:.0f} GFLOP/s.")
    ratio_lines = [f"ratio {name} {value:.3f}" for name, value in ratios.items()]
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "train.md").write_text("\n".join([*lines, "", *(f"    {line}" for line in ratio_lines)]) + "\n")
    bars(args.results / "train.svg", "Training, tokens a second", median)
    print("\n".join([*lines[6:], *ratio_lines]))
    if not fine:
        sys.exit("losses or gradients differ by more than the bounds")


if __name__ == "__main__":
    main()
