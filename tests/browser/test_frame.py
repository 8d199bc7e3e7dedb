"""What holds for all views: languages, colours, narrow screens, the keyboard, the network."""

from __future__ import annotations

import re
import urllib.error
import urllib.request

import pytest
from selenium.webdriver.common.keys import Keys

from page import Page
from served import Served

VIEWS = ("search", "generate", "map", "import", "banks")


def settle(page: Page, view: str) -> None:
    """Waits until a view shows what it has."""
    page.open(view)
    shown = {"search": ".offers button", "map": ".legend li", "banks": ".list > li"}
    page.one(shown.get(view, f"#{view}"))
    page.until(lambda: not page.all(f"#{view}[aria-busy]"))


def ask(page: Page, expanded: bool = False) -> None:
    page.type("#query", "银行卡被偷了我该做什么")
    page.keys(Keys.ENTER)
    page.until(lambda: page.all(".hits > li"))
    if expanded:
        page.click(".either label:last-child")
        page.until(lambda: page.all(".phrases li"))


def test_it_speaks_the_browsers_language_and_the_users(page: Page) -> None:
    page.speak("zh-CN,zh")
    page.open()
    assert page.script("return document.documentElement.lang") == "zh-Hans"
    assert page.texts("nav a") == ["搜索", "生成", "地图", "导入", "问题库"]
    page.one(".offers button")
    ask(page)
    assert "10 条" in page.text("#search .took")
    page.picture("search-zh")
    page.click("#language")
    assert page.script("return document.documentElement.lang") == "en"
    assert page.texts("nav a")[0] == "Search" and "10 hits" in page.text("#search .took")
    page.browser.refresh()
    page.one(".offers button")
    assert page.texts("nav a")[0] == "Search", "the choice is kept"
    page.click("#language")
    for view in VIEWS:
        settle(page, view)
        left = re.findall(r"[A-Za-z]{4,}", page.look("saidByPage"))
        allowed = {"Ctrl", "Enter", "question", "text", "answer", "faq", "simbert", "Top"}
        assert {word for word in left if word not in allowed and not re.fullmatch(r"[0-9a-f]+", word)} == set(), view


def test_the_words_are_whole(page: Page) -> None:
    """Each word that the page asks for is there in both languages."""
    page.open()
    assert page.look("missingWords") == []


def test_dark_is_dark_and_can_be_read(page: Page) -> None:
    page.open()
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        bad = {pair: ratio for pair, ratio in page.look("contrasts").items() if ratio < 4.5}
        assert not bad, f"{scheme}: WCAG 2.2 asks for 4.5: {bad}"
    assert "rgb(19, 20, 22)" in page.script("return getComputedStyle(document.documentElement).backgroundColor")
    ask(page, expanded=True)
    page.picture("expanded-dark")
    settle(page, "map")
    page.picture("map-dark")


@pytest.mark.parametrize("language", ["en-GB,en", "zh-CN,zh"])
def test_a_narrow_screen_has_room_for_all(page: Page, language: str) -> None:
    page.speak(language)
    page.resize(360, 740, 2)
    for view in VIEWS:
        settle(page, view)
        if view == "search":
            ask(page, expanded=True)
        wide = page.look("beyond", 360)
        assert not wide, (view, wide)
        assert page.script("return document.documentElement.scrollWidth") <= 360, view
        page.picture(f"narrow-{view}-{language[:2]}")
    small = page.look("lowerThan", 24)
    assert not small, f"WCAG 2.2 asks for 24 pixels: {small}"


def test_the_slash_and_the_tab_reach_everything(page: Page) -> None:
    page.open()
    page.one(".offers button")
    page.script("document.activeElement.blur()")
    page.keys("/")
    assert page.browser.switch_to.active_element.get_attribute("id") == "query"
    page.keys("a/b")
    assert page.one("#query").get_attribute("value") == "a/b", "typed, where one types"
    for view in VIEWS:
        settle(page, view)
        page.script("document.activeElement.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)")
        page.script("document.querySelector('.skip').focus()")
        wanted = page.look("reachable")
        reached = []
        for _ in range(len(wanted) + 6):
            node = page.tab()
            if node.tag_name == "body" or node in reached:
                break
            reached.append(node)
            assert page.look("ringed", node), (view, "the focus cannot be seen", page.look("short", node))
        unreached = [page.look("short", node) for node in wanted if node not in reached]
        assert not unreached, (view, unreached)


def test_everything_has_a_name_for_who_cannot_see(page: Page) -> None:
    roles = {"button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "spinbutton", "application"}
    for view in VIEWS:
        settle(page, view)
        if view == "search":
            ask(page, expanded=True)
        tree = page.browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        named = [
            (node["role"]["value"].lower(), node.get("name", {}).get("value", "").strip())
            for node in tree
            if not node.get("ignored") and node.get("role", {}).get("value", "").lower() in roles
        ]
        assert len(named) > 8, (view, named)
        assert all(name for _, name in named), (view, named)
        assert sum(node.get("role", {}).get("value") == "main" for node in tree) == 1
        assert len(page.browser.find_elements("css selector", "main > section:not([hidden]) h1")) == 1
        assert page.all("[aria-current=page]")
        assert page.browser.title.endswith(" · simbert")


def test_a_key_is_asked_for_kept_and_forgotten(locked: Page, locked_server: Served) -> None:
    key = locked_server.key
    assert key
    locked.fails = True
    locked.open()
    locked.one("#ask-key [name=key]")
    locked.picture("key")
    locked.keys(Keys.ESCAPE)
    assert "key is missing or wrong" in locked.alert()
    locked.click("[role=alert] button")
    locked.one("#ask-key [name=key]")
    locked.keys("wrong", Keys.ENTER)
    assert "key is missing or wrong" in locked.alert()
    locked.click("[role=alert] button")
    locked.one("#ask-key [name=key]")
    locked.keys(key, Keys.ENTER)
    locked.one(".offers button")
    kept = f"return [sessionStorage.length, JSON.stringify(localStorage).includes('{key}')]"
    assert locked.script(kept) == [1, False]
    locked.browser.refresh()
    locked.one(".offers button")
    assert not locked.all("#ask-key")
    locked.click("#key")
    assert locked.script(kept) == [0, False]
    assert not locked.all("#key")


def test_files_are_cached_and_nothing_comes_from_elsewhere(server: Served) -> None:
    def get(path: str, known: str = "") -> tuple[int, dict[str, str], str]:
        request = urllib.request.Request(server.url + path, headers={"if-none-match": known} if known else {})
        try:
            with urllib.request.urlopen(request) as response:
                return response.status, dict(response.headers), response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read().decode()

    status, headers, page = get("")
    assert (status, headers["cache-control"]) == (200, "no-cache")
    assert get("", headers["etag"])[0] == 304
    assert get("", '"another"')[0] == 200
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    names = re.findall(r'(?:src|href)="(console/[^"]+)"', page)
    assert len(names) == 4
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|\sstyle=", page)
    for name in names:  # grows
        if name.endswith(".js"):
            folder = name.rpartition("/")[0]
            found = [f"{folder}/{other}" for other in re.findall(r'from "\./(\w+\.js)"', get(name)[2])]
            names += [other for other in found if other not in names]
    assert len(names) > 15
    for name in names:
        status, headers, text = get(name)
        assert status == 200, name
        assert "immutable" in headers["cache-control"], name
        assert headers["x-content-type-options"] == "nosniff", name
        assert "content-security-policy" in headers, name
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), name
        assert get(name, headers["etag"])[0] == 304, name
    folder = names[0].rpartition("/")[0]
    assert get(f"{folder}/none.js")[0] == 404
    assert get("console/0000000000000000/main.js")[0] == 404
