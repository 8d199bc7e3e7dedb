from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator

import grpc
import pytest
from proxy import Proxy
from scripted import scripted
from served import Served

from simbert import (
    BulkProgress,
    BulkResult,
    Cancelled,
    Client,
    DataLoss,
    DeadlineExceeded,
    Failure,
    NotFound,
    Question,
    QuestionsRefused,
    Retries,
    Unavailable,
)
from simbert.bulk import WINDOW_BYTES, WINDOW_QUESTIONS

QUICK = Retries(first=0.05, longest=1.0)


def numbered(count: int) -> Iterator[Question]:
    for i in range(count):
        yield Question(f"n{i:05}", f"问 {i}", f"faq-{i % 10}", metadata={"i": i})


def with_bad(count: int, *bad: int) -> Iterator[Question]:
    for i, question in enumerate(numbered(count)):
        yield Question(question.id, " ") if i in bad else question


def ids_of(client: Client, bank: str) -> list[str]:
    return [question.id for question in client.list_questions(bank, page_size=1000)]


def once(action: Callable[[], None], *, after: int) -> Callable[[BulkProgress], None]:
    """Acts once, at the first progress past so many questions."""
    done = threading.Event()

    def report(progress: BulkProgress) -> None:
        if progress.settled > after and not done.is_set():
            done.set()
            action()

    return report


def test_some_thousand_with_failures_between(client: Client, bank: str) -> None:
    seen: list[BulkProgress] = []
    result = client.bulk_upsert_questions(bank, with_bad(3000, 0, 1500, 2999), progress=seen.append)
    assert (result.settled, result.inserted, result.updated, result.failed) == (3000, 2997, 0, 3)
    assert [(failure.position, failure.id) for failure in result.failures] == [
        (0, "n00000"),
        (1500, "n01500"),
        (2999, "n02999"),
    ]
    assert all("text: expected" in failure.reason for failure in result.failures)
    assert len(ids_of(client, bank)) == 2997
    assert len(seen) > 5
    assert [progress.settled for progress in seen] == sorted({progress.settled for progress in seen})
    assert seen[-1] == BulkProgress(3000, 2997, 0, 3)


def test_dicts_tuples_and_updates(client: Client, bank: str) -> None:
    client.upsert_questions(bank, [("a", "怎么退款")])
    result = client.bulk_upsert_questions(bank, [{"id": "a", "text": "能退钱吗"}, ("b", "怎么开户")])
    assert result == BulkResult(settled=2, inserted=1, updated=1)


def test_nothing_to_send_still_asks_for_the_bank(client: Client, bank: str) -> None:
    assert client.bulk_upsert_questions(bank, []) == BulkResult()
    with pytest.raises(NotFound, match="bank `none`") as caught:
        client.bulk_upsert_questions("none", numbered(5000))
    assert caught.value.progress == BulkResult()


def test_the_first_failure_is_raised_if_asked_for(client: Client, bank: str) -> None:
    with pytest.raises(QuestionsRefused, match=r"question `n00300`, text: expected .* \(at position 300\)") as caught:
        client.bulk_upsert_questions(bank, with_bad(600, 300), on_failure="raise")
    progress = caught.value.progress
    assert progress is not None
    assert progress.failures[0].position == 300
    assert len(ids_of(client, bank)) >= progress.inserted >= 300


def test_failures_can_be_handed_to_a_function(client: Client, bank: str) -> None:
    failures: list[Failure] = []
    result = client.bulk_upsert_questions(bank, with_bad(20, 3, 4), on_failure=failures.append)
    assert ([failure.position for failure in failures], result.failed, result.failures) == ([3, 4], 2, ())


def test_it_goes_on_after_a_broken_connection(server: Served, client: Client, bank: str) -> None:
    proxy = Proxy(server.port)
    with Client(proxy.target, retries=QUICK) as through:
        broken = once(proxy.cut, after=500)
        result = through.bulk_upsert_questions(bank, with_bad(1200, 100, 700, 1199), progress=broken)
    proxy.close()
    assert proxy.connections == 2
    assert (result.settled, result.failed) == (1200, 3)
    assert [failure.position for failure in result.failures] == [100, 700, 1199]
    assert result.inserted + result.updated == 1197
    assert len(ids_of(client, bank)) == 1197


def test_it_says_how_far_it_came_when_the_connection_stays_away(server: Served, client: Client, bank: str) -> None:
    proxy = Proxy(server.port)
    with Client(proxy.target, timeout=10, retries=QUICK) as through:
        source = numbered(1500)
        with pytest.raises(Unavailable) as caught:
            through.bulk_upsert_questions(bank, source, progress=once(proxy.close, after=500))
    progress = caught.value.progress
    assert progress is not None
    assert 500 < progress.settled < 1500
    assert ids_of(client, bank)[: progress.settled] == [question.id for question in numbered(progress.settled)]
    rest = list(numbered(1500))[progress.settled :]
    assert client.bulk_upsert_questions(bank, rest).settled == 1500 - progress.settled
    assert len(ids_of(client, bank)) == 1500


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_it_goes_on_after_the_server_comes_back(tmp_path_factory: pytest.TempPathFactory, end: str) -> None:
    served = Served(tmp_path_factory.mktemp("restarted"))
    served.start()

    def restart() -> None:
        getattr(served, end)()
        served.start()

    def restart_aside() -> None:
        threading.Thread(target=restart).start()

    with Client(served.target, retries=QUICK) as client:
        client.create_bank("faq")
        result = client.bulk_upsert_questions("faq", with_bad(1000, 900), progress=once(restart_aside, after=300))
        assert (result.settled, result.failed) == (1000, 1)
        assert [failure.position for failure in result.failures] == [900]
        assert len(ids_of(client, "faq")) == 999
    served.stop()


def test_the_source_is_read_in_the_callers_thread(client: Client, bank: str) -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as rows:  # refuses any other thread
        rows.execute("create table questions (id text, text text)")
        rows.executemany("insert into questions values (?, ?)", [(q.id, q.text) for q in numbered(300)])
        result = client.bulk_upsert_questions(bank, rows.execute("select id, text from questions"))
    assert result.inserted == 300


def test_what_the_source_raises_comes_through(client: Client, bank: str) -> None:
    def source() -> Iterator[Question]:
        yield from numbered(100)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        client.bulk_upsert_questions(bank, source())
    with pytest.raises(TypeError, match="expected a Question"):
        client.bulk_upsert_questions(bank, [("a", "怎么退款"), 7])  # type: ignore[list-item]


def test_a_source_that_loses_its_own_connection_is_not_taken_for_exhausted(client: Client, bank: str) -> None:
    def another_bank() -> Iterator[Question]:
        yield from numbered(100)
        raise Unavailable("elsewhere")

    with pytest.raises(Unavailable, match="elsewhere") as caught:
        client.bulk_upsert_questions(bank, another_bank())
    assert caught.value.progress is None


@pytest.mark.parametrize(("size", "most"), [(0, WINDOW_QUESTIONS), (200_000, WINDOW_BYTES // 200_000 + 1)])
def test_the_source_is_read_no_further_than_the_window(size: int, most: int) -> None:
    read = 0

    def source() -> Iterator[Question]:
        nonlocal read
        yield Question("stall", "a")
        for read in range(1, 100_000):
            yield Question(f"{read}", "a", answer="x" * size)

    with scripted() as (_, port), Client(f"127.0.0.1:{port}", timeout=0.5) as client:
        with pytest.raises(DeadlineExceeded, match=r"settled nothing for 0\.5 s"):
            client.bulk_upsert_questions("faq", source())
        assert most // 2 < read <= most


def test_what_was_not_settled_is_sent_again_and_nothing_else() -> None:
    ids = [f"{i}" for i in range(500)]
    ids[300] = "end"
    with scripted() as (server, port), Client(f"127.0.0.1:{port}", retries=QUICK) as client:
        result = client.bulk_upsert_questions("faq", [(id, "a") for id in ids])
        first, second = server.streams
    assert (result.settled, result.inserted) == (500, 500)
    settled = len(first) - 64  # the last message was not settled
    assert second == ids[settled:]


def test_it_tries_for_its_timeout_whatever_the_count_but_not_if_told_to_try_once() -> None:
    with scripted() as (server, port), Client(f"127.0.0.1:{port}", timeout=1, retries=Retries(2, 0.01)) as client:
        server.script = [grpc.StatusCode.UNAVAILABLE] * 6
        assert client.bulk_upsert_questions("faq", [("a", "b")]).settled == 1
        server.script = [grpc.StatusCode.UNAVAILABLE] * 1000
        started = time.monotonic()
        with pytest.raises(Unavailable):
            client.bulk_upsert_questions("faq", [("a", "b")])
        assert time.monotonic() - started < 2
    with scripted() as (server, port), Client(f"127.0.0.1:{port}", retries=Retries(attempts=1)) as client:
        server.script = [grpc.StatusCode.UNAVAILABLE]
        with pytest.raises(Unavailable):
            client.bulk_upsert_questions("faq", [("a", "b")])
        assert server.calls == 1


def test_closing_ends_it() -> None:
    with scripted() as (_, port):
        client = Client(f"127.0.0.1:{port}")
        threading.Timer(0.3, client.close).start()
        with pytest.raises(Cancelled) as caught:
            client.bulk_upsert_questions("faq", [("a", "b"), ("stall", "a")])
        assert caught.value.progress is not None


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    with scripted() as (_, port), Client(f"127.0.0.1:{port}", timeout=0.1) as client:
        for _ in range(5):
            with pytest.raises(DeadlineExceeded):
                client.bulk_upsert_questions("faq", [("stall", "a")])
    for _ in range(100):
        if threading.active_count() <= before + 8:  # those of the server's pool end with the process
            return
        time.sleep(0.05)
    assert [thread.name for thread in threading.enumerate()] == []


def test_a_full_server_is_asked_again() -> None:
    with scripted() as (server, port), Client(f"127.0.0.1:{port}", retries=QUICK) as client:
        server.script = [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE]
        assert client.bulk_upsert_questions("faq", [("a", "b")]).settled == 1
        assert server.calls == 3
        server.script = [grpc.StatusCode.DATA_LOSS]
        with pytest.raises(DataLoss):
            client.bulk_upsert_questions("faq", [("a", "b")])
        assert server.calls == 4
