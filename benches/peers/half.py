#!/usr/bin/env python3
"""What f16 weights would bring the encoder: the graph with its weights in f16 and a `Cast` behind each, beside the f32 one,
in ONNX Runtime on one thread. Each session is opened in a process of its own, in turns. Writes `half.md` and ends with a line
for each ratio. `make bench-half` runs it.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
ROWS, TOKENS, CALLS = 16, 14, 40
# Smaller tensors stay as they are.
LEAST = 1000


def halve(graph: Path, target: Path) -> None:
    model = onnx.load(graph)
    casts, kept = [], []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < LEAST:
            kept.append(tensor)
            continue
        half = f"{tensor.name}.f16"
        kept.append(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), half))
        casts.append(helper.make_node("Cast", [half], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    onnx.save(model, target)


def resident() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def measure(graph: Path) -> dict:
    """Seconds to open, MiB more afterwards, processor milliseconds of a call, and the first vector."""
    before, began = resident(), time.perf_counter()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    opened = time.perf_counter() - began
    ids = np.random.default_rng(0).integers(200, 4000, (ROWS, TOKENS))
    times = []
    for _ in range(CALLS):
        began = time.process_time()
        vectors = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
        times.append(time.process_time() - began)
    call = 1e3 * statistics.median(times)
    return {"open": opened, "memory": resident() - before, "call": call, "vector": vectors[0].tolist()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=HERE / "../../data/model", help="an exported model directory")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        return print(json.dumps(measure(args.measure)))
    rows = {"f32": [], "f16 with casts": []}
    with tempfile.TemporaryDirectory() as folder:
        half = Path(folder) / "encoder.onnx"
        halve(args.model / "encoder.onnx", half)
        sizes = [(args.model / "weights.bin").stat().st_size, half.stat().st_size]
        for _ in range(args.rounds):
            for name, graph in zip(rows, (args.model / "encoder.onnx", half)):
                command = [sys.executable, __file__, "--measure", str(graph)]
                rows[name].append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    median = {name: {key: statistics.median(one[key] for one in found) for key in ("open", "memory", "call")} for name, found in rows.items()}
    table = [f"`{args.model.resolve().name}`, {ROWS} sentences of {TOKENS} tokens a call, one thread, {args.rounds} rounds.", ""]
    table += ["| weights | MB on disk | seconds to open | MiB for a session | ms of a call |", "|---|---|---|---|---|"]
    table += [
        f"| {name} | {size / 1e6:.0f} | {row['open']:.2f} | {row['memory']:.0f} | {row['call']:.1f} |"
        for (name, row), size in zip(median.items(), sizes)
    ]
    plain, half = rows.values()
    furthest = np.abs(np.array(plain[0]["vector"]) - np.array(half[0]["vector"])).max()
    table += ["", f"The vectors differ by {furthest:.1e} at most."]
    ratios = {f"half_{key}_to_f32": median["f16 with casts"][key] / median["f32"][key] for key in ("call", "memory")}
    ratios["half_disk_to_f32"] = sizes[1] / sizes[0]
    ratio_lines = [f"ratio {name} {value:.3f}" for name, value in ratios.items()]
    (args.results / "half.md").write_text("\n".join([*table, "", *(f"    {line}" for line in ratio_lines)]) + "\n")
    print("\n".join([*table, *ratio_lines]))


if __name__ == "__main__":
    main()
