"""Searching, directly and expanded."""

from __future__ import annotations

from selenium.webdriver.common.keys import Keys

from gatekeeper import Gatekeeper
from page import Page
from served import Served

LOST = "银行卡被偷了我该做什么"


def search(page: Page, text: str) -> None:
    page.type("#query", text)
    page.keys(Keys.ENTER)
    page.until(lambda: page.all("#search .hits > li"))


def test_a_question_finds_its_answer(page: Page) -> None:
    page.open()
    search(page, LOST)
    assert len(page.all("#search .hits > li")) == 10
    first = page.text("#search .hits > li:first-child")
    assert "银行卡" in first and "FAQ bank-" in first and "domain bank" in first and "cosine 0." in first
    assert page.texts(".hits .answer")[0]
    cosine = float(page.text(".hits .score span").split()[1])
    assert abs(page.look("filled", ".hits .bar") - cosine) < 0.01
    probabilities = [int(text.split()[0].split(".")[0]) for text in page.texts(".hits .score b")]
    assert len(probabilities) == 10 and probabilities == sorted(probabilities, reverse=True)
    took = page.text("#search .took")
    assert "10 hits" in took and "ms round trip" in took and "search" in took
    page.picture("search")


def test_questions_of_the_bank_are_offered(page: Page) -> None:
    page.open()
    offered = page.one(".offers button")
    text = offered.text
    page.picture("start")
    offered.click()
    page.until(lambda: page.all("#search .hits > li"))
    assert page.one("#query").get_attribute("value") == text
    assert page.text(".hits h3") == text
    assert float(page.text(".hits .score b").split()[0]) > 99


def test_options_narrow_the_hits(page: Page) -> None:
    page.open()
    search(page, LOST)
    page.put("#hits-most", "4")
    page.until(lambda: len(page.all(".hits > li")) == 4)
    faqs = [tag for tag in page.texts(".hits .tags span") if tag.startswith("FAQ")]
    assert len(set(faqs)) < 4
    page.click("#by-faq")
    page.until(lambda: len({tag for tag in page.texts(".hits .tags span") if tag.startswith("FAQ")}) == 4)
    page.put("#least", "0.999")
    page.until(lambda: "Nothing was found" in page.text("#search .empty"))
    assert not page.all(".hits > li")
    page.put("#least", "")
    page.until(lambda: len(page.all(".hits > li")) == 4)


def test_an_expanded_search_shows_which_phrase_found_what(page: Page) -> None:
    page.open()
    search(page, LOST)
    page.click(".either label:last-child")
    page.until(lambda: len(page.all(".phrases li")) == 9)
    phrases = page.texts(".phrases .text")
    assert phrases[0] == LOST and len(set(phrases)) == 9
    found_by = [text.split("“")[1].rstrip("”") for text in page.texts(".hits .by")]
    assert found_by and set(found_by) <= set(phrases)
    assert "write" in page.text("#search .took")
    page.picture("expanded")
    chosen = next(
        button for button in page.all(".phrases button") if button.is_enabled() and found_by[0] in button.text
    )
    chosen.click()
    page.until(lambda: page.all(".hits > li.dim"))
    lit = page.texts(".hits > li:not(.dim)")
    assert lit and all(found_by[0] in text for text in lit)
    page.keys(Keys.ENTER)  # it has kept the focus
    page.until(lambda: not page.all(".hits > li.dim"))
    page.put("#phrases-most", "3")
    page.until(lambda: len(page.all(".phrases li")) == 4)
    page.click(".either label:has([value=direct])")
    page.until(lambda: not page.all(".phrases li"))


def test_a_long_answer_opens(page: Page, server: Served, bank: str) -> None:
    answers = {"short": "在订单里申请。", "long": "先在订单里申请，再等两个工作日。" * 20}
    questions = [{"id": id_, "text": f"怎么退款{id_}", "answer": answer} for id_, answer in answers.items()]
    server.call(f"v1/banks/{bank}/questions", {"questions": questions})
    page.open("search", bank)
    search(page, "怎么退款")
    (more,) = page.all(".hits .more")
    assert page.look("clipped", more) > 10
    more.click()
    assert more.get_attribute("aria-expanded") == "true"
    assert page.look("clipped", more) <= 1
    more.click()
    assert page.look("clipped", more) > 10


def test_what_the_server_refuses_is_said(page: Page) -> None:
    page.fails = True
    page.open()
    page.put("#query", "长" * 3000)
    page.click("#search .main")
    said = page.alert()
    assert "refuses" in said and "at most 8192 bytes of text, received 9000 bytes" in said
    page.picture("refused")
    search(page, LOST)
    assert not page.all("[role=alert]")


def test_markup_in_a_question_stays_text(page: Page, server: Served, bank: str) -> None:
    text = '<img src=x onerror="document.title=1"><b>怎么退款</b>'
    server.call(f"v1/banks/{bank}/questions", {"questions": [{"id": "<i>", "text": text, "answer": text}]})
    page.open("search", bank)
    page.one(".offers button").click()
    page.until(lambda: page.all(".hits > li"))
    assert page.text(".hits h3") == text and not page.all(".hits img") and not page.all(".hits i img")


def test_a_server_that_is_gone_and_comes_back(guarded: Page, gatekeeper: Gatekeeper) -> None:
    guarded.fails = True
    guarded.open()
    guarded.one(".offers button")
    gatekeeper.down = True
    guarded.put("#query", LOST)
    guarded.click("#search .main")
    assert "does not answer" in guarded.alert()
    guarded.picture("unreachable")
    gatekeeper.down = False
    guarded.click("[role=alert] button")
    guarded.until(lambda: guarded.all(".hits > li"))
    assert not guarded.all("[role=alert]")


def test_a_page_that_finds_no_server_tries_again(guarded: Page, gatekeeper: Gatekeeper) -> None:
    guarded.fails = True
    guarded.open()
    gatekeeper.down = True
    guarded.browser.refresh()
    assert "does not answer" in guarded.alert()
    gatekeeper.down = False
    guarded.click("[role=alert] button")
    guarded.one(".offers button")
