"""The asynchronous client. What it shares with the other one is tested there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import grpc
import pytest
from conftest import QUESTIONS
from proxy import Proxy
from scripted import scripted
from served import Served
from test_bulk import QUICK, ids_of, numbered, once, with_bad

from simbert import (
    AlreadyExists,
    AsyncClient,
    BulkResult,
    Cancelled,
    Client,
    DeadlineExceeded,
    Filter,
    NotFound,
    Question,
    QuestionsRefused,
    Retries,
    Sampling,
    Unavailable,
)

Run = Callable[[Callable[[AsyncClient], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def run(server: Served) -> Run:
    """Runs a test with a client of its own event loop."""

    async def with_client(test: Callable[[AsyncClient], Coroutine[Any, Any, None]]) -> None:
        async with AsyncClient(server.target) as client:
            await test(client)

    return lambda test: asyncio.run(with_client(test))


def test_banks(run: Run) -> None:
    async def test(client: AsyncClient) -> None:
        made = await client.create_bank("async", description="a test")
        assert (await client.get_bank("async")).description == made.description == "a test"
        with pytest.raises(AlreadyExists):
            await client.create_bank("async")
        assert "async" in [bank.name for bank in await client.list_banks()]
        await client.delete_bank("async")
        with pytest.raises(NotFound, match="bank `async` was not found", check=lambda e: e.reason == "BANK_NOT_FOUND"):
            await client.get_bank("async")

    run(test)


def test_questions(run: Run, bank: str) -> None:
    async def test(client: AsyncClient) -> None:
        assert (await client.upsert_questions(bank, QUESTIONS)).inserted == 5
        assert [question async for question in client.list_questions(bank, page_size=2)] == QUESTIONS
        assert (await client.list_page(bank, page_size=1)).questions == QUESTIONS[:1]
        assert (await client.get_questions(bank, ["q1", "none"])).missing_ids == ["none"]
        assert await client.delete_questions(bank, ["q1"]) == 1

    run(test)


def test_searches_and_models(run: Run, faq: str) -> None:
    async def test(client: AsyncClient) -> None:
        condition = Filter.equals("lang", "zh")
        found = await asyncio.gather(
            *(client.search("怎么修改密码", bank=faq, k=1, filter=condition) for _ in range(8))
        )
        assert {hits[0].question.id for hits in found} == {"q3"}
        [result] = await client.batch_search(["怎么退款"], bank=faq, k=1)
        assert result[0].question.id == "q5"
        sampling = Sampling(samples=4, max_tokens=12)
        expanded = await client.expanded_search("卡不见了", bank=faq, k=1, phrases=2, sampling=sampling)
        assert expanded[0].question.faq_id == "bank-1"
        assert len(await client.generate("怎么修改密码", k=2, sampling=sampling)) <= 2
        [vector] = await client.embed(["怎么退款"])
        assert len(vector) == (await client.get_model()).dimension == (await client.embed_array(["a"])).shape[1]

    run(test)


def test_bulk_from_both_kinds_of_source(run: Run, client: Client, bank: str) -> None:
    async def source() -> AsyncIterator[Question]:
        for question in with_bad(600, 5):
            yield question
            if question.id.endswith("00"):
                await asyncio.sleep(0.01)

    async def test(client: AsyncClient) -> None:
        result = await client.bulk_upsert_questions(bank, source())
        assert (result.settled, result.inserted, result.failed) == (600, 599, 1)
        assert result.failures[0].position == 5
        result = await client.bulk_upsert_questions(bank, numbered(600))
        assert (result.inserted, result.updated) == (1, 599)
        assert await client.bulk_upsert_questions(bank, []) == BulkResult()
        with pytest.raises(QuestionsRefused):
            await client.bulk_upsert_questions(bank, with_bad(10, 5), on_failure="raise")
        with pytest.raises(NotFound):
            await client.bulk_upsert_questions("none", numbered(5))

    run(test)
    assert len(ids_of(client, bank)) == 600


def test_bulk_goes_on_after_a_broken_connection(server: Served, client: Client, bank: str) -> None:
    proxy = Proxy(server.port)

    async def test() -> BulkResult:
        async with AsyncClient(proxy.target, retries=QUICK) as through:
            cut = once(proxy.cut, after=300)
            return await through.bulk_upsert_questions(bank, with_bad(1500, 100, 1400), progress=cut)

    result = asyncio.run(test())
    proxy.close()
    assert proxy.connections == 2
    assert [failure.position for failure in result.failures] == [100, 1400]
    assert (result.settled, result.inserted + result.updated) == (1500, 1498)
    assert len(ids_of(client, bank)) == 1498


def test_closing_ends_a_bulk_upsert() -> None:
    async def test(port: int) -> None:
        client = AsyncClient(f"127.0.0.1:{port}")
        bulk = asyncio.create_task(client.bulk_upsert_questions("faq", [("stall", "a")]))
        await asyncio.sleep(0.3)
        await client.close()
        with pytest.raises(Cancelled):
            await asyncio.wait_for(bulk, 5)

    with scripted() as (_, port):
        asyncio.run(test(port))


def test_retries_deadlines_and_cancelling() -> None:
    async def test(port: int, server: Any) -> None:
        quick = Retries(attempts=3, first=0.01)
        async with AsyncClient(f"127.0.0.1:{port}", retries=quick) as client:
            server.script = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED]
            await client.search("a", bank="faq")
            assert server.calls == 3
            server.script = [grpc.StatusCode.UNAVAILABLE] * 3
            with pytest.raises(Unavailable, match="as told"):
                await client.search("a", bank="faq")
            with pytest.raises(DeadlineExceeded):
                await client.within(0.2).get_bank("faq")
            with pytest.raises(DeadlineExceeded, match="settled nothing"):
                await client.within(0.2).bulk_upsert_questions("faq", [("stall", "a")])
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.bulk_upsert_questions("faq", [("stall", "a")]), 0.2)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.get_bank("faq"), 0.2)

    with scripted() as (server, port):
        asyncio.run(test(port, server))
    assert threading.active_count() < 30
