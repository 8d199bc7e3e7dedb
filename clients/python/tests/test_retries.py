import random
import time
from collections.abc import Iterator

import grpc
import pytest
from proxy import Proxy
from scripted import Scripted, Status, scripted
from served import Served

from simbert import (
    Cancelled,
    Client,
    DeadlineExceeded,
    Internal,
    ResourceExhausted,
    Retries,
    SimbertError,
    Unavailable,
    Unknown,
    errors,
)

EXHAUSTED, UNAVAILABLE = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE
QUICK = Retries(attempts=4, first=0.01)


@pytest.fixture
def flaky() -> Iterator[tuple[Scripted, Client]]:
    with scripted() as (server, port), Client(f"127.0.0.1:{port}", timeout=5, retries=QUICK) as client:
        yield server, client


def test_passing_failures_are_tried_again(flaky: tuple[Scripted, Client]) -> None:
    server, client = flaky
    server.script = [EXHAUSTED, UNAVAILABLE, EXHAUSTED]
    assert len(client.search("a", bank="faq")) == 0
    assert server.calls == 4


def test_all_attempts_share_one_deadline() -> None:
    retries = Retries(first=0.6)
    with scripted() as (server, port), Client(f"127.0.0.1:{port}", timeout=5, retries=retries) as client:
        server.script = [UNAVAILABLE, UNAVAILABLE]
        client.search("a", bank="faq")
    assert server.left[0] > 4.5
    assert server.left[2] < 4.4  # at least 0.9 s of pauses; grpcio rounds a deadline up


def test_in_the_end_the_last_failure_is_raised(flaky: tuple[Scripted, Client]) -> None:
    server, client = flaky
    server.script = [UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, EXHAUSTED]
    with pytest.raises(ResourceExhausted, match="as told"):
        client.search("a", bank="faq")
    assert server.calls == 4


def test_a_reason_says_whether_it_is_worth_trying_again(flaky: tuple[Scripted, Client]) -> None:
    server, client = flaky
    server.script = [Status.of(EXHAUSTED, "BUSY"), Status.of(EXHAUSTED, "DISK_FULL")]
    with pytest.raises(ResourceExhausted, match="as told") as raised:
        client.search("a", bank="faq")
    assert (raised.value.reason, raised.value.passing, server.calls) == ("DISK_FULL", False, 2)


def test_details_that_cannot_be_read_are_none(flaky: tuple[Scripted, Client]) -> None:
    server, client = flaky
    server.script = [Status(grpc.StatusCode.INTERNAL, "as told", (("grpc-status-details-bin", b"\xff\xff"),))]
    with pytest.raises(Internal, match="as told") as raised:
        client.search("a", bank="faq")
    assert raised.value.reason == ""


def test_other_failures_are_not_tried_again(flaky: tuple[Scripted, Client]) -> None:
    server, client = flaky
    server.script = [grpc.StatusCode.INTERNAL]
    with pytest.raises(Internal):
        client.search("a", bank="faq")
    assert server.calls == 1


def test_making_a_bank_is_not_repeated(flaky: tuple[Scripted, Client]) -> None:
    server, client = flaky
    server.script = [UNAVAILABLE]
    with pytest.raises(Unavailable):
        client.create_bank("faq")
    assert server.calls == 1


def test_no_pause_reaches_past_the_deadline() -> None:
    with scripted() as (server, port), Client(f"127.0.0.1:{port}", retries=Retries(attempts=9, first=10)) as client:
        server.script = [UNAVAILABLE] * 9
        started = time.monotonic()
        with pytest.raises(Unavailable):
            client.within(1).search("a", bank="faq")
        assert time.monotonic() - started < 1
        assert server.calls == 1


def test_pauses_double_up_to_the_longest_with_jitter() -> None:
    retries, chance = Retries(first=0.1, longest=1.0), random.Random(1)
    for repetition, most in [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8), (5, 1.0), (2000, 1.0)]:
        pauses = [retries.pause(repetition, chance) for _ in range(100)]
        assert all(most / 2 <= pause <= most for pause in pauses)
        assert len(set(pauses)) > 90


def test_a_call_that_takes_too_long_ends(flaky: tuple[Scripted, Client]) -> None:
    _, client = flaky
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        client.within(0.2).get_bank("faq")
    assert time.monotonic() - started < 2


def test_the_real_server_keeps_deadlines(client: Client) -> None:
    with pytest.raises(DeadlineExceeded):
        client.within(0.01).generate("怎么修改密码")
    client.get_model()


def test_calls_go_on_over_a_new_connection(server: Served, client: Client) -> None:
    proxy = Proxy(server.port)
    with Client(proxy.target) as through:
        through.get_model()
        proxy.cut()
        assert through.get_model() == client.get_model()
        assert proxy.connections == 2
        proxy.close()
        with pytest.raises(Unavailable):
            through.within(1).get_model()


def test_nobody_there_is_unavailable() -> None:
    with Client("127.0.0.1:1", retries=QUICK) as client, pytest.raises(Unavailable, match="refused"):
        client.list_banks()


def test_a_closed_client_says_so(server: Served) -> None:
    with Client(server.target) as client:
        client.list_banks()
    with pytest.raises((Cancelled, ValueError)):
        client.list_banks()


def test_every_status_has_its_class() -> None:
    for code in grpc.StatusCode:
        if code is not grpc.StatusCode.OK:
            assert errors._BY_CODE[code].code is code
            assert issubclass(errors._BY_CODE[code], SimbertError)
    assert Unknown.__name__ == "Unknown"
    assert {kind for kind in errors._BY_CODE.values() if kind("").passing} == {Unavailable, ResourceExhausted}
