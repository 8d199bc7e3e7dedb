"""A server in a process of its own, and what the system says of it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
# How long a server may take until it listens, and until it has ended.
PATIENCE = 60


class Program:
    """The simbert command with a model, in f32 or int8."""

    def __init__(self, binary: Path, model: Path, arithmetic: str):
        self.binary, self.arithmetic = binary, arithmetic
        self.model = ["--model", str(model), *(["--int8"] if arithmetic == "int8" else [])]

    def run(self, *options, model: bool = True) -> str:
        command = [str(self.binary), *map(str, options), *(self.model if model else [])]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"simbert {options[0]} failed: {done.stderr}")
        return done.stdout

    def json(self, *options, model: bool = True) -> dict:
        return json.loads(self.run(*options, "--json", model=model))

    def encoding(self, texts: Path, count: int) -> float:
        """Sentences a second that are encoded when nothing else is done."""
        layout = ["--layout", f"{os.cpu_count()}x1", "--budget", 256, "--rounds", 1, "--limit", count]
        only = [] if self.arithmetic == "int8" else ["--arithmetic", "f32"]  # it compares both unless told
        return self.json("bench", "encode", texts, *layout, *only)["sentences_per_second"]


class Server:
    """Serves `data`; calls go to `bank`, with `queries` for texts."""

    def __init__(self, program: Program, data: Path, bank: str, queries: Path, options: list[str]):
        self.program, self.bank, self.queries = program, bank, queries
        self.folder = tempfile.TemporaryDirectory()
        port = Path(self.folder.name) / "port"
        command = [str(program.binary), "serve", "--listen", "127.0.0.1:0", "--port-file", str(port), "--cache-mib", "0"]
        command += ["--data", str(data), *program.model, *options]
        self.log = open(Path(self.folder.name) / "log", "w+")
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self.log)
        deadline = time.monotonic() + PATIENCE
        while not (port.exists() and port.read_text().strip()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                sys.exit(f"the server does not listen: {self.log.read()}")
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{port.read_text().strip()}"

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.folder.cleanup()

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.process.pid}/{name}").read_text()

    def processor(self) -> float:
        """Seconds of processor time so far."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self) -> int:
        """Resident bytes."""
        return int(self._proc("statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def threads(self) -> int:
        return int(self._proc("stat").rpartition(")")[2].split()[17])

    def load(self, *options, warm_up: float = 1) -> dict:
        """What `simbert bench serve` reports, and how many cores the server kept busy meanwhile."""
        common = ["bench", "serve", self.url, "--bank", self.bank, "--texts", self.queries, "--warm-up", warm_up]
        began, before = time.monotonic(), self.processor()
        found = self.program.json(*common, *options, model=False)
        found["server_cores"] = (self.processor() - before) / (time.monotonic() - began)
        return found
