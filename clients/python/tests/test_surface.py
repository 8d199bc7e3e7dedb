"""The package as a whole: it agrees with the contract, and its two clients with each other."""

import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from served import REPOSITORY

import simbert
from simbert import AsyncClient, Client
from simbert.v1 import bank_pb2, embedding_pb2, paraphrase_pb2, question_pb2, search_pb2

FILES = [bank_pb2, embedding_pb2, paraphrase_pb2, question_pb2, search_pb2]
RPCS = [
    method.name
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods_by_name.values()
]


def snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


@pytest.mark.parametrize("rpc", RPCS)
def test_every_rpc_has_its_method(rpc: str) -> None:
    for client in (Client, AsyncClient):
        assert inspect.getdoc(getattr(client, snake(rpc)))


def test_both_clients_have_the_same_methods_and_arguments() -> None:
    def surface(client: type) -> dict[str, list[str]]:
        methods = {name: getattr(client, name) for name in dir(client) if not name.startswith("_")}
        return {name: list(inspect.signature(method).parameters) for name, method in methods.items()}

    assert surface(Client) == surface(AsyncClient)


def test_methods_say_what_they_take_and_give() -> None:
    assert Client.search.__qualname__ == "search"
    signature = inspect.signature(Client().search)
    assert list(signature.parameters)[:2] == ["query", "bank"]
    assert signature.return_annotation == "SearchResult"


def test_the_stubs_agree_with_the_contract(tmp_path: Path) -> None:
    if importlib.util.find_spec("grpc_tools") is None:
        pytest.skip("grpcio-tools is not installed")
    protos = sorted((REPOSITORY / "proto").rglob("*.proto"))
    outputs = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{REPOSITORY / 'proto'}", *outputs, *map(str, protos)]
    subprocess.run(command, check=True)
    folder = Path(simbert.__file__).parent / "v1"
    expected = {path.name: path.read_text() for path in (tmp_path / "simbert/v1").iterdir()}
    actual = {path.name: path.read_text() for path in folder.iterdir() if "_pb2" in path.name}
    assert actual.keys() == expected.keys()
    different = [name for name in expected if actual[name] != expected[name]]
    assert not different, "`make stubs-python` writes them again"
