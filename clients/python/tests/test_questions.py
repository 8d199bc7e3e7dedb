import pytest
from conftest import QUESTIONS

from simbert import Client, Found, InvalidArgument, NotFound, Question, Upserted


def test_what_is_written_is_read_back(client: Client, bank: str) -> None:
    assert client.upsert_questions(bank, QUESTIONS) == Upserted(inserted=5, updated=0)
    assert client.upsert_questions(bank, QUESTIONS[:2]) == Upserted(inserted=0, updated=2)
    found = client.get_questions(bank, ["q4", "none", "q1"])
    assert found == Found([QUESTIONS[3], QUESTIONS[0]], ["none"])
    assert list(client.list_questions(bank)) == QUESTIONS


def test_dicts_and_tuples_are_questions(client: Client, bank: str) -> None:
    client.upsert_questions(
        bank, [{"id": "a", "text": "怎么退款", "metadata": {"n": 1}}, ("b", "怎么开户", "f", "ask")]
    )
    expected = [Question("a", "怎么退款", metadata={"n": 1.0}), Question("b", "怎么开户", "f", "ask")]
    assert list(client.list_questions(bank)) == expected


@pytest.mark.parametrize("wrong", ["text", {"id": "a"}, {"id": "a", "text": "b", "tags": []}, ("a",), 7])
def test_what_is_no_question_is_a_type_error(client: Client, bank: str, wrong: object) -> None:
    with pytest.raises(TypeError):
        client.upsert_questions(bank, [wrong])  # type: ignore[list-item]


def test_metadata_that_would_be_changed_is_refused() -> None:
    with pytest.raises(ValueError, match="write it as text"):
        Question("a", "b", metadata={"n": 2**53 + 1}).message()
    with pytest.raises(ValueError, match="write it as text"):
        Question("a", "b", metadata={"n": 10**400}).message()
    with pytest.raises(TypeError, match="received list"):
        Question("a", "b", metadata={"n": []}).message()  # type: ignore[dict-item]
    assert Question.of(Question("a", "b", metadata={"n": 2**53}).message()).metadata == {"n": 2.0**53}


def test_pages_follow_each_other(client: Client, bank: str) -> None:
    client.upsert_questions(bank, QUESTIONS)
    page = client.list_page(bank, page_size=2)
    assert [question.id for question in page.questions] == ["q1", "q2"]
    page = client.list_page(bank, page_size=3, page_token=page.next_page_token)
    assert ([question.id for question in page.questions], page.next_page_token) == (["q3", "q4", "q5"], "")
    assert [question.id for question in client.list_questions(bank, page_size=2)] == ["q1", "q2", "q3", "q4", "q5"]


def test_deleting_counts_what_was_there(client: Client, faq: str) -> None:
    assert client.delete_questions(faq, ["q1", "none", "q5"]) == 2
    assert [question.id for question in client.list_questions(faq)] == ["q2", "q3", "q4"]


def test_limits_are_the_servers(client: Client, faq: str) -> None:
    with pytest.raises(InvalidArgument, match="text: expected") as raised:
        client.upsert_questions(faq, [("a", "  ")])
    assert (raised.value.reason, raised.value.field) == ("INVALID_VALUE", "questions[0].text")
    with pytest.raises(InvalidArgument, match="number of questions: expected 1 to 1024"):
        client.upsert_questions(faq, [])
    with pytest.raises(InvalidArgument, match="page_size"):
        client.list_page(faq, page_size=0)
    with pytest.raises(NotFound):
        list(client.list_questions("none"))
    with pytest.raises(TypeError, match="one text"):
        client.get_questions(faq, "q1")
    with pytest.raises(TypeError, match="one text"):
        client.delete_questions(faq, "q1")


def test_large_replies_come_through(client: Client, bank: str) -> None:
    large = [Question(f"{i}", "怎么退款", answer="x" * 200_000) for i in range(40)]
    client.upsert_questions(bank, large)
    assert len(client.get_questions(bank, [question.id for question in large]).questions) == 40
    assert len(list(client.list_questions(bank, page_size=1000))) == 40


def test_fields_that_nobody_wants_stay_there(client: Client, faq: str) -> None:
    first = QUESTIONS[0]
    assert client.get_questions(faq, ["q1"], fields=[]).questions == [Question("q1", "")]
    found = client.get_questions(faq, ["q1"], fields=["text", "metadata"]).questions
    assert found == [Question("q1", first.text, metadata=first.metadata)]
    assert [question.answer for question in client.list_questions(faq, fields=["text"])] == [None] * 5
    hit = client.search(first.text, bank=faq, k=1, fields=["faq_id"])[0]
    assert hit.question == Question("q1", "", "bank-1")
    with pytest.raises(InvalidArgument, match="read_mask"):
        client.get_questions(faq, ["q1"], fields=["answers"])
    with pytest.raises(TypeError, match="received one text"):
        client.search("x", bank=faq, fields="text")


def test_replies_say_how_long_it_took(client: Client, faq: str) -> None:
    assert client.upsert_questions(faq, [("new", "怎么开发票")]).timings.store > 0
    assert client.get_questions(faq, ["q1"]).timings.store > 0
    assert client.list_page(faq).timings.store > 0
