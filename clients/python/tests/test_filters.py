import pytest

from simbert import Client, Filter, InvalidArgument

CASES = [
    (Filter.equals("lang", "zh"), "q1 q2 q3"),
    (Filter.equals("price", 2), "q2"),
    (Filter.equals("new", True), "q4"),
    (Filter.equals("new", 1), ""),
    (Filter.in_("channel", ["web", "shop"]), "q1 q3 q5"),
    (Filter.range("price", min=2), "q2 q3 q4"),
    (Filter.range("price", max=2), "q1 q2"),
    (Filter.range("price", min=2, max=3.5), "q2 q3"),
    (Filter.exists("price"), "q1 q2 q3 q4"),
    (Filter.faq("bank-1", "phone-1"), "q1 q2 q4"),
    (~Filter.faq("bank-1"), "q3 q4 q5"),
    (~Filter.exists("price"), "q5"),
    (~~Filter.exists("price"), "q1 q2 q3 q4"),
    (Filter.equals("lang", "zh") & ~Filter.in_("channel", ["app", "shop"]) & Filter.range("price", min=1), "q1 q3"),
    (Filter.equals("lang", "en") | Filter.equals("channel", "app"), "q2 q4"),
    (Filter.exists("new") | Filter.equals("lang", "zh") & Filter.range("price", max=1), "q1 q4"),
    (~(Filter.equals("lang", "zh") | Filter.exists("new")), "q5"),
    (Filter.all([]), "q1 q2 q3 q4 q5"),
    (Filter.any([]), ""),
]


@pytest.mark.parametrize(("condition", "expected"), CASES, ids=[repr(condition) for condition, _ in CASES])
def test_a_filter_finds_what_it_says(client: Client, faq: str, condition: Filter, expected: str) -> None:
    hits = client.search("怎么退款", bank=faq, filter=condition)
    assert sorted(hit.question.id for hit in hits) == expected.split()


def test_long_chains_are_one_level(client: Client, faq: str) -> None:
    chain = Filter.exists("none")
    for price in range(100):
        chain |= Filter.equals("price", price)
    hits = client.search("怎么退款", bank=faq, filter=chain)
    assert sorted(hit.question.id for hit in hits) == ["q1", "q2", "q4"]


def test_the_servers_limits(client: Client, faq: str) -> None:
    deep = Filter.exists("a")
    for _ in range(8):
        deep = ~deep
    with pytest.raises(InvalidArgument, match="filter"):
        client.search("怎么退款", bank=faq, filter=deep)
    with pytest.raises(InvalidArgument):
        client.search("怎么退款", bank=faq, filter=Filter.in_("channel", []))


def test_and_or_not_in_words_are_refused() -> None:
    with pytest.raises(TypeError, match="combine filters with &"):
        Filter.exists("a") and Filter.exists("b")
    with pytest.raises(TypeError):
        Filter.exists("a") & "b"  # type: ignore[operator]


def test_a_filter_can_be_read_and_compared() -> None:
    condition = (Filter.equals("lang", "zh") | Filter.exists("new")) & ~Filter.faq("a") & Filter.range("n", max=3)
    assert repr(condition) == "Filter((lang = 'zh' | has new) & ~faq in ['a'] & n <= 3)"
    assert Filter.exists("a") & Filter.exists("b") == Filter.all([Filter.exists("a"), Filter.exists("b")])
    assert Filter.exists("a") != Filter.exists("b")
