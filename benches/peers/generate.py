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
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import BertConfig, BertLMHeadModel, DynamicCache
from transformers.generation.logits_process import TopKLogitsWarper, TopPLogitsWarper

from chart import bars

HERE = Path(__file__).resolve().parent
TOP_K, TOP_P, MAX_TOKENS, SOURCE_TOKENS = 5, 0.95, 32, 64
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


class Transformers:
    def __init__(self, model: Path):
        config = BertConfig.from_pretrained(model)
        config.is_decoder, config.use_cache = True, True
        self.model = BertLMHeadModel(config).eval()
        weights = {name: tensor.float() for name, tensor in load_file(model / "model.safetensors").items()}
        words = weights["embeddings.word_embeddings.weight"]
        named = {n if n.startswith("cls.") else f"bert.{n}": t for n, t in weights.items() if not n.startswith("pooler.")}
        named |= {"cls.predictions.decoder.weight": words, "cls.predictions.decoder.bias": weights["cls.predictions.bias"]}
        result = self.model.load_state_dict(named, strict=False)
        if result.unexpected_keys or [n for n in result.missing_keys if "position_ids" not in n]:
            sys.exit(f"the weights do not fit: {result}")
        self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        names = self.tokenizer.get_vocab()
        find = lambda *choice: next(names[name] for name in choice if name in names)
        self.cls, self.sep = find("[CLS]", "<s>"), find("[SEP]", "</s>")
        others = [find("[PAD]", "<pad>"), self.cls, find("[UNK]", "<unk>"), find("[MASK]", "<mask>")]
        self.banned = torch.tensor(others + list(range(self.tokenizer.get_vocab_size(), config.vocab_size)))
        self.warpers = [TopKLogitsWarper(TOP_K), TopPLogitsWarper(TOP_P)]

    def source(self, text: str) -> list[int]:
        pieces = self.tokenizer.encode(text, add_special_tokens=False).ids
        return [self.cls, *pieces[: SOURCE_TOKENS - 2], self.sep]

    def read(self, source: list[int], rows: int):
        """The source's cache for so many rows, and the logits of the first target token."""
        length, cache = len(source), DynamicCache(config=self.model.config)
        out = self.model(
            input_ids=torch.tensor([source]),
            token_type_ids=torch.zeros(1, length, dtype=torch.long),
            position_ids=torch.arange(length)[None],
            attention_mask=torch.zeros(1, 1, length, length),  # added to the scores: all see all
            cache=cache,
            use_cache=True,
        )
        cache.batch_repeat_interleave(rows)
        return cache, out.logits[:, -1].expand(rows, -1)

    def step(self, cache, tokens: torch.Tensor, position: int) -> torch.Tensor:
        rows = len(tokens)
        out = self.model(
            input_ids=tokens[:, None],
            token_type_ids=torch.ones(rows, 1, dtype=torch.long),
            position_ids=torch.full((rows, 1), position),
            attention_mask=torch.zeros(rows, 1, 1, position + 1),
            cache=cache,
            use_cache=True,
        )
        return out.logits[:, -1]

    @torch.inference_mode()
    def logits(self, source: list[int], target: list[int]) -> torch.Tensor:
        cache, logits = self.read(source, 1)
        rows = [logits[0]]
        for i, token in enumerate(target):
            rows.append(self.step(cache, torch.tensor([token]), len(source) + i)[0])
        return torch.stack(rows)

    @torch.inference_mode()
    def write(self, text: str, samples: int, k: int | None) -> list[str]:
        source = self.source(text)
        cache, logits = self.read(source, samples)
        ended = torch.zeros(samples, dtype=torch.bool)
        targets = torch.empty(samples, 0, dtype=torch.long)
        for i in range(MAX_TOKENS):
            logits = logits.index_fill(1, self.banned, -torch.inf)
            for warper in self.warpers:
                logits = warper(targets, logits)
            tokens = torch.multinomial(logits.softmax(-1), 1)[:, 0].masked_fill(ended, self.sep)
            targets = torch.cat([targets, tokens[:, None]], dim=1)
            ended |= tokens == self.sep
            if ended.all() or i + 1 == MAX_TOKENS:
                break
            logits = self.step(cache, tokens, len(source) + i)
        rows = [[t for t in row if t != self.sep] for row in targets.tolist()]
        texts = dict.fromkeys(self.tokenizer.decode(row) for row in rows)
        texts = [found for found in texts if found.strip() and found != text]
        return self.best(text, texts, k) if k else texts

    def best(self, text: str, texts: list[str], k: int) -> list[str]:
        """By the cosine of the mean over all tokens, in batches sorted by length."""
        vectors, order = [None] * (len(texts) + 1), []
        sources = [self.source(one) for one in [text, *texts]]
        order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
        for start in range(0, len(order), 16):
            chosen = order[start : start + 16]
            longest = len(sources[chosen[-1]])
            ids = torch.tensor([sources[i] + [0] * (longest - len(sources[i])) for i in chosen])
            seen = torch.tensor([[1.0] * len(sources[i]) + [0.0] * (longest - len(sources[i])) for i in chosen])
            mask = ((seen - 1.0) * 1e9)[:, None, None, :].expand(-1, 1, longest, longest)
            states = self.model.bert(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
            means = (states * seen[..., None]).sum(1) / seen.sum(1, keepdim=True)
            for i, vector in zip(chosen, F.normalize(means)):
                vectors[i] = vector
        scores = torch.stack(vectors[1:]) @ vectors[0] if texts else torch.empty(0)
        return [texts[i] for i in scores.argsort(descending=True)[:k].tolist()]


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
