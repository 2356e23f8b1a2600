"""A browser whose errors, refused scripts, foreign requests and layout shifts are recorded."""

import re
from urllib.parse import urlsplit

# A page is read after the parts that load later have come, and after the browser has drawn them.
SETTLED = """() => document.readyState === "complete" && !document.querySelector(".htmx-request, .htmx-settling")"""
DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
SHIFTS = """
window.layoutShift = { sum: 0, largest: "" };
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.hadRecentInput) continue;
    layoutShift.sum += entry.value;
    for (const { node } of entry.sources)
      layoutShift.largest ||= `${node?.nodeName}.${node?.className} ${node?.textContent?.trim().slice(0, 40)}`;
  }
}).observe({ type: "layout-shift", buffered: true });
"""
CHROMIUM = "/usr/bin/chromium"
# In milliseconds. Tests wait for events, and this ends a wait that has failed.
TIMEOUT = 30_000


# htmx reports a request that the button Stop has ended.
STOPPED = ("htmx:afterRequest", "htmx:sendAbort")


def start(playwright, is_root):
    """Starts Chromium. Root cannot use its sandbox."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if is_root else [])


class Session:
    """The console in a browser, after its link was opened."""

    def __init__(self, chromium, desk, link):
        self.desk, self.faults, self.expected = desk, [], []
        self.context = chromium.new_context(accept_downloads=True, locale="en-US", timezone_id="Asia/Tokyo")
        self.context.set_default_timeout(TIMEOUT)
        self.context.add_init_script(SHIFTS)
        self.context.on("request", self._request)
        self.context.on("console", self._said)
        self.context.on("weberror", lambda error: self.faults.append(f"error in a script: {error.error}"))
        self.page = self.context.new_page()
        self.page.goto(link)
        self.page.wait_for_url(re.compile(f"{desk.console}/?$"))

    def _request(self, request):
        parts = urlsplit(request.url)
        is_own = f"{parts.scheme}://{parts.netloc}" == self.desk.url or parts.scheme in ("data", "blob")
        if not is_own:
            self.faults.append(f"request to another origin: {request.url}")
        if "token=" in request.headers.get("referer", "") and not is_own:
            self.faults.append(f"the token is in the Referer for {request.url}")

    def _said(self, message):
        is_expected = message.text.startswith(STOPPED) or any(text in message.text for text in self.expected)
        if message.type in ("error", "warning") and not is_expected:
            where = message.page and message.page.url
            self.faults.append(f"{message.type} in the browser's console at {where}: {message.text}")

    def take_faults(self):
        faults, self.faults = self.faults, []
        return faults

    def open(self, path):
        """Opens a page of the console, and waits until all of its parts have come."""
        self.page.goto(f"{self.desk.console}/{path}".removesuffix("/"))
        self.settle()
        return self.page

    def settle(self):
        self.page.wait_for_function(SETTLED)
        self.page.evaluate(DRAWN)

    def text(self, selector="main"):
        """The text that a reader sees."""
        return self.page.locator(selector).inner_text()

    def press(self, name, within="main"):
        """Presses the button, link or summary with this text, and waits for what follows."""
        target = self.page.locator(within).locator("button, a, summary").filter(has_text=name)
        target.first.click()
        self.settle()

    def new_page(self):
        """Closes the page, and goes on in another one."""
        self.page.close()
        self.page = self.context.new_page()
