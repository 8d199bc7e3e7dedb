"""Similar questions."""

from __future__ import annotations

from selenium.webdriver.common.keys import Keys

from page import Page

TEXT = "银行卡被偷了我该做什么"


def generate(page: Page, text: str) -> list[str]:
    page.type("#text", text)
    page.keys(Keys.ENTER)
    page.until(lambda: "round trip" in page.text("#generate .took"))
    return page.texts(".written .text")


def test_similar_questions_come_with_scores(page: Page) -> None:
    page.open("generate")
    assert "means the same" in page.text("#generate .empty") or "mean the same" in page.text("#generate .empty")
    page.put("#generate [name=samples]", "40")
    written = generate(page, TEXT)
    assert 5 < len(written) <= 20 and len(set(written)) == len(written) and TEXT not in written
    scores = [float(score) for score in page.texts(".written .number")]
    assert len(scores) == len(written) and all(0.4 < score <= 1 for score in scores)
    assert "write" in page.text("#generate .took")
    page.picture("generate")


def test_the_sampler_does_what_it_is_told(page: Page) -> None:
    page.open("generate")
    page.put("#generate [name=samples]", "40")
    plain = generate(page, TEXT)
    assert generate(page, TEXT) == plain, "the same seed"
    page.put("#generate [name=k]", "3")
    assert len(generate(page, TEXT)) == 3
    page.put("#generate [name=k]", "20")
    for name, value in (("copyPenalty", "3"), ("temperature", "1.5"), ("topK", "20"), ("topP", "0.99"), ("seed", "7")):
        page.put(f"#generate [name={name}]", value)
    assert generate(page, TEXT) != plain


def test_one_can_be_searched_and_copied(page: Page) -> None:
    page.open("generate")
    page.put("#generate [name=samples]", "20")
    first = generate(page, TEXT)[0]
    copy = page.one(".written .acts button:last-child")
    copy.click()
    page.until(lambda: copy.text == "Copied")
    page.click(".written .acts button:first-child")
    page.until(lambda: page.all(".hits > li"))
    assert page.one("#query").get_attribute("value") == first


def test_what_is_out_of_range_is_refused(page: Page) -> None:
    page.fails = True
    page.open("generate")
    page.put("#text", "长" * 3000)
    page.click("#generate .main")
    assert "at most 8192 bytes" in page.alert()
    page.put("#text", TEXT)
    page.put("#generate [name=samples]", "5000")
    page.click("#generate .main")
    page.until(lambda: "samples: expected 1 to 1000, received 5000" in page.text("[role=alert]"))
