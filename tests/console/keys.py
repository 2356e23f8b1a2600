"""Sells license keys, and drives the pages Stock, Find, Key and Check."""

import json

OWNER, EMAIL = "Ada Lovelace", "ada@example.com"
BULK_OWNER, BULK = "Bulk Buyer", 120
SCRIPT = "<script>window.pwned=1</script>"
IMAGE = "<img src=x onerror=window.pwned=1>"


def sell(run):
    """Puts keys into stock and sells some, like a shop."""
    stock = [f"FIRST-{n:04}" for n in range(1, 31)]
    created, _ = run.desk.post("create-license-keys", license_keys=json.dumps(stock), product_id=1, activation_limit=1,
                               validity=365, status="available")
    run.check(created == 200, "the API creates 30 license keys")
    buyer = {"product_id": 1, "owner_name": OWNER, "owner_email": EMAIL, "identifier": "order-31"}
    run.sold, run.response = run.desk.sell(quantity=3, **buyer)
    run.desk.sell(product_id=2, quantity=BULK, generate=1, owner_name=BULK_OWNER, owner_email="bulk@example.com")
    hostile = {"owner_name": SCRIPT, "owner_email": "x@example.com", "identifier": IMAGE}
    run.hostile, _ = run.desk.sell(product_id=1, quantity=1, **hostile)


def stock(run):
    browser = run.browser
    browser.open("")
    browser.press("Count again")
    article = browser.page.locator("article", has=browser.page.get_by_text("product 1", exact=True))
    (counts,) = [counts for counts in run.desk.keypool("stock")[0] if counts["product_id"] == 1]
    facts = article.locator("dl").inner_text().split("\n")
    for name, value in [("Available", 26), ("Assigned", 4), ("Sold in the last hour", 4)]:
        shown = facts[facts.index(name) + 1] if name in facts else None
        run.check(shown == str(value), f"Stock shows {value} as “{name}” (it shows {shown})")
    run.check((counts["available"], counts["assigned"]) == (26, 4), "keypool stock counts the same")
    label = article.locator("svg.bar").get_attribute("aria-label")
    run.check(label == "26 available, 4 assigned, 0 reserved, 0 blocked", f"the bar says its counts: {label}")
    widths = [int(article.locator(f"rect.{kind}").get_attribute("width")) for kind in ("available", "assigned")]
    run.check(sum(widths) == 1000 and abs(widths[0] - 866) <= 1, f"the bar is divided like the counts: {widths}")
    drawn = """chart => { const c = chart.querySelector("canvas"); if (!c) return false;
        return c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some(byte => byte > 0) }"""
    charts = article.locator(".chart")
    run.check(charts.count() == 2, f"product 1 has 2 charts of sales (it has {charts.count()})")
    for nth in range(charts.count()):
        run.check(charts.nth(nth).evaluate(drawn), f"chart {nth + 1} of sales is drawn")
    health = browser.page.locator("section:has(#doctor-title)")
    run.check("checks passed" in health.inner_text(), "Health says which checks passed")
    run.check(health.locator(".level.fault").count() == 0, "Health has no fault")


def find(run):
    browser, key = run.browser, run.sold[0]
    browser.open("find")
    run.check(browser.page.evaluate("document.activeElement.id") == "q", "Find puts the cursor into its field")
    for query, wanted, said in [(key, [key], "a license key"), ("order-31", run.sold, "an order reference")]:
        browser.page.fill("#q", query)
        browser.press("Find")
        rows = browser.page.locator("section[aria-label='License key and order'] tbody a").all_inner_texts()
        run.check(sorted(rows) == sorted(wanted), f"Find finds {said}")
    browser.page.fill("#q", "no such thing")
    browser.press("Find")
    run.check("No license key and no order reference is “no such thing”" in browser.text(), "Find says what it did not find")
    for query, count in [(BULK_OWNER, BULK), (EMAIL, len(run.sold)), ("nobody@example.com", 0)]:
        search(run, query)
        browser.page.wait_for_function("() => !document.querySelector('#owner .more')")
        found = browser.page.locator("#owner tbody a").all_inner_texts()
        run.check(len(set(found)) == len(found) == count, f"{count} keys of {query} are found ({len(found)})")
    run.check("No owner's name or email address contains" in browser.text("#owner"), "a search without a result says so")
    search(run, BULK_OWNER)
    times = browser.page.locator("#owner time")
    times.first.wait_for()
    zone = times.first.evaluate("t => t.textContent === new Date(t.title).toLocaleString(undefined, "
                                "{dateStyle: 'medium', timeStyle: 'medium'})")
    run.check(zone, "times are in the zone of the viewer")


def search(run, query):
    """Searches for an owner, and waits for the first rows."""
    run.browser.open("find")
    run.browser.page.fill("#q", query)
    run.browser.press("Find")
    cost = run.browser.text("#owner")
    run.check("reads the whole table" in cost, f"Find says the cost of a search for {query} before it starts")
    run.browser.page.get_by_role("button", name="Search all keys").click()
    run.browser.page.wait_for_selector("#owner table")


def stop_a_search(run):
    """Stops the search for an owner of thousands of keys."""
    page = run.browser.page
    search(run, run.many_owner)
    run.browser.page.get_by_role("button", name="Stop").click()
    run.browser.settle()
    found = page.locator("#owner tbody a").count()
    more = page.locator("#owner .more [data-stop]").count()
    run.check(0 < found < run.many and not more, f"Stop ends a search after {found} of {run.many} keys")
    page.wait_for_timeout(700)
    run.check(page.locator("#owner tbody a").count() == found, "no more rows come after Stop")
    run.check("topped" in run.browser.text("#owner"), "the page says that the search was stopped")


def act(run, key, action, reason, **fields):
    """Does an action on a key: fields and reason, then the confirmation. Returns the key as the command shows it."""
    browser = run.browser
    browser.open(f"key?key={key}")
    details = browser.page.locator("details", has=browser.page.locator("summary", has_text=action).first)
    details = details.filter(has=browser.page.locator(f"input[name=action][value={action.lower()}]"))
    details.locator("summary").click()
    for name, value in fields.items():
        details.locator(f"[name={name}]").fill(value)
    details.locator("[name=reason]").fill(reason)
    details.locator("button").click()
    browser.settle()
    said = browser.text()
    run.check(f"{action} {key}?" in said and f"Reason: {reason}" in said, f"{action} asks for a confirmation with the reason")
    before = run.desk.key(key)["status"]
    browser.press(f"Yes, {action.lower()}")
    after = run.desk.key(key)
    entries = run.desk.keypool("audit", "--since=1d", f"--subject={key}")
    noted = any((entry["after"] or {}).get("reason") == reason for entry in entries)
    run.check(noted, f"the audit trail has the reason of {action.lower()} ({before} → {after['status']})")
    run.check(reason in browser.text(".history"), f"the key's history shows the reason of {action.lower()}")
    return after


def key_actions(run):
    browser, (one, two, three) = run.browser, run.sold
    browser.open(f"key?key={one}")
    facts = browser.text("dl.facts")
    run.check(all(text in facts for text in (OWNER, EMAIL, "order-31")), "Key shows the owner and the order")
    for key, action, status, fields in [
        (one, "Block", "blocked", {}), (one, "Unblock", "assigned", {}), (two, "Release", "available", {}),
        (two, "Assign", "assigned", {"owner_name": IMAGE, "owner_email": "eve@example.com"}),
        (three, "Replace", "blocked", {}),
    ]:
        after = act(run, key, action, f"test of {action.lower()}", **fields)
        run.check(after["status"] == status, f"{action} makes the key {status} ({after['status']})")
        done = f"Replaced by {after.get('replaced_by')}." if action == "Replace" else f"The key is {status} now."
        run.check(browser.text(".done") == done, f"Key says “{done}”")
    run.check(run.desk.key(two)["owner_name"] == IMAGE, "the new owner is stored as typed")
    browser.press("FIRST-", within="dl.facts")
    run.successor = browser.page.locator("h1 .key").inner_text()
    new = run.desk.key(run.successor)
    run.check((new["status"], new["owner_name"]) == ("assigned", OWNER), "the successor belongs to the same owner")


def keyboard(run):
    """Finds a key and blocks it without a mouse."""
    page, key = run.browser.page, run.successor
    run.browser.open("find")

    def tab_to(selector):
        for _ in range(60):
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"the Tab key does not reach {selector}")

    def enter():
        with page.expect_navigation():
            page.keyboard.press("Enter")
        run.browser.settle()

    page.keyboard.type(key)
    enter()
    tab_to("td a.key")
    enter()
    tab_to("summary")
    page.keyboard.press("Enter")
    tab_to("details[open] [name=reason]")
    page.keyboard.type("by keyboard")
    tab_to("details[open] button")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    run.check(outline != "none", "the element with the focus is marked")
    enter()
    focused = page.evaluate("document.activeElement.textContent")
    enter()
    run.check(focused == "Yes, block" and run.desk.key(key)["status"] == "blocked", "a key is found and blocked by keyboard")
    run.browser.open("")
    page.keyboard.press("Tab")
    run.check(page.evaluate("document.activeElement.hash") == "#main", "the first Tab reaches the link to the content")


def check(run):
    """Checks a response of the API, and a forged one."""
    forged = json.loads(run.response)
    signature = forged["signature"]
    forged["signature"] = ("A" if signature[0] != "A" else "B") + signature[1:]
    refused = "Do not trust it"
    for response, said in [(run.response, "Signed by"), (json.dumps(forged), refused), ("{}", refused)]:
        run.browser.open("check")
        run.browser.page.fill("textarea", response)
        run.browser.press("Check", within="form")
        shown = run.browser.text("section[aria-label=Result]")
        run.check(said in shown, f"Check says “{said}” of {response[:20]}…")
        if said == "Signed by":
            file = run.folder / "response.json"
            file.write_text(response)
            run.check(run.desk.keypool("verify", str(file))[0]["holds"], "keypool verify says the same")
