"""The map of a bank."""

from __future__ import annotations

from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys

from page import Page
from served import Served


def drawn(page: Page, view: str = "map") -> None:
    page.open(view)
    page.until(lambda: page.all(".legend li") and page.look("pointOfMap"))


def changed(page: Page, before: int) -> int:
    return page.until(lambda: (now := page.look("mapDrawn")) != before and now)


def test_points_are_drawn_and_say_what_they_are(page: Page, server: Served) -> None:
    drawn(page)
    count = int(server.call("v1/banks/faq")["bank"]["questions"])
    assert page.text("#map .took").startswith(f"{count} questions")
    assert "of each point’s nearest neighbours are beside it" in page.text("#map .took")
    x, y = page.look("pointOfMap")
    canvas = page.one("#map canvas")
    ActionChains(page.browser).move_to_element_with_offset(canvas, x, y).perform()
    page.until(lambda: page.all("#map .tip"))
    said = page.text("#map .tip")
    assert "FAQ bank-" in said or "FAQ " in said
    page.picture("map-hover")
    ActionChains(page.browser).click().perform()
    page.until(lambda: page.all("#map .card"))
    assert page.text("#map .card h2") == said.split("\n")[0]
    ActionChains(page.browser).move_to_element_with_offset(canvas, -canvas.size["width"] / 2 + 5, 0).perform()
    page.until(lambda: not page.all("#map .tip"))


def test_one_question_with_two_answers_is_listed(page: Page) -> None:
    drawn(page)
    (pair,) = page.all(".twins button")
    assert "bank-001" in pair.text and "twin" in pair.text and "1.000" in pair.text
    before = page.look("mapDrawn")
    pair.click()
    page.until(lambda: page.all("#map .card"))
    assert "1.000" in page.text("#map .card ul")
    changed(page, before)
    page.picture("map-pair")
    page.click("#map .card button")
    page.until(lambda: page.all(".hits > li"))
    assert {"FAQ bank-001", "FAQ other"} <= set(page.texts(".hits .tags span"))


def test_colours_follow_what_is_chosen(page: Page) -> None:
    drawn(page)
    before = page.look("mapDrawn")
    page.put("#map [name=labelKey]", "domain")
    page.until(lambda: any("bank" in text for text in page.texts(".legend button span")))
    before = changed(page, before)
    page.until(lambda: not page.all("#map[aria-busy]"))
    page.picture("map")
    page.click(".legend button")
    assert page.one(".legend [aria-pressed=true]")
    changed(page, before)
    page.click(".legend [aria-pressed=true]")
    page.put("#map [name=near]", "0.9")
    page.until(lambda: len(page.all(".twins button")) >= 1 and not page.all("#map[aria-busy]"))
    page.put("#map [name=points]", "500")
    page.until(lambda: "500 of " in page.text("#map .took"))


def test_it_is_looked_at_by_keyboard(page: Page) -> None:
    drawn(page)
    canvas = page.one("#map canvas")
    assert canvas.get_attribute("aria-label").startswith("Map of bank faq")
    page.one("#map form button").send_keys(Keys.TAB)
    assert page.browser.switch_to.active_element == canvas
    seen = []
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_UP, Keys.ARROW_LEFT):
        page.keys(key)
        seen.append(page.until(lambda: page.text("#map-said")))
    assert len(set(seen)) >= 3
    before = page.look("mapDrawn")
    page.keys("+")
    before = changed(page, before)
    page.keys("+", "-", "0")
    changed(page, before)
    text = page.text("#map .card h2")
    page.keys(Keys.ENTER)
    page.until(lambda: page.all(".hits > li"))
    assert page.one("#query").get_attribute("value") == text


def test_it_is_dragged_and_zoomed(page: Page) -> None:
    drawn(page)
    before = page.look("mapDrawn")
    page.click("[data-zoom=in]")
    before = changed(page, before)
    canvas = page.one("#map canvas")
    ActionChains(page.browser).move_to_element(canvas).click_and_hold().move_by_offset(90, 40).release().perform()
    before = changed(page, before)
    page.click("[data-zoom=all]")
    changed(page, before)
    assert not page.all("#map .card"), "to drag is not to choose"


def test_an_empty_bank_has_nothing_to_draw(page: Page, bank: str) -> None:
    page.open("map", bank)
    page.until(lambda: "nothing to draw" in page.text("#map .took"))
    assert not page.all("#map canvas")
