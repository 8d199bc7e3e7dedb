import asyncio
from pathlib import Path

import grpc
import pytest
import trustme
from scripted import scripted

from simbert import AsyncClient, Client, Retries, Tls, Unavailable


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def credentials(authority: trustme.CA, *, ask: bool) -> grpc.ServerCredentials:
    own = authority.issue_cert("search.example", "127.0.0.1")
    pair = (own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes())
    return grpc.ssl_server_credentials([pair], authority.cert_pem.bytes(), ask)


def test_the_key_and_the_name_go_along_with_every_call() -> None:
    with scripted() as (server, port), Client(f"127.0.0.1:{port}", api_key="secret") as client:
        client.search("a", bank="faq")
        assert server.metadata["authorization"] == "Bearer secret"
        assert server.metadata["user-agent"].startswith("simbert-python/")
        server.metadata = {}
        client.bulk_upsert_questions("faq", [("a", "b")])
        assert server.metadata["authorization"] == "Bearer secret"


def test_without_a_key_none_is_sent() -> None:
    with scripted() as (server, port), Client(f"127.0.0.1:{port}") as client:
        client.search("a", bank="faq")
        assert "authorization" not in server.metadata


def test_an_encrypted_connection(authority: trustme.CA, tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    authority.cert_pem.write_to_path(roots)
    with scripted(credentials(authority, ask=False)) as (server, port):
        with Client(f"127.0.0.1:{port}", tls=Tls(roots=roots), api_key="secret") as client:
            client.search("a", bank="faq")
        assert server.metadata["authorization"] == "Bearer secret"
        named = Tls(roots=str(roots), server_name="search.example")
        with Client(f"127.0.0.1:{port}", tls=named) as client:
            client.search("a", bank="faq")
        once = Retries(attempts=1)
        with Client(f"127.0.0.1:{port}", tls=Tls(), retries=once) as client, pytest.raises(Unavailable):
            client.search("a", bank="faq")


def test_a_certificate_of_ones_own(authority: trustme.CA) -> None:
    own = authority.issue_cert("client@example")
    roots = authority.cert_pem.bytes()
    tls = Tls(roots, certificate=own.cert_chain_pems[0].bytes(), key=own.private_key_pem.bytes())
    with scripted(credentials(authority, ask=True)) as (_, port):
        with Client(f"127.0.0.1:{port}", tls=tls) as client:
            client.search("a", bank="faq")
        once = Retries(attempts=1)
        with Client(f"127.0.0.1:{port}", tls=Tls(roots), retries=once) as client, pytest.raises(Unavailable):
            client.search("a", bank="faq")


async def _search(port: int, tls: Tls) -> None:
    async with AsyncClient(f"127.0.0.1:{port}", tls=tls, api_key="secret") as client:
        await client.search("a", bank="faq")


def test_an_encrypted_connection_of_the_asynchronous_client(authority: trustme.CA) -> None:
    with scripted(credentials(authority, ask=False)) as (server, port):
        asyncio.run(_search(port, Tls(authority.cert_pem.bytes())))
        assert server.metadata["authorization"] == "Bearer secret"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.pem"):
        Client(tls=Tls(roots=tmp_path / "none.pem"))
