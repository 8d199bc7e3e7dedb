import io

from simbert import BulkProgress, Client, ProgressLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_line_says_how_far_how_fast_and_how_long() -> None:
    line = ProgressLine(5000, to=io.StringIO())
    line(BulkProgress(settled=1200, inserted=1190, failed=10))
    assert line.text(6.0) == "1,200 of 5,000 questions · 10 left out · 200 a second · 0:19 left"
    line(BulkProgress(settled=5000, inserted=4990, failed=10))
    assert line.text(25.0) == "5,000 of 5,000 questions · 10 left out · 200 a second"
    unknown = ProgressLine(to=io.StringIO())
    unknown(BulkProgress(settled=1200))
    assert unknown.text(6.0) == "1,200 questions · 200 a second"


def test_a_terminal_has_one_line_and_a_file_few() -> None:
    terminal, file = Terminal(), io.StringIO()
    for out in (terminal, file):
        line = ProgressLine(100, to=out)
        for settled in range(100):
            line(BulkProgress(settled=settled + 1))
        line.close()
    assert terminal.getvalue().count("\n") == 1
    assert terminal.getvalue().startswith("\r\x1b[K1 of 100 questions")
    assert terminal.getvalue().splitlines()[-1].split("\x1b[K")[-1].startswith("100 of 100 questions")
    assert file.getvalue().count("\n") == 2


def test_a_bulk_upsert_writes_it_when_asked(client: Client, bank: str, capsys: object) -> None:
    client.bulk_upsert_questions(bank, [("a", "怎么退款"), ("b", " ")], progress=True)
    written = capsys.readouterr().err  # type: ignore[attr-defined]
    assert "2 of 2 questions · 1 left out" in written
