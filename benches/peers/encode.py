#!/usr/bin/env python3
"""Sentence vectors by simbert beside ONNX Runtime's Python and PyTorch, from the same weights, on this machine, in turns.

The peers do what is usual: batches of 32 in the order of the file, padded to the longest; PyTorch by `transformers`, mean
over the tokens, length 1; ONNX Runtime over the graph that `torch.onnx` would give: plain operators, f32. simbert encodes
through its batcher, in f32 and in int8. All vectors are compared first. Then come short rounds over slices of the
questions, single queries, and a bank indexed from the same questions. Writes `encode.md` and `encode.svg`, and ends with a
line for each ratio. `make bench-encode` runs it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

from chart import bars

HERE = Path(__file__).resolve().parent
PEER_BATCH = 32
LEAST_COSINE = {"f32": 0.9999, "int8": 0.99}


def special_ids(tokenizer: Tokenizer) -> tuple[int, int, int]:
    names = tokenizer.get_vocab()
    choices = (("[PAD]", "<pad>"), ("[CLS]", "<s>"), ("[SEP]", "</s>"))
    return tuple(next(names[name] for name in choice if name in names) for choice in choices)


class Reader:
    """Texts to padded ids and masks, as a user of `tokenizers` gets them."""

    def __init__(self, model: Path):
        config = json.loads((model / "config.json").read_text())
        self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self.pad, self.cls, self.sep = special_ids(self.tokenizer)
        self.most = config.get("max_tokens", 64)

    def read(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        found = self.tokenizer.encode_batch(texts, add_special_tokens=False)
        rows = [[self.cls, *one.ids[: self.most - 2], self.sep] for one in found]
        ids = np.full((len(rows), max(map(len, rows))), self.pad, np.int64)
        for place, row in zip(ids, rows):
            place[: len(row)] = row
        return ids, (np.arange(ids.shape[1]) < np.array([len(row) for row in rows])[:, None]).astype(np.int64)


class Peer:
    """Encodes in padded batches in the order of the texts."""

    def __init__(self, reader: Reader):
        self.reader = reader

    def encode(self, texts: list[str]) -> np.ndarray:
        parts = [self.vectors(*self.reader.read(texts[i : i + PEER_BATCH])) for i in range(0, len(texts), PEER_BATCH)]
        return np.concatenate(parts)


class Onnx(Peer):
    def __init__(self, reader: Reader, graph: Path, threads: int):
        super().__init__(reader)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def vectors(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return self.session.run(None, {"input_ids": ids, "attention_mask": mask})[0]


class Torch(Peer):
    def __init__(self, reader: Reader, model: Path):
        super().__init__(reader)
        config = json.loads((model / "config.json").read_text())
        known = {key: config[key] for key in BertConfig().to_dict() if key in config and key != "pad_token_id"}
        self.network = BertModel(BertConfig(**known), add_pooling_layer=False).eval()
        weights = {n.removeprefix("bert."): t.float() for n, t in load_file(model / "model.safetensors").items()}
        missing, _ = self.network.load_state_dict(weights, strict=False)
        if [name for name in missing if "position_ids" not in name]:
            sys.exit(f"the weights lack {missing}")

    def vectors(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        ids, mask = torch.from_numpy(ids), torch.from_numpy(mask)
        with torch.inference_mode():
            x = self.network(input_ids=ids, attention_mask=mask).last_hidden_state
            mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            return torch.nn.functional.normalize(mean).numpy()


class Simbert:
    """The command, which tells its own rates: loading a model is not counted."""

    def __init__(self, args, int8: bool):
        self.args, self.int8 = args, int8

    def run(self, *command) -> str:
        command = [self.args.simbert, *map(str, command), "--model", self.args.model, "--threads", str(self.args.threads)]
        if self.int8:
            command.append("--int8")
        elif "bench" in command:
            command += ["--arithmetic", "f32"]  # left to itself, it takes all that there are
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"simbert failed: {done.stderr}")
        return done.stdout

    def encode(self, file: Path, folder: Path) -> np.ndarray:
        self.run("encode", "--file", file, "--output", folder / "v.npy")
        return np.load(folder / "v.npy")

    def rate(self, file: Path, skip: int, count: int) -> dict:
        layout = f"{self.args.threads}x1"
        options = ["--skip", skip, "--limit", count, "--rounds", 1, "--layout", layout, "--budget", 256, "--json"]
        return json.loads(self.run("bench", "encode", file, *options))

    def lone(self, file: Path, count: int) -> dict:
        options = ["--limit", count, "--lone", count, "--budget", 256, "--json"]
        return json.loads(self.run("bench", "encode", file, *options))

    def index(self, file: Path, folder: Path) -> float:
        bank = ["--bank", "bench", "--data", folder / f"data-{time.monotonic_ns()}"]
        return json.loads(self.run("index", file, *bank, "--json"))["questions_per_second"]


def bare_p50(graph: Path, reader: Reader, texts: list[str]) -> float:
    """Milliseconds of a session's call alone, ids ready, one thread: what our lone call is held against."""
    bare = Onnx(reader, graph, 1)
    inputs = [reader.read([text]) for text in texts]
    for one in inputs[:20]:
        bare.vectors(*one)
    times = []
    for one in inputs:
        began = time.perf_counter()
        bare.vectors(*one)
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simbert", type=Path, default=HERE / "../../target/release/simbert")
    parser.add_argument("--model", type=Path, default=HERE / "../../data/model", help="model directory, exported in f32 and int8")
    parser.add_argument("--questions", type=Path, required=True, help="a question a line")
    parser.add_argument("--limit", type=int, default=20_000, help="questions, spread over the file")
    parser.add_argument("--rounds", type=int, default=4, help="slices of the questions, each encoded by all in turn")
    parser.add_argument("--lone", type=int, default=300, help="single queries to time")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--results", type=Path, default=HERE / "results")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    lines = [line.strip() for line in args.questions.open(encoding="utf-8") if line.strip()]
    texts = lines[:: max(1, len(lines) // args.limit)][: args.limit]
    reader, graph = Reader(args.model), {"f32": args.model / "encoder.onnx", "int8": args.model / "encoder.int8.onnx"}
    peers = {"onnxruntime": Onnx(reader, graph["f32"], args.threads), "torch": Torch(reader, args.model)}
    ours = {"simbert f32": Simbert(args, False), "simbert int8": Simbert(args, True)}

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        file, few = folder / "texts.txt", folder / "few.txt"
        file.write_text("\n".join(texts) + "\n", encoding="utf-8")
        few.write_text("\n".join(texts[:200]) + "\n", encoding="utf-8")
        truth = peers["torch"].encode(texts[:200])
        for name, found in [("onnxruntime", peers["onnxruntime"].encode(texts[:200]))] + [
            (name, one.encode(few, folder)) for name, one in ours.items()
        ]:
            least = (found * truth).sum(1).min()
            if not least >= LEAST_COSINE["int8" if "int8" in name else "f32"]:
                sys.exit(f"{name} gives other vectors than torch: least cosine {least:.5f}")

        rates = {name: [] for name in [*ours, *peers]}
        tokens, flops, products, banks = [], [], [], []
        lone, bare, direct = ({name: [] for name in ours} for _ in range(3))
        size = len(texts) // args.rounds
        for number in range(args.rounds):
            part = texts[number * size : (number + 1) * size]
            for name, one in ours.items():
                row = one.rate(file, number * size, size)
                rates[name].append(row["sentences_per_second"])
                products.append(row["product_flops"])
                if name == "simbert f32":
                    flops.append(row["flops"])
                    tokens.append(row["tokens_per_second"] / row["sentences_per_second"])
                bare[name].append(bare_p50(graph[name.split()[1]], reader, texts[: args.lone]))
                alone = one.lone(file, args.lone)
                lone[name].append(alone["p50_ms"])
                direct[name].append(alone["to_direct"])
            (folder / "part.txt").write_text("\n".join(part) + "\n", encoding="utf-8")
            banks.append(ours["simbert int8"].index(folder / "part.txt", folder))
            for name, peer in peers.items():
                began = time.perf_counter()
                peer.encode(part)
                rates[name].append(len(part) / (time.perf_counter() - began))
            print(f"round {number + 1} of {args.rounds}", file=sys.stderr, flush=True)

    median = {name: statistics.median(values) for name, values in rates.items()}
    each = statistics.median(tokens)
    table = [f"{len(texts):,} questions of `{args.questions.name}`, {each:.1f} tokens each, {args.threads} threads, {args.rounds} rounds.", ""]
    table += ["| | sentences/s, median | lowest | highest | tokens/s |", "|---|---|---|---|---|"]
    table += [f"| {n} | {median[n]:,.0f} | {min(v):,.0f} | {max(v):,.0f} | {median[n] * each:,.0f} |" for n, v in rates.items()]
    table += ["", f"onnxruntime {onnxruntime.__version__} and PyTorch {torch.__version__} in batches of {PEER_BATCH} in the order of the file.", ""]
    table += ["| one question, ms, median | bare session | simbert, with its tokens and queue |", "|---|---|---|"]
    table += [f"| {n} | {statistics.median(bare[n]):.2f} | {statistics.median(lone[n]):.2f} |" for n in ours]
    rate = statistics.median(products)
    table += ["", f"`simbert index --int8` wrote {statistics.median(banks):,.0f} questions a second into a bank."]
    table += [f"Plain f32 products of a layer's shape: {rate / 1e9:.0f} GFLOP/s; simbert f32 {statistics.median(flops) / 1e9:.0f}."]
    pairwise = lambda a, b: statistics.median(x / y for x, y in zip(a, b))
    ratios = {
        "encode_f32_vs_onnxruntime": pairwise(rates["simbert f32"], rates["onnxruntime"]),
        "encode_int8_vs_onnxruntime": pairwise(rates["simbert int8"], rates["onnxruntime"]),
        "encode_f32_vs_torch": pairwise(rates["simbert f32"], rates["torch"]),
        "encode_int8_vs_torch": pairwise(rates["simbert int8"], rates["torch"]),
        "encode_int8_vs_f32": pairwise(rates["simbert int8"], rates["simbert f32"]),
        "encode_lone_f32_to_bare": pairwise(lone["simbert f32"], bare["simbert f32"]),
        "encode_lone_int8_to_bare": pairwise(lone["simbert int8"], bare["simbert int8"]),
        "encode_lone_f32_to_direct": statistics.median(direct["simbert f32"]),
        "encode_lone_int8_to_direct": statistics.median(direct["simbert int8"]),
        "encode_index_int8_to_encode": pairwise(banks, rates["simbert int8"]),
        "encode_f32_of_gemm": statistics.median(flops) / rate,
    }
    ratio_lines = [f"ratio {name} {value:.3f}" for name, value in ratios.items()]
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "encode.md").write_text("\n".join([*table, "", *(f"    {line}" for line in ratio_lines)]) + "\n")
    bars(args.results / "encode.svg", "Encoding, sentences a second", median)
    print("\n".join([*table, *ratio_lines]))


if __name__ == "__main__":
    main()
