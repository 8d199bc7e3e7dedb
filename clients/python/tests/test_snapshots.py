from pathlib import Path

import pytest

from simbert import AlreadyExists, Client, InvalidArgument, NotFound


def test_a_bank_goes_into_a_file_and_comes_back(client: Client, bank: str, tmp_path: Path) -> None:
    file = tmp_path / "faq.bank"
    copied: list[tuple[int, int]] = []
    taken = client.take_snapshot(bank, file, progress=lambda done, all: copied.append((done, all)))
    assert taken.questions == client.get_bank(bank).questions
    assert taken.bytes == file.stat().st_size
    assert all(done <= total for done, total in copied)
    made = client.restore_bank(file, name="snapshot-copy")
    assert (made.name, made.questions, made.faqs) == ("snapshot-copy", taken.questions, taken.faqs)
    before = list(client.list_questions(bank))
    assert list(client.list_questions("snapshot-copy")) == before
    with pytest.raises(AlreadyExists):
        client.restore_bank(file, name="snapshot-copy")
    client.delete_bank("snapshot-copy")


def test_a_file_is_whole_or_not_there(client: Client, bank: str, tmp_path: Path) -> None:
    file = tmp_path / "faq.bank"
    with pytest.raises(NotFound):
        client.take_snapshot("none", file)
    assert list(tmp_path.iterdir()) == []
    client.take_snapshot(bank, file)
    with pytest.raises(FileExistsError):
        client.take_snapshot(bank, file)
    client.take_snapshot(bank, file, replace=True)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InvalidArgument):
        client.restore_bank(file, name="cut")
    assert "cut" not in [found.name for found in client.list_banks()]


def test_many_are_written_for_and_a_bad_one_fails_alone(client: Client) -> None:
    written = {each.position: each for each in client.generate_many(["怎么退款", " ", "怎么开户"], k=2)}
    assert sorted(written) == [0, 1, 2]
    assert written[1].failure is not None
    assert "text" in written[1].failure
    for position in (0, 2):
        assert written[position].failure is None
        assert len(written[position].paraphrases) == 2
