"""One server and one browser for all tests, a tab for each."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from gatekeeper import Gatekeeper
from page import Page
from served import REPOSITORY, Served, bundled

PICTURES = REPOSITORY / "target/console"
_names = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a bank `faq`, two questions of which are one with two answers."""
    served = Served(tmp_path_factory.mktemp("data"))
    served.call("v1/banks", {"name": "faq", "description": "Everyday questions"})
    questions = bundled()
    twin = {"id": "twin", "text": questions[0]["text"], "faqId": "other", "answer": "Another answer."}
    for start in range(0, len(questions), 500):
        served.call("v1/banks/faq/questions", {"questions": questions[start : start + 500]})
    served.call("v1/banks/faq/questions", {"questions": [twin]})
    yield served
    served.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "hide-scrollbars"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def _tab(browser: webdriver.Chrome, url: str) -> Iterator[Page]:
    before = browser.current_window_handle
    browser.switch_to.new_window("tab")
    fresh = browser.current_window_handle
    browser.switch_to.window(before)
    browser.close()
    browser.switch_to.window(fresh)
    browser.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": url.rstrip("/"), "storageTypes": "all"})
    page = Page(browser, url, PICTURES)
    page.resize(1280, 860)
    page.prefer("light")
    page.speak("en-GB,en")
    yield page
    page.check()


@pytest.fixture
def page(browser: webdriver.Chrome, server: Served) -> Iterator[Page]:
    """A fresh tab, 1280 wide, light, English."""
    yield from _tab(browser, server.url)


@pytest.fixture
def locked_server(tmp_path: Path) -> Iterator[Served]:
    """A server that asks for a key, with a small bank `faq`."""
    served = Served(tmp_path, locked=True)
    served.call("v1/banks", {"name": "faq"})
    served.call("v1/banks/faq/questions", {"questions": bundled()[:20]})
    yield served
    served.stop()


@pytest.fixture
def locked(browser: webdriver.Chrome, locked_server: Served) -> Iterator[Page]:
    """A fresh tab whose server asks for a key."""
    yield from _tab(browser, locked_server.url)


@pytest.fixture
def gatekeeper(server: Served) -> Iterator[Gatekeeper]:
    gatekeeper = Gatekeeper(server.url)
    yield gatekeeper
    gatekeeper.close()


@pytest.fixture
def guarded(browser: webdriver.Chrome, gatekeeper: Gatekeeper) -> Iterator[Page]:
    """A fresh tab whose server makes trouble."""
    yield from _tab(browser, gatekeeper.url)


@pytest.fixture
def bank(server: Served) -> str:
    """The name of an empty bank."""
    name = f"bank-{next(_names)}"
    server.call("v1/banks", {"name": name})
    return name
