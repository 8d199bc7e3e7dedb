"""The real server with certificates and keys."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from served import BINARY, Served

from simbert import AsyncClient, Client, PermissionDenied, Retries, Tls, Unauthenticated, Unavailable


class Guarded:
    """A server that asks for certificates and keys, and what its callers have."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        own, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("someone@example")
        paths = {name: folder / name for name in ("ca", "cert", "key", "client-cert", "client-key")}
        authority.cert_pem.write_to_path(paths["ca"])
        own.cert_chain_pems[0].write_to_path(paths["cert"])
        own.private_key_pem.write_to_path(paths["key"])
        client.cert_chain_pems[0].write_to_path(paths["client-cert"])
        client.private_key_pem.write_to_path(paths["client-key"])
        self.tls = Tls(paths["ca"], certificate=paths["client-cert"], key=paths["client-key"])
        keys = folder / "keys.toml"
        files = ["--tls-cert", paths["cert"], "--tls-key", paths["key"], "--client-ca", paths["ca"], "--keys", keys]
        self.server = Served(folder, *files)
        self._keys = keys
        self.admin, self.reader = self._new_key("admin"), self._new_key("read", "--bank", "faq")
        self.server.start()

    def _new_key(self, role: str, *options: str) -> str:
        command = [BINARY, "keys", "new", role, "--role", role, "--file", self._keys, *options]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def client(self, key: str | None, tls: Tls | None = None) -> Client:
        return Client(self.server.target, tls=tls or self.tls, api_key=key, retries=Retries(attempts=1))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    guarded = Guarded(tmp_path_factory.mktemp("guarded"))
    yield guarded
    guarded.server.stop()


def test_a_key_does_what_its_role_and_its_banks_are_for(guarded: Guarded) -> None:
    with guarded.client(guarded.admin) as admin, guarded.client(guarded.reader) as reader:
        admin.create_bank("faq")
        admin.create_bank("hr")
        assert admin.bulk_upsert_questions("faq", [("1", "怎么退款")]).inserted == 1
        assert reader.search("退钱", bank="faq", k=1)[0].question.id == "1"
        assert [bank.name for bank in reader.list_banks()] == ["faq"]
        with pytest.raises(PermissionDenied, match="UpsertQuestions needs a key with the role `write`"):
            reader.upsert_questions("faq", [("2", "a")])
        with pytest.raises(PermissionDenied, match="the key `read` is for other banks than `hr`"):
            reader.search("a", bank="hr")


def test_without_a_key_nothing_is_answered(guarded: Guarded) -> None:
    for key in (None, "simbert_0"):
        with guarded.client(key) as client, pytest.raises(Unauthenticated):
            client.list_banks()


def test_without_a_certificate_or_trust_there_is_no_connection(guarded: Guarded) -> None:
    stranger = trustme.CA().cert_pem.bytes()
    for tls in (Tls(guarded.tls.roots), replace(guarded.tls, roots=stranger)):
        with guarded.client(guarded.admin, tls) as client, pytest.raises(Unavailable):
            client.list_banks()


def test_the_asynchronous_client_gets_in_as_well(guarded: Guarded) -> None:
    async def dimension(key: str | None) -> int:
        async with AsyncClient(guarded.server.target, tls=guarded.tls, api_key=key) as client:
            return (await client.get_model()).dimension

    assert asyncio.run(dimension(guarded.reader)) > 0
    with pytest.raises(Unauthenticated, match="asks for an API key"):
        asyncio.run(dimension(None))
