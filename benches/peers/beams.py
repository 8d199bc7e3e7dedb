#!/usr/bin/env python3
"""Ways to draw similar questions from one model, by what `simbert eval generation` measures: sampling with its controls
beside diverse beam search (Vijayakumar et al. 2016: groups of beams one after another, and a token that earlier groups have
chosen in this step loses `penalty` for each time).

Beams are searched here, over transformers' `BertLMHeadModel`; what they find is folded, ranked and judged by simbert as its
own samples are. Writes `beams.md` and ends with a line for each ratio. `make bench-beams` runs it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from writer import MAX_TOKENS, Transformers

HERE = Path(__file__).resolve().parent
BEAMS = [(1, 100, 0.0), (20, 5, 0.5), (20, 5, 2.0)]
SAMPLES = {
    "sampling, top-k 5, top-p 0.95 (default)": [],
    "sampling, top-p 0.95 alone": ["--top-k", "0"],
    "copy penalty 1": ["--copy-penalty", "1"],
    "copy penalty 3": ["--copy-penalty", "3"],
    "source masked by 0.15": ["--mask-source", "0.15"],
    "source masked by 0.3": ["--mask-source", "0.3"],
}
COLUMNS = {
    "returned": "returned",
    "distinct": "distinct",
    "self-BLEU": "self_bleu",
    "cosine": "similarity",
    "copies": "copy_rate",
    "labelled found": "coverage",
    "bigram F1 of the nearest": "soft_coverage",
    "statements kept": "statements_kept",
    "questions kept": "questions_kept",
}


def stutters(target: list[int], source: list[int]) -> set[int]:
    """Tokens that would make a target stutter, as simbert refuses them while it samples (`src/generate/wording.rs`)."""
    said = lambda tokens, run: sum(tokens[i : i + len(run)] == run for i in range(len(tokens) - len(run) + 1))
    enough = lambda run: said(target, run) >= max(said(source, run), 1)
    refused = {token for token in source if enough([token])}
    refused |= {b for a, b in zip(target, target[1:]) if a == target[-1] and enough([a, b])}
    if len(target) > 1 and target[-1] == target[-2] and not said(source, [target[-1]] * 3):
        refused.add(target[-1])
    return refused


@torch.inference_mode()
def diverse_beams(model: Transformers, text: str, groups: int, width: int, penalty: float) -> list[str]:
    """What `groups` times `width` beams find, the likeliest for their length first."""
    source, rows = model.source(text), groups * width
    cache, logits = model.read(source, rows)
    logits = logits.clone()
    scores = torch.full((groups, width), -1e9)
    scores[:, 0] = 0.0  # all beams of a group begin as one
    targets = torch.empty(rows, 0, dtype=torch.long)
    ended: list[tuple[float, list[int]]] = []
    for i in range(MAX_TOKENS):
        likely = logits.index_fill(1, model.banned, -torch.inf).log_softmax(-1)
        for row, target in enumerate(targets.tolist()):
            likely[row, list(stutters(target, source[1:-1]))] = -torch.inf
        likely = likely.view(groups, width, -1)
        chosen = torch.zeros(likely.shape[-1])
        parents, tokens, totals = [], [], []
        for group in range(groups):
            total = scores[group, :, None] + likely[group]
            found = (total - penalty * chosen).flatten().topk(2 * width)
            kept = []
            for place in found.indices.tolist():
                parent, token = divmod(place, likely.shape[-1])
                value = total[parent, token].item()
                if token == model.sep:
                    if i:
                        ended.append((value / (i + 1), targets[group * width + parent].tolist()))
                elif len(kept) < width:
                    kept.append((group * width + parent, token, value))
            for parent, token, value in kept:
                parents.append(parent), tokens.append(token), totals.append(value)
                chosen[token] += 1
        order = torch.tensor(parents)
        scores = torch.tensor(totals).view(groups, width)
        targets = torch.cat([targets[order], torch.tensor(tokens)[:, None]], dim=1)
        # Those that are far behind what has ended never come back.
        best = sorted((value for value, _ in ended), reverse=True)[:rows]
        if len(best) == rows and (scores.max() / (i + 2)).item() < best[-1]:
            break
        cache.reorder_cache(order)
        logits = model.step(cache, torch.tensor(tokens), len(source) + i)
    texts = [model.tokenizer.decode(target) for _, target in sorted(ended, key=lambda one: -one[0])]
    return list(dict.fromkeys(texts))[:rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simbert", type=Path, default=HERE / "../../target/release/simbert")
    parser.add_argument("--model", type=Path, default=HERE / "../../data/model")
    parser.add_argument("--files", type=Path, nargs="+", default=sorted((HERE / "../../data/generation").glob("*s.tsv")))
    parser.add_argument("--count", type=int, default=36, help="sentences, spread over the files")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    args = parser.parse_args()
    model = Transformers(args.model)
    lines = [line for file in args.files for line in file.read_text(encoding="utf-8").splitlines()[1:] if line.strip()]
    lines = lines[:: max(len(lines) // args.count, 1)]
    texts = list(dict.fromkeys(line.split("\t")[0] for line in lines))

    def judge(*options) -> dict:
        command = [args.simbert, "eval", "generation", examples, "--model", args.model, "--json", *options]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"simbert failed: {done.stderr}")
        return json.loads(done.stdout)

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        examples = Path(folder) / "examples.tsv"
        examples.write_text("\n".join(lines) + "\n", encoding="utf-8")
        for name, options in SAMPLES.items():
            found[name] = judge(*options)
            print(f"{name}: done", file=sys.stderr, flush=True)
        for groups, width, penalty in BEAMS:
            name = f"{groups} groups of {width} beams, penalty {penalty}" if groups > 1 else f"{width} beams"
            file = Path(folder) / "written.jsonl"
            with file.open("w", encoding="utf-8") as out:
                for text in texts:
                    written = diverse_beams(model, text, groups, width, penalty)
                    out.write(json.dumps({"text": text, "written": written}, ensure_ascii=False) + "\n")
            found[name] = judge("--written", file)
            print(f"{name}: done", file=sys.stderr, flush=True)

    table = [f"{len(texts)} sentences, 100 samples or beams, the best 20 of them by simbert's ranking.", ""]
    table += ["| | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    table += [f"| {name} | " + " | ".join(f"{row[key]:.3f}" for key in COLUMNS.values()) + " |" for name, row in found.items()]
    rows = list(found.values())
    sampled, beams = rows[0], rows[len(SAMPLES) :]
    ratios = {
        "beams_best_f1_to_sampling": max(row["soft_coverage"] for row in beams) / sampled["soft_coverage"],
        "beams_least_self_bleu_to_sampling": min(row["self_bleu"] for row in beams) / sampled["self_bleu"],
    }
    ratio_lines = [f"ratio {name} {value:.3f}" for name, value in ratios.items()]
    (args.results / "beams.md").write_text("\n".join([*table, "", *(f"    {line}" for line in ratio_lines)]) + "\n")
    print("\n".join([*table, *ratio_lines]))


if __name__ == "__main__":
    main()
