import math

import numpy
import pytest

from simbert import (
    Client,
    Filter,
    Hit,
    InvalidArgument,
    MaximumScore,
    NotFound,
    ReciprocalRank,
    Sampling,
)


def ids(hits: object) -> list[str]:
    return [hit.question.id for hit in hits]  # type: ignore[attr-defined]


def test_the_nearest_comes_first_with_score_probability_and_times(client: Client, faq: str) -> None:
    hits = client.search("卡怎么不见了", bank=faq, k=3)  # which no other test asks: the server remembers vectors
    assert set(ids(hits[:2])) == {"q1", "q2"}
    assert len(hits) == 3
    best = hits[0]
    assert isinstance(best, Hit)
    assert 0 < best.score <= 1
    assert best.rank_score == best.score
    assert best.probability is not None
    assert 0 < best.probability < 1
    assert best.phrase is None
    assert best.question.faq_id == "bank-1"
    assert hits.timings.infer > 0
    assert hits.timings.generate == 0
    assert ids(client.search("卡不见了", bank=faq)) == ids(client.search("卡不见了", bank=faq, exact=True))


def test_options_narrow_the_hits(client: Client, faq: str) -> None:
    query = "银行卡丢了怎么挂失"
    assert ids(client.search(query, bank=faq, min_score=0.99)) == ["q1"]
    assert ids(client.search(query, bank=faq, min_probability=0.0)) == ids(client.search(query, bank=faq))
    assert len(client.search(query, bank=faq, min_probability=1.0)) == 0
    assert len({"q1", "q2"} & set(ids(client.search(query, bank=faq, group_by_faq=True)))) == 1


def test_a_vector_finds_what_its_text_finds(client: Client, faq: str) -> None:
    [vector] = client.embed(["怎么修改密码"])
    assert ids(client.search([3 * x for x in vector], bank=faq)) == ids(client.search("怎么修改密码", bank=faq))
    [row] = client.embed_array(["怎么修改密码"])
    assert ids(client.search(row, bank=faq, k=1)) == ["q3"]
    with pytest.raises(InvalidArgument):
        client.search([1.0, 2.0], bank=faq)


def test_a_batch_has_a_result_for_each_query(client: Client, faq: str) -> None:
    [vector] = client.embed(["手机没有信号怎么办"])
    results = client.batch_search(["怎么退款", vector, "怎么修改密码"], bank=faq, k=1)
    assert [ids(result) for result in results] == [["q5"], ["q4"], ["q3"]]
    only = client.batch_search(["怎么退款"], bank=faq, filter=Filter.exists("new"))
    assert [ids(result) for result in only] == [["q4"]]
    with pytest.raises(TypeError, match="one text"):
        client.batch_search("怎么退款", bank=faq)
    with pytest.raises(InvalidArgument, match="number of queries"):
        client.batch_search([], bank=faq)


def test_an_expanded_search_says_which_phrase_found(client: Client, faq: str) -> None:
    sampling = Sampling(samples=8, max_tokens=16, seed=7)
    result = client.expanded_search("卡不见了", bank=faq, k=2, phrases=3, sampling=sampling)
    assert set(ids(result)) == {"q1", "q2"}
    assert 1 <= len(result.phrases) <= 3
    assert result[0].phrase in ["卡不见了", *(phrase.text for phrase in result.phrases)]
    assert result.timings.generate > 0
    sharp = client.expanded_search("卡不见了", bank=faq, k=1, sampling=sampling, fusion=ReciprocalRank(k=1))
    assert sharp[0].rank_score > result[0].rank_score
    highest = client.expanded_search("卡不见了", bank=faq, sampling=sampling, fusion=MaximumScore())
    assert highest[0].rank_score == highest[0].score


def test_similar_questions_are_written(client: Client) -> None:
    sampling = Sampling(samples=10, max_tokens=16, temperature=0.9, top_k=8, top_p=0.9, seed=1)
    written = client.generate("怎么修改密码", k=4, sampling=sampling)
    assert 1 <= len(written) <= 4
    assert all(-1.0 <= phrase.score <= 1.0 for phrase in written)  # rank also weighs whether it is a question
    assert "怎么修改密码" not in [phrase.text for phrase in written]
    again = client.generate("怎么修改密码", k=4, sampling=sampling)
    assert [phrase.text for phrase in again] == [phrase.text for phrase in written]
    assert [phrase.score for phrase in again] == pytest.approx([phrase.score for phrase in written], abs=1e-5)
    assert len(client.generate("怎么修改密码", min_score=1.0, sampling=sampling)) == 0
    with pytest.raises(InvalidArgument, match="samples"):
        client.generate("怎么修改密码", sampling=Sampling(samples=0))


def test_vectors_are_unit_lists_or_an_array(client: Client) -> None:
    texts = ["怎么退款", "能退钱吗"]
    vectors = client.embed(texts)
    array = client.embed_array(texts)
    assert [len(vector) for vector in vectors] == [client.get_model().dimension] * 2
    assert math.hypot(*vectors[0]) == pytest.approx(1, abs=1e-5)
    assert (array.shape, array.dtype) == ((2, client.get_model().dimension), numpy.float32)
    assert numpy.allclose(array, vectors)
    with pytest.raises(InvalidArgument, match="blank"):
        client.embed([""])
    with pytest.raises(TypeError, match="one text"):
        client.embed("怎么退款")


def test_there_must_be_a_bank(client: Client) -> None:
    with pytest.raises(NotFound, match="bank `none`"):
        client.search("怎么退款", bank="none")
