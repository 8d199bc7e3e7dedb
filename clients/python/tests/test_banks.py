import pytest

from simbert import AlreadyExists, Client, InvalidArgument, NotFound, Quantisation


def test_a_bank_is_made_described_listed_and_removed(client: Client) -> None:
    made = client.create_bank("shop.1", description="questions of the shop", quantisation=Quantisation.F16)
    assert (made.name, made.description, made.questions) == ("shop.1", "questions of the shop", 0)
    assert made.quantisation is Quantisation.F16
    client.upsert_questions("shop.1", [("1", "怎么退款", "refund"), ("2", "能退钱吗", "refund")])
    bank = client.get_bank("shop.1")
    assert (bank.questions, bank.faqs) == (2, 1)
    assert bank.dimension == client.get_model().dimension
    assert bank.model_fingerprint == client.get_model().fingerprint
    assert bank.bytes_on_disk > 0
    assert "shop.1" in [bank.name for bank in client.list_banks()]
    client.delete_bank("shop.1")
    assert "shop.1" not in [bank.name for bank in client.list_banks()]


def test_a_map_shows_one_question_with_two_answers(client: Client, bank: str) -> None:
    client.upsert_questions(
        bank, [("1", "怎么退款", "refund"), ("2", "怎么退款", "other"), ("3", "手机没有信号", "phone")]
    )
    map_ = client.map_bank(bank, near_duplicate_score=0.99)
    assert [(point.id, point.faq_id, point.label) for point in map_.points][2] == ("3", "phone", None)
    (pair,) = map_.near_duplicates
    assert (pair.first, pair.second, pair.one_faq) == (map_.points[0], map_.points[1], False)
    assert pair.first.group == pair.second.group == 1
    assert map_.points[2].group is None
    assert (map_.questions, map_.looked_up) == (3, 3)
    assert map_.timings.search > 0
    with pytest.raises(InvalidArgument, match="points"):
        client.map_bank(bank, points=0)


def test_the_servers_choice_is_bytes(client: Client, bank: str) -> None:
    assert client.get_bank(bank).quantisation is Quantisation.INT8


def test_errors_have_a_class_and_the_servers_sentence(client: Client, bank: str) -> None:
    with pytest.raises(AlreadyExists, match=f"bank `{bank}`"):
        client.create_bank(bank)
    with pytest.raises(NotFound, match="bank `none` was not found"):
        client.get_bank("none")
    with pytest.raises(NotFound):
        client.delete_bank("none")
    with pytest.raises(InvalidArgument, match="bank name"):
        client.create_bank("no spaces")


def test_making_and_removing_can_be_repeated(client: Client) -> None:
    first = client.create_bank("again", description="once", allow_existing=True)
    client.upsert_questions("again", [("1", "怎么退款")])
    second = client.create_bank("again", description="once", allow_existing=True)
    assert (second.questions, second.description) == (1, first.description)
    with pytest.raises(AlreadyExists, match="another description"):
        client.create_bank("again", description="twice", allow_existing=True)
    client.delete_bank("again", allow_missing=True)
    client.delete_bank("again", allow_missing=True)


def test_the_server_says_what_calls_may_ask_for(client: Client) -> None:
    limits = client.get_model().limits
    assert (limits.hits, limits.items, limits.message_bytes) == (1000, 1024, 16 << 20)
    assert 0 not in vars(limits).values()
