"""The list of banks, and new ones."""

from __future__ import annotations

from selenium.webdriver.common.keys import Keys

from page import Page
from served import Served


def test_banks_show_size_and_health(page: Page, server: Served) -> None:
    page.open("banks")
    row = next(row for row in page.until(lambda: page.all(".list > li")) if row.text.startswith("faq\n"))
    facts = server.call("v1/banks/faq")["bank"]
    assert f"{int(facts['questions']):,}\nquestions" in row.text and f"{facts['faqs']}\nFAQs" in row.text
    assert "Everyday questions" in row.text and "on disk" in row.text
    details = row.find_element("css selector", "[aria-expanded]")
    details.click()
    page.until(lambda: page.all(".details"))
    row = next(row for row in page.all(".list > li") if row.text.startswith("faq\n"))
    assert "healthy" in row.text and facts["modelFingerprint"] in row.text and "384 wide" in row.text
    assert "round trip" in page.text("#banks .took")
    page.picture("banks")


def test_a_bank_is_made_by_keyboard(page: Page, server: Served) -> None:
    page.fails = True
    page.open("banks")
    page.one("#banks .new").send_keys(Keys.ENTER)
    page.one("#create [name=name]")
    page.keys("faq", Keys.ENTER)
    assert "already exists" in page.alert()
    page.picture("new-bank")
    field = page.one("#create [name=name]")
    field.clear()
    field.send_keys("of your own")
    page.keys(Keys.ENTER)
    assert page.script("return document.querySelector('#create [name=name]').validity.patternMismatch")
    field.clear()
    field.send_keys("made-here")
    page.type("#create [name=description]", "Made by keyboard")
    page.keys(Keys.ENTER)
    page.until(lambda: any(text.startswith("made-here") for text in page.texts(".list > li")))
    assert page.script("return document.querySelector('#bank').value") == "made-here"
    made = server.call("v1/banks/made-here")["bank"]
    assert (made["description"], made["quantisation"]) == ("Made by keyboard", "QUANTISATION_INT8")
    page.open("search", "made-here")
    page.until(lambda: "empty" in page.text("#search .empty"))


def test_escape_leaves_the_dialog(page: Page) -> None:
    page.open("banks")
    page.click("#banks .new")
    page.one("#create [name=name]")
    page.keys(Keys.ESCAPE)
    page.until(lambda: not page.all("#create"))
