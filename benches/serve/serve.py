#!/usr/bin/env python3
"""A server under load, from a separate process on the same machine, and beside the same work without a server.

Indexes a bank once and keeps it, copies it, and serves the copy by the real binary with no cache of vectors, so that each
query is encoded. One caller's searches are held against the same searches in one process, and those of many callers
against encoding the same lines alone, in f32 and in int8, by a server that lets them wait. Then, in int8 and by a server
as it is by default, a closed loop with ever more callers finds what it answers at most of a mix of calls; open loops
offer shares of that, up to twice as much, and then four fifths again. The load generator runs on the same cores; what it
takes of them is in the table. Writes `serve.md` and `serve.svg`, and ends with a line for each ratio. `make bench-serve`
runs it.
"""

import argparse
import contextlib
import hashlib
import math
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))
from chart import log_ticks, panel, write_svg  # noqa: E402
from server import Program, Server  # noqa: E402

BANK = "bench"
CALLERS = (1, 2, 4, 8, 16, 32, 64, 128)
SHARES = (0.2, 0.5, 0.8, 1.0, 2.0)
USUAL, OVERLOAD = 0.8, 2.0
ARITHMETICS = ("f32", "int8")
# The share of calls that may be turned away where the server is to answer the whole mix.
HARDLY_ANY = 0.01
# Of a server whose callers are to be answered, however many: so that none is turned away where throughput is measured.
PATIENT = ("--max-wait", "5000")
# What the ratios should be: at most, or at least.
BARS = {
    "serve_p99_overload_to_80": (1, 3.0),
    "serve_p99_overload_to_80_all": (1, 3.0),
    "serve_p99_after_overload": (1, 1.5),
    **{f"serve_p50_to_bare_{arithmetic}": (1, 1.2) for arithmetic in ARITHMETICS},
    **{f"serve_qps_to_encode_{arithmetic}": (-1, 0.9) for arithmetic in ARITHMETICS},
}


def spread(lines: list[str], count: int, offset: float = 0.0) -> list[str]:
    """So many lines, spread over all of them; another offset gives others."""
    step = len(lines) / count
    return [lines[int((i + offset) * step)] for i in range(count)]


def prepare(args, program: Program) -> tuple[Path, Path]:
    """The folder of a bank with graphs, made unless it is there, and a file of other lines to ask for."""
    lines = [line.strip() for line in args.questions.open(encoding="utf-8") if line.strip()]
    if len(lines) < 2 * args.count:
        sys.exit(f"{args.questions}: expected at least {2 * args.count} lines, twice the bank, received {len(lines)}")
    stored = spread(lines, args.count)
    graph = args.model / ("encoder.int8.onnx" if program.arithmetic == "int8" else "encoder.onnx")
    known = hashlib.sha256("\n".join(stored).encode() + graph.read_bytes())
    folder = args.cache / f"{args.count}-{known.hexdigest()[:12]}"
    data, queries = folder / "data", folder / "queries.txt"
    if not (folder / "whole").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "stored.txt").write_text("\n".join(stored) + "\n", encoding="utf-8")
        asked = spread(lines, args.count, 0.5)
        queries.write_text("\n".join(asked) + "\n", encoding="utf-8")
        print(f"indexing {args.count:,} questions in {program.arithmetic}, once", file=sys.stderr, flush=True)
        program.run("index", folder / "stored.txt", "--bank", BANK, "--data", data)
        program.run("bench", "search", queries, "--bank", BANK, "--data", data, "--limit", 1)  # links them
        (folder / "whole").touch()
    return data, queries


@contextlib.contextmanager
def serving(args, program: Program, data: Path, queries: Path, options: tuple[str, ...] = ()) -> Iterator[Server]:
    """A server over a copy of the bank, which is open."""
    with tempfile.TemporaryDirectory(dir=args.cache) as copy:
        shutil.copytree(data, Path(copy) / "data")
        with Server(program, Path(copy) / "data", BANK, queries, [*options, *args.serve.split()]) as server:
            server.load("--callers", 1, "--seconds", 1)
            yield server


def milliseconds(row: dict) -> str:
    return " | ".join(f"{row[key]:,.1f}" for key in ("p50_ms", "p99_ms", "p999_ms", "max_ms"))


def refused(row: dict) -> float:
    return sum(row["codes"].values()) / max(row["calls"], 1)


def saturation(args, server: Server, table: list[str]) -> float:
    """Answered calls a second at most, of ever more callers who wait for their answers, as long as hardly any is turned
    away: what is left of the mix then is easier than the mix."""
    table += ["", "| callers | answered a second | p50 ms | p99 ms | p99.9 ms | longest ms | turned away | server's cores | load's cores |"]
    table += ["|---|---|---|---|---|---|---|---|---|"]
    best = 0.0
    for callers in CALLERS:
        found = server.load("--callers", callers, "--mix", args.mix, "--seconds", args.seconds / 2)
        row = found["all"]
        if refused(row) < HARDLY_ANY:
            best = max(best, row["done_per_second"])
        cores = f"{found['server_cores']:.2f} | {found['own_cores']:.2f}"
        table += [f"| {callers} | {row['done_per_second']:,.1f} | {milliseconds(row)} | {refused(row):.1%} | {cores} |"]
    return best


def shares(args, server: Server, most: float, table: list[str]) -> list[tuple[float, dict]]:
    """Open loops at shares of `most`, and at the usual one again right after the overload."""
    table += ["", f"Offered at random, in shares of the {most:,.1f} calls a second above; 0.8 again right after 2.0.", ""]
    table += ["| offered | call | made | answered a second | p50 ms | p99 ms | p99.9 ms | longest ms | turned away | server's cores | load's cores |"]
    table += ["|---|---|---|---|---|---|---|---|---|---|---|"]
    found = []
    for share in [*SHARES, USUAL]:
        again = len(found) == len(SHARES)
        options = ["--rate", share * most, "--mix", args.mix, "--seconds", args.seconds, "--seed", 7]
        one = server.load(*options, warm_up=0 if again else 2)
        found.append((share, one))
        cores = f"{one['server_cores']:.2f} | {one['own_cores']:.2f}"
        for name, row in [*one["calls"].items(), ("all", one["all"])]:
            table += [
                f"| {share:.1f}{' after' if again else ''} | {name} | {row['calls']} | {row['done_per_second']:,.1f} | "
                f"{milliseconds(row)} | {refused(row):.1%} | {cores} |"
            ]
            cores = " | "
    return found


def beside_bare(args, program: Program, server: Server, bare_data: Path, queries: Path, table: list[str]) -> dict[str, float]:
    """One caller beside searches in one process, many callers beside encoding alone: medians over rounds in turns."""
    p50, bare, rates, encoded, own = [], [], [], [], []
    for number in range(args.rounds):
        skip = number * args.lone
        lines = ["--skip", skip, "--limit", args.lone]
        one = server.load("--callers", 1, *lines, "--seconds", args.seconds / 2)
        p50.append(one["all"]["p50_ms"])
        bare.append(program.json("bench", "search", queries, "--bank", BANK, "--data", bare_data, *lines)["p50_ms"])
        many = server.load("--callers", args.callers, "--limit", 20_000, "--seconds", args.seconds / 2)
        rates.append(many["all"]["done_per_second"])
        own.append(many["own_cores"])
        encoded.append(program.encoding(queries, 4096))
        print(f"{program.arithmetic}: round {number + 1} of {args.rounds}", file=sys.stderr, flush=True)
    spare = 1 - statistics.median(own) / os.cpu_count()
    table += ["", f"| {program.arithmetic}: searches, ten hits each | over gRPC | without a server | |", "|---|---|---|---|"]
    table += [f"| one caller, p50 ms | {statistics.median(p50):.2f} | {statistics.median(bare):.2f} | the same searches in one process |"]
    table += [
        f"| {args.callers} callers, a second | {statistics.median(rates):,.0f} | {statistics.median(encoded):,.0f} | "
        f"the same lines encoded, and nothing else |"
    ]
    table += ["", f"The load took {statistics.median(own):.2f} of the {os.cpu_count()} cores from the server meanwhile; `of_the_rest` is the same ratio over what that left."]
    pairwise = lambda a, b: statistics.median(x / y for x, y in zip(a, b))
    return {
        f"serve_p50_to_bare_{program.arithmetic}": pairwise(p50, bare),
        f"serve_qps_to_encode_{program.arithmetic}": pairwise(rates, encoded),
        f"serve_qps_to_encode_of_the_rest_{program.arithmetic}": pairwise(rates, encoded) / spare,
    }


def under_load(args, server: Server, table: list[str]) -> tuple[dict[str, float], float, list[tuple[float, dict]]]:
    """The ratios of the closed and open loops, what was answered at most, and what each open loop saw."""
    most = saturation(args, server, table)
    found = shares(args, server, most, table)
    usual, over, after = (
        {**found[i][1]["calls"], "all": found[i][1]["all"]} for i in (SHARES.index(USUAL), SHARES.index(OVERLOAD), -1)
    )
    ratios = {}
    for name in usual:
        label = "" if name == "search" else f"_{name}"
        ratios[f"serve_p99_overload_to_80{label}"] = over[name]["p99_ms"] / usual[name]["p99_ms"]
    ratios["serve_p99_after_overload"] = after["search"]["p99_ms"] / usual["search"]["p99_ms"]
    ratios["serve_shed_at_overload"] = refused(over["all"])
    return ratios, most, found


def draw(path: Path, most: float, found: list[tuple[float, dict]]) -> None:
    rows = [(share, one) for share, one in found[: len(SHARES)]]
    lines = {f"{name} p99": [(share, one["calls"][name]["p99_ms"]) for share, one in rows] for name in rows[0][1]["calls"]}
    lines["search p50"] = [(share, one["calls"]["search"]["p50_ms"]) for share, one in rows]
    values = [value for points in lines.values() for _, value in points if value > 0]
    logged = {name: [(x, math.log10(max(y, 1e-3))) for x, y in points] for name, points in lines.items()}
    x_ticks = [(share, f"{share}") for share in SHARES]
    first = panel(0, "Milliseconds until the answer", "offered, of what it answers at most", x_ticks, log_ticks(min(values), max(values)), logged)
    rates = {"answered a second": [(share, one["all"]["done_per_second"]) for share, one in rows]}
    top = max(y for _, y in rates["answered a second"])
    y_ticks = [(top * part / 4, f"{top * part / 4:,.0f}") for part in range(5)]
    write_svg(path, [first, panel(400, "Calls answered", "offered, of what it answers at most", x_ticks, y_ticks, rates)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simbert", type=Path, default=HERE / "../../target/release/simbert")
    parser.add_argument("--model", type=Path, default=HERE / "../../data/model", help="model directory, exported in f32 and int8")
    parser.add_argument("--questions", type=Path, required=True, help="a question a line: twice as many as the bank, or more")
    parser.add_argument("--count", type=int, default=100_000, help="questions of the bank")
    parser.add_argument("--mix", default="search=80,embed=10,upsert=8,generate=2")
    parser.add_argument("--seconds", type=float, default=10, help="of each load of the open loop; the others are half as long")
    parser.add_argument("--rounds", type=int, default=3, help="of what is held against the bare work")
    parser.add_argument("--lone", type=int, default=1000, help="queries of one caller")
    parser.add_argument("--callers", type=int, default=128, help="who search at once when that is held against encoding")
    parser.add_argument("--arithmetics", default=",".join(ARITHMETICS), help="of the part without load")
    parser.add_argument("--parts", default="load,bare", help="which parts to run")
    parser.add_argument("--serve", default="", help="further options of `simbert serve`")
    parser.add_argument("--cache", type=Path, default=HERE / "../../target/bench-serve", help="where the bank is kept")
    parser.add_argument("--prepare", action="store_true", help="make the bank, and no more")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    args = parser.parse_args()
    args.results.mkdir(parents=True, exist_ok=True)
    table, ratios = [], {}
    parts = args.parts.split(",")
    for arithmetic in args.arithmetics.split(","):
        loaded = "load" in parts and arithmetic == "int8"
        if not (loaded or "bare" in parts):
            continue
        program = Program(args.simbert, args.model, arithmetic)
        data, queries = prepare(args, program)
        if args.prepare:
            continue
        if "bare" in parts:
            with serving(args, program, data, queries, PATIENT) as server:
                ratios |= beside_bare(args, program, server, data, queries, table)
        if loaded:
            with serving(args, program, data, queries) as server:
                held, most, found = under_load(args, server, table)
                ratios |= held
                draw(args.results / "serve.svg", most, found)
                resident = f"{server.memory() / 2**20:,.0f} MiB resident and {server.threads()} threads"
                table += ["", f"The server had {resident} at the end."]
    if args.prepare:
        return
    head = [
        f"{args.count:,} questions of `{args.questions.name}`, {os.cpu_count()} cores; mix `{args.mix}`.",
        "",
        "Latencies are of calls that were answered, and count from when a call was due.",
    ]
    lines = [*head, *table]
    ratio_lines = [f"ratio {name} {value:.3f}" for name, value in ratios.items()]
    (args.results / "serve.md").write_text("\n".join([*lines, "", *(f"    {line}" for line in ratio_lines)]) + "\n")
    print("\n".join([*lines, *ratio_lines]))
    missed = [name for name, (sign, bar) in BARS.items() if name in ratios and sign * ratios[name] > sign * bar]
    if missed:
        print("past their bars: " + ", ".join(f"{name} {ratios[name]:.3f} ({BARS[name][1]})" for name in missed), file=sys.stderr)


if __name__ == "__main__":
    main()
