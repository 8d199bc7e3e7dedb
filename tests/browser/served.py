"""The real server with the bundled model, and plain calls of its JSON gateway."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
BINARY = REPOSITORY / os.environ.get("SIMBERT_BINARY", "target/release/simbert")
MODEL = REPOSITORY / os.environ.get("SIMBERT_MODEL", "data/model")
FAQ = REPOSITORY / "data/faq"


class Served:
    """A server over a folder; `locked`, it asks for a key, and `key` is one for everything."""

    def __init__(self, folder: Path, locked: bool = False) -> None:
        if not BINARY.exists():
            pytest.exit(f"no server: {BINARY} is not built; `make build` builds it, SIMBERT_BINARY names another")
        self._log = folder / "log"
        self.key: str | None = None
        ports = {name: folder / name for name in ("port", "http-port")}
        command = [BINARY, "serve", "--model", MODEL, "--data", folder / "banks", "--listen", "127.0.0.1:0"]
        command += ["--port-file", ports["port"], "--http", "127.0.0.1:0", "--http-port-file", ports["http-port"]]
        if locked:
            new = [BINARY, "keys", "new", "tests", "--role", "admin", "--file", folder / "keys.toml"]
            self.key = subprocess.run(new, check=True, capture_output=True, text=True).stdout.strip()
            command += ["--keys", folder / "keys.toml"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)
        for _ in range(1200):
            if ports["http-port"].exists() and (port := ports["http-port"].read_text().strip()):
                self.url = f"http://127.0.0.1:{port}/"
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        self.stop()
        pytest.exit(f"the server did not start:\n{self._log.read_text()}")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)

    def call(self, path: str, body: object = None) -> dict:
        """GET, or POST where there is a body."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {self.key}"} if self.key else {})
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.read().decode()}") from error

    def questions(self, bank: str) -> list[dict]:
        """All questions of a bank, in the order of their ids."""
        found, token = [], ""
        while True:
            page = self.call(f"v1/banks/{bank}/questions?pageSize=1000&pageToken={urllib.request.quote(token)}")
            found += page["questions"]
            token = page["nextPageToken"]
            if not token:
                return found


def bundled() -> list[dict]:
    """The bundled bank: each question an FAQ, with one query of each as another phrasing."""

    def rows(name: str) -> list[dict]:
        with (FAQ / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))

    def question(id_: str, text: str, standard: dict) -> dict:
        metadata = {"domain": {"text": standard["domain"]}}
        return {"id": id_, "text": text, "faqId": standard["id"], "answer": standard["answer"], "metadata": metadata}

    standard = {row["id"]: row for row in rows("standard.tsv")}
    queries = {row["id"]: row["question"] for row in rows("queries.tsv")}
    phrasings = [question(f"{id_}-b", text, standard[id_]) for id_, text in queries.items()]
    return [question(id_, row["question"], row) for id_, row in standard.items()] + phrasings
