#!/usr/bin/env python3
"""Similar questions by simbert beside Hugging Face transformers, on this machine, same weights and threads, in turns.

The peer is `BertLMHeadModel` with its own key and value cache: the source is read under a full mask, as UniLM wants it,
n samples share a copy of its cache each (that is how transformers batches), and each step draws by top-k and top-p with
transformers' own logits warpers and `torch.multinomial`, as `generate` does. Sampling by hand, because `generate` reads a
prompt under the causal mask. Positions and segments are simbert's, and the logits of both must agree.

Compared are the samples of a request (n drawn, decoded to text, each once), and the whole request (ranked as well, by the
mean over the encoder's states). simbert refuses stutters while it draws, transformers does not; both draw for the same
questions, with the same k, p and longest target. Writes `generate.md` and `generate.svg` and ends with a line for each ratio.
`make bench-generate` runs it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import transformers

from chart import bars
from writer import MAX_TOKENS, TOP_K, TOP_P, Transformers

HERE = Path(__file__).resolve().parent
# Largest difference of a logit.
BOUND = 1e-3


class Simbert:
    """`examples/generate.rs` as a running program."""

    def __init__(self, args, arithmetic: str):
        command = [args.example, args.model, arithmetic, str(args.threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **question) -> dict:
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("simbert's program ended; its error is above")
        return json.loads(line)

    def write(self, text: str, samples: int, k: int | None) -> list[str]:
        return self.ask(text=text, samples=samples, **({"k": k} if k else {}))["texts"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--example", type=Path, default=HERE / "../../target/release/examples/generate")
    parser.add_argument("--model", type=Path, default=HERE / "../../data/model")
    parser.add_argument("--questions", type=Path, default=HERE / "../../data/generation/questions.tsv")
    parser.add_argument("--count", type=int, default=6, help="questions to write for")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--results", type=Path, default=HERE / "results")
    args = parser.parse_args()
    if not args.example.is_file():
        parser.error(f"there is no {args.example}; `make bench-generate` builds it")
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    lines = args.questions.read_text(encoding="utf-8").splitlines()
    questions = [line.split("\t")[0] for line in lines if "\t" in line and "\tparaphrase" not in line]
    questions = questions[:: max(len(questions) // args.count, 1)][: args.count]
    peer, ours = Transformers(args.model), {name: Simbert(args, name) for name in ("f32", "int8")}

    furthest = 0.0
    for text in questions:
        source = peer.source(text)
        target = source[1:-1][::-1]  # any tokens will do
        found = torch.tensor(ours["f32"].ask(source=source, target=target)["logits"])
        furthest = max(furthest, (found - peer.logits(source, target)).abs().max().item())

    writers = {"transformers f32": peer, "simbert f32": ours["f32"], "simbert int8": ours["int8"]}
    tasks = [("samples, n = 20", 20, None), ("samples, n = 100", 100, None), ("whole, n = 20, k = 20", 20, 20)]
    tasks.append(("whole, n = 100, k = 20", 100, 20))
    times = {(task[0], name): [] for task in tasks for name in writers}
    written = {key: 0 for key in times}
    for writer in writers.values():
        writer.write(questions[0], 20, 20)  # warm
    for number in range(args.rounds):
        for text in questions:
            for task, samples, k in tasks:
                for name, writer in writers.items():
                    began = time.perf_counter()
                    texts = writer.write(text, samples, k)
                    times[task, name].append(time.perf_counter() - began)
                    written[task, name] += len(texts)
        print(f"round {number + 1} of {args.rounds}", file=sys.stderr, flush=True)

    lines = [
        f"Logits of simbert in f32 and of transformers differ by {furthest:.1e} at most (bound {BOUND:.0e}).",
        "",
        "| what | program | milliseconds, median | lowest | highest | sentences a second |",
        "|---|---|---|---|---|---|",
    ]
    rate = lambda key: written[key] / sum(times[key])
    for key, values in times.items():
        numbers = " | ".join(f"{1000 * value:,.0f}" for value in (statistics.median(values), min(values), max(values)))
        lines.append(f"| {key[0]} | {key[1]} | {numbers} | {rate(key):,.0f} |")
    what = f"top-k {TOP_K}, top-p {TOP_P}, at most {MAX_TOKENS} tokens, {len(questions)} questions of `{args.questions.name}`"
    versions = f"PyTorch {torch.__version__}, transformers {transformers.__version__}"
    lines += ["", f"{args.threads} threads, {versions}, {what}. Sentences: distinct ones, for `whole` the best k."]
    theirs = "transformers f32"
    ratios = {}
    for name, short in (("simbert f32", "f32"), ("simbert int8", "int8")):
        whole, one = "whole, n = 100, k = 20", "whole, n = 20, k = 20"
        ratios[f"generate_{short}_rate_vs_transformers"] = rate((whole, name)) / rate((whole, theirs))
        few = "samples, n = 20"
        ratios[f"generate_{short}_samples100_vs_transformers"] = sum(times["samples, n = 100", theirs]) / sum(
            times["samples, n = 100", name]
        )
        ratios[f"generate_{short}_one_request_time"] = sum(times[one, name]) / sum(times[one, theirs])
        ratios[f"generate_{short}_one_sampling_time"] = sum(times[few, name]) / sum(times[few, theirs])
    ratio_lines = [f"ratio {name} {value:.3f}" for name, value in ratios.items()]
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "generate.md").write_text("\n".join([*lines, "", *(f"    {line}" for line in ratio_lines)]) + "\n")
    medians = {f"{name}, {task}": 1000 * statistics.median(values) for (task, name), values in times.items()}
    bars(args.results / "generate.svg", "Similar questions for one, milliseconds (median)", medians, left=260)
    print("\n".join([*lines, *ratio_lines]))
    if not furthest <= BOUND:
        sys.exit("the logits differ by more than the bound")


if __name__ == "__main__":
    main()
