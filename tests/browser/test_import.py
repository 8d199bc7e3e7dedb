"""Files of questions."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest

from gatekeeper import Gatekeeper
from page import Page
from served import Served


def choose(page: Page, path: Path, content: str | bytes) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    page.browser.find_element("id", "file").send_keys(str(path))


def finish(page: Page) -> str:
    """Sends, and says what came of it."""
    page.one("#import .start").click()
    return page.until(lambda: (said := page.text(".counts")).startswith(("Done", "Cancelled", "Stopped")) and said)


def test_a_spreadsheets_csv_is_read_with_all_its_quirks(page: Page, server: Served, bank: str, tmp_path: Path) -> None:
    lines = [
        "ID,Question,answer,FAQ_ID,price,new,note",
        'q1,怎么退款,"先申请，\r\n再等 ""两"" 天",refund,12.5,true,007',
        '"q2","怎么, 换货",,swap,-3,false,"  spaced  "',
        ",,,,,,",
        "",
        'q3,5" 的屏幕怎么选,,,,,',
    ]
    page.open("import", bank)
    choose(page, tmp_path / "faq.csv", b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\r\n")
    page.one(".preview tbody tr")
    assert "UTF-8, separated by commas" in page.text(".about")
    kinds = page.script("return [...document.querySelectorAll('.preview select')].map((node) => node.value)")
    assert kinds == ["id", "text", "answer", "faq", "metadata", "metadata", "metadata"]
    page.picture("import")
    assert finish(page).startswith("Done: 3 new, 0 replaced, 0 left out")
    assert page.one(".progress").get_attribute("aria-valuenow") == "100"
    first, second, third = server.questions(bank)
    assert (first["text"], first["answer"]) == ("怎么退款", '先申请，\n再等 "两" 天')
    assert first["faqId"] == "refund"
    assert first["metadata"] == {"price": {"number": 12.5}, "new": {"flag": True}, "note": {"text": "007"}}
    assert (
        second["text"] == "怎么, 换货" and "answer" not in second and second["metadata"]["note"] == {"text": "spaced"}
    )
    assert third["text"] == '5" 的屏幕怎么选' and third["metadata"] == {}


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-8"])
def test_tabs_and_other_encodings(page: Page, server: Served, bank: str, tmp_path: Path, encoding: str) -> None:
    page.open("import", bank)
    choose(page, tmp_path / "faq.tsv", "text\tanswer\n怎么退款\t在订单里\n".encode(encoding))
    page.one(".preview tbody tr")
    assert "separated by tabs" in page.text(".about")
    assert finish(page).startswith("Done: 1 new")
    (question,) = server.questions(bank)
    # As `simbert index` names it.
    derived = "q-" + hashlib.sha256("怎么退款".encode()).hexdigest()[:16]
    assert (question["id"], question["text"], question["answer"]) == (derived, "怎么退款", "在订单里")


def test_columns_can_be_chosen(page: Page, server: Served, bank: str, tmp_path: Path) -> None:
    page.open("import", bank)
    choose(page, tmp_path / "faq.csv", "编号;问;备注\n1;怎么退款;x\n2;怎么换货;y\n")
    page.one(".preview tbody tr")
    assert "Choose the column that holds the questions" in page.text(".columns-hint")
    assert not page.one("#import .start").is_enabled()
    selects = page.all(".preview select")
    for select, kind in zip(selects, ("id", "text", "none"), strict=True):
        page.look("put", select, kind)
    assert finish(page).startswith("Done: 2 new")
    assert [(q["id"], q["text"], q["metadata"]) for q in server.questions(bank)] == [
        ("1", "怎么退款", {}),
        ("2", "怎么换货", {}),
    ]


def test_bad_lines_are_listed_and_the_rest_goes_on(page: Page, server: Served, bank: str, tmp_path: Path) -> None:
    lines = ["id,text", "good-1,怎么退款", "blank, ", "wide,怎么换货,more", "long," + "长" * 3000]
    lines += ["x" * 600 + ",怎么开票", "good-2,怎么开户"]
    page.open("import", bank)
    choose(page, tmp_path / "faq.csv", "\n".join(lines))
    assert finish(page).startswith("Done: 2 new, 0 replaced, 4 left out")
    rows = page.texts(".left-out tbody tr")
    assert [row.split("\t")[0] for row in rows] == ["3", "4", "5", "6"]
    for row, reason in zip(
        rows, ("received none", "at most 2 columns, received 3", "received 9000", "512 bytes"), strict=True
    ):
        assert reason in row
    assert [question["id"] for question in server.questions(bank)] == ["good-1", "good-2"]
    page.picture("left-out")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('id,text\n1,"never closed\n2,x\n', "quote that opens in line 2 never closes"),
        ("id,text\n", "a header and nothing else"),
        ("", "no line"),
        (b"\x00\x01\x02\xff" * 50, "not text"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(
    page: Page, bank: str, tmp_path: Path, content: str | bytes, said: str
) -> None:
    page.open("import", bank)
    choose(page, tmp_path / "bad.csv", content)
    assert said in page.alert()
    assert not page.all("#import .start")
    choose(page, tmp_path / "good.csv", "id,text\n1,怎么退款\n")
    assert finish(page).startswith("Done: 1 new")
    assert not page.all("[role=alert]")


def table(path: Path, count: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows((f"n{i:05}", f"第{i}个问题怎么办") for i in range(count))


def test_many_go_in_slices_and_can_be_cancelled(
    guarded: Page, gatekeeper: Gatekeeper, server: Served, bank: str, tmp_path: Path
) -> None:
    table(tmp_path / "many.csv", 3000)
    guarded.open("import", bank)
    guarded.browser.find_element("id", "file").send_keys(str(tmp_path / "many.csv"))
    guarded.one("#import .start").click()
    share = lambda: int(guarded.one(".progress").get_attribute("aria-valuenow"))  # noqa: E731
    guarded.until(lambda: 0 < share() < 100)
    guarded.until(lambda: "a second" in guarded.text(".counts"))
    guarded.picture("progress")
    guarded.click("#import .cancel")
    guarded.until(lambda: guarded.text(".counts").startswith("Cancelled"))
    written = len(server.questions(bank))
    assert 0 < written < 3000 and max(gatekeeper.slices) == 256
    guarded.click("#import .again")
    table(tmp_path / "fewer.csv", written)
    guarded.browser.find_element("id", "file").send_keys(str(tmp_path / "fewer.csv"))
    assert finish(guarded).startswith("Done: 0 new")


def test_a_busy_server_is_asked_again(
    guarded: Page, gatekeeper: Gatekeeper, server: Served, bank: str, tmp_path: Path
) -> None:
    guarded.fails = True
    gatekeeper.busy = 2
    guarded.open("import", bank)
    choose(guarded, tmp_path / "faq.csv", "id,text\n1,怎么退款\n2,怎么换货\n")
    assert finish(guarded).startswith("Done: 2 new")
    assert gatekeeper.slices == [2, 2, 2]


def test_a_question_that_the_server_refuses_costs_only_itself(
    guarded: Page, gatekeeper: Gatekeeper, server: Served, bank: str, tmp_path: Path
) -> None:
    guarded.fails = True
    gatekeeper.refused = "第7个"
    table(tmp_path / "faq.csv", 20)
    guarded.open("import", bank)
    guarded.browser.find_element("id", "file").send_keys(str(tmp_path / "faq.csv"))
    assert finish(guarded).startswith("Done: 19 new, 0 replaced, 1 left out")
    assert "is refused" in guarded.text(".left-out tbody")
    assert "n00007" not in [question["id"] for question in server.questions(bank)]


def test_an_import_goes_on_after_the_server_was_gone(
    guarded: Page, gatekeeper: Gatekeeper, server: Served, bank: str, tmp_path: Path
) -> None:
    guarded.fails = True
    guarded.open("import", bank)
    choose(guarded, tmp_path / "faq.csv", "id,text\n1,怎么退款\n2,怎么换货\n")
    guarded.one("#import .start")
    gatekeeper.down = True
    assert finish(guarded).startswith("Stopped at line 3")
    assert "does not answer" in guarded.alert()
    gatekeeper.down = False
    guarded.click("#import .resume")
    guarded.until(lambda: guarded.text(".counts").startswith("Done: 2 new"))
    assert not guarded.all("[role=alert]")
    assert len(server.questions(bank)) == 2
