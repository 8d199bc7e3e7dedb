"""The real server, started from its binary."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
BINARY = REPOSITORY / os.environ.get("SIMBERT_BINARY", "target/release/simbert")
MODEL = REPOSITORY / os.environ.get("SIMBERT_MODEL", "data/model")


class Served:
    """A server over a folder, with more options if need be; it keeps its port over a restart."""

    def __init__(self, folder: Path, *options: str | Path) -> None:
        if not BINARY.exists():
            pytest.skip(f"no server: {BINARY} is not built; `make build` builds it, SIMBERT_BINARY names another")
        if not (MODEL / "encoder.onnx").exists():
            pytest.skip(f"no server: the graphs of {MODEL} are not exported; `make model` exports them")
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        port_file = self._folder / "port"
        port_file.unlink(missing_ok=True)
        command = [BINARY, "serve", "--model", MODEL, "--data", self._folder / "banks", "--threads", "1"]
        command += ["--listen", self.target, "--port-file", port_file, *self._options]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)
        for _ in range(1200):
            if port_file.exists() and (port := port_file.read_text().strip()):
                self.port = int(port)
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        pytest.fail(f"the server did not start:\n{(self._folder / 'log').read_text()}")

    def stop(self) -> None:
        """Let it end its calls."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
