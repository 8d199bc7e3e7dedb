"""The console in a browser's tab: short words for what a user does and sees."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

#: Nothing here takes longer, unless it hangs; a build without optimisation is slow.
PATIENCE = 120
LOOKS = Path(__file__).with_name("looks.js").read_text(encoding="utf-8")


class Page:
    def __init__(self, browser: Chrome, url: str, pictures: Path) -> None:
        self.browser = browser
        self.url = url
        self._pictures = pictures
        #: Whether failed calls are what the test is about. The browser logs each.
        self.fails = False

    def open(self, view: str = "search", bank: str | None = "faq") -> None:
        self.browser.get(self.url + "#" + (f"{view}/{bank}" if bank else view))
        self.until(lambda: self.look("settled"))

    def script(self, code: str, *arguments: object) -> Any:
        return self.browser.execute_script(code, *arguments)

    def look(self, what: str, *arguments: object) -> Any:
        """What a function of looks.js gives."""
        return self.script(f"{LOOKS}\nreturn looks.{what}(...arguments)", *arguments)

    def until(self, condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        """What the condition gives once that is true."""
        end = time.monotonic() + seconds
        while True:
            if found := condition():
                return found
            assert time.monotonic() < end, f"waited in vain; the page says: {self.text('main')!r}"
            time.sleep(0.03)

    def all(self, selector: str) -> list[WebElement]:
        """Those that are shown."""

        def shown(node: WebElement) -> bool:
            try:
                return node.is_displayed()
            except StaleElementReferenceException:
                return False  # another has taken its place

        return [node for node in self.browser.find_elements(By.CSS_SELECTOR, selector) if shown(node)]

    def one(self, selector: str) -> WebElement:
        """The first that is shown, once there is one."""
        return self.until(lambda: self.all(selector))[0]

    def text(self, selector: str) -> str:
        return self.look("text", selector)

    def texts(self, selector: str) -> list[str]:
        return self.look("texts", selector)

    def click(self, selector: str) -> None:
        self.one(selector).click()

    def type(self, selector: str, text: str) -> None:
        node = self.one(selector)
        node.clear()
        node.send_keys(text)

    def put(self, selector: str, value: str) -> None:
        """Sets a field as if it was typed and left."""
        self.look("put", self.one(selector), value)

    def keys(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    def tab(self, back: bool = False) -> WebElement:
        """Moves the focus on, and gives what has it."""
        chain = ActionChains(self.browser)
        chain = chain.key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT) if back else chain.send_keys(Keys.TAB)
        chain.perform()
        return self.browser.switch_to.active_element

    def alert(self) -> str:
        """What the page says went wrong, when nothing is on its way any more."""
        self.one("[role=alert]")
        self.until(lambda: self.look("settled"))
        return self.text("[role=alert]")

    def resize(self, width: int, height: int, scale: float = 1) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 500}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, scheme: str) -> None:
        """The user's colours: `light` or `dark`."""
        features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", features)

    def speak(self, language: str) -> None:
        """The browser's language, for what is opened next."""
        agent = self.script("return navigator.userAgent")
        override = {"userAgent": agent, "acceptLanguage": language}
        self.browser.execute_cdp_cmd("Emulation.setUserAgentOverride", override)

    def picture(self, name: str) -> None:
        """Saves what is to be seen."""
        self._pictures.mkdir(parents=True, exist_ok=True)
        self.browser.save_screenshot(str(self._pictures / f"{name}.png"))

    def check(self) -> None:
        """No errors in the browser's log, and no request to elsewhere."""
        log = [entry for entry in self.browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
        # It advises the tests, which read the map's pixels again and again.
        bad = [entry for entry in log if "willReadFrequently" not in entry["message"]]
        if self.fails:
            bad = [entry for entry in bad if entry.get("source") != "network"]
        assert not bad, bad
        for entry in self.browser.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                address = urlsplit(message["params"]["request"]["url"])
                assert address.scheme in ("data", "blob") or address.hostname == "127.0.0.1", address
