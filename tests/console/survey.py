"""Looks at each page in light and dark, on a phone and on a desktop: axe, width, layout shifts, pictures."""

import re

from axe_playwright_python.sync_playwright import Axe

AXE = Axe()
SCHEMES, WIDTHS = ("light", "dark"), (390, 1440)
HEIGHT = {390: 844, 1440: 900}
# Good, by the Core Web Vitals.
SHIFT_MAX = 0.1
# All rules of axe. It need not describe the elements that keep them.
OPTIONS = {"resultTypes": ["violations"]}


def look(run, name, again):
    """Looks at the page that `again` brings up, once for each scheme and width."""
    page = run.browser.page
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": HEIGHT[width]})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            # Charts take their colors when they are drawn.
            if scheme == SCHEMES[0] or run.screenshots:
                again()
                run.browser.settle()
            one_view(run, page, name, width, scheme)


def one_view(run, page, name, width, scheme):
    where = f"{name}, {scheme}, {width}"
    found = AXE.run(page, options=OPTIONS).response["violations"]
    run.check(not found, f"axe has no finding: {where}{''.join(map(in_short, found))}")
    wide, room = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    run.check(wide <= room, f"the page is as wide as the window: {where} ({wide} of {room}{widest(page, room)})")
    shift = page.evaluate("window.layoutShift")
    run.check(shift["sum"] < SHIFT_MAX, f"the layout does not jump: {where} ({shift['sum']:.3f} {shift['largest'] or ''})")
    run.check(page.evaluate("window.pwned") is None, f"no script of a name has run: {where}")
    if run.screenshots:
        file = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
        page.screenshot(path=run.screenshots / f"{file}-{scheme}-{width}.png", full_page=True)


def widest(page, room):
    """The elements that make a page too wide, for the message."""
    found = page.evaluate("""room => [...document.querySelectorAll("main *, header *")]
        .filter(e => e.getBoundingClientRect().right > room && !e.closest(".scroll"))
        .slice(0, 3).map(e => e.outerHTML.slice(0, 80))""", room)
    return f": {found}" if found else ""


def in_short(violation):
    nodes = "".join(f"\n      {node['html'][:160]}" for node in violation["nodes"][:3])
    return f"\n    {violation['id']}: {violation['help']} ({len(violation['nodes'])} places){nodes}"


def pages(run):
    browser, key, hostile = run.browser, run.sold[0], run.hostile[0]

    def opening(path):
        return lambda: browser.open(path)

    def searched():
        browser.open("find?q=many@example.com")
        browser.page.get_by_role("button", name="Search all keys").click()
        browser.page.wait_for_selector("#owner tbody a")
        browser.page.get_by_role("button", name="Stop").click()

    def confirm():
        browser.open(f"key?key={hostile}")
        for summary in browser.page.locator("summary").all():
            summary.click()
        browser.page.locator("details").first.locator("[name=reason]").fill("a reason to look at this page")
        browser.page.locator("details button").first.click()

    def unfolded():
        browser.open(f"key?key={hostile}")
        for summary in browser.page.locator("summary").all():
            summary.click()

    def order_confirm():
        browser.open("orders?only=waiting")
        browser.page.locator("[name=reason]").first.fill("a reason")
        browser.page.locator("button[value=cancel]").first.click()

    def unfolded_row(path):
        def open_it():
            browser.open(path)
            browser.page.locator("main tbody summary").first.click()
        return open_it

    def checked():
        browser.open("check")
        browser.page.fill("textarea", run.response)
        browser.press("Check", within="form")

    for name, again in [
        ("Stock", opening("")), ("Find", opening("find")), ("Found", opening("find?q=order-31")),
        ("Found by owner", searched), ("A key", opening(f"key?key={key}")), ("A key's actions", unfolded),
        ("A key's confirmation", confirm), ("Orders", opening("orders")), ("An order's confirmation", order_confirm),
        ("Import", opening("import")), ("An import", opening(run.import_page)), ("A dropped import", opening(run.dropped_page)),
        ("Products", unfolded_row("products")), ("Generators", unfolded_row("generators")),
        ("API keys", unfolded_row("api-keys")), ("Signing keys", opening("signing-keys")), ("Check", opening("check")),
        ("Checked", checked), ("Audit", opening("audit")),
    ]:
        look(run, name, again)
