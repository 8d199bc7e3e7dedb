"""A real server for all tests, and a bank for each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from served import Served

from simbert import Client, Question

QUESTIONS = [
    Question("q1", "银行卡丢了怎么挂失", "bank-1", "先口头挂失。", {"lang": "zh", "channel": "web", "price": 1.0}),
    Question("q2", "银行卡不见了该怎么办", "bank-1", None, {"lang": "zh", "channel": "app", "price": 2.0}),
    Question("q3", "怎么修改密码", "office-1", "在设置里。", {"lang": "zh", "channel": "web", "price": 3.5}),
    Question("q4", "手机没有信号怎么办", "phone-1", None, {"lang": "en", "price": 4.0, "new": True}),
    Question("q5", "怎么退款", None, None, {"channel": "shop"}),
]

_names = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("data"))
    served.start()
    yield served
    served.stop()


@pytest.fixture(scope="session")
def client(server: Served) -> Iterator[Client]:
    with Client(server.target) as client:
        yield client


@pytest.fixture
def bank(client: Client) -> Iterator[str]:
    """The name of an empty bank."""
    name = f"bank-{next(_names)}"
    client.create_bank(name)
    yield name
    client.delete_bank(name)


@pytest.fixture
def faq(client: Client, bank: str) -> str:
    """The name of a bank that holds `QUESTIONS`."""
    client.upsert_questions(bank, QUESTIONS)
    return bank
