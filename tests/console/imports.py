"""Drives the page Import: a file of 10,000 keys, and a dropped file that is stopped and continued."""

import json

from keys import IMAGE

LINES = 10_000
MANY, MANY_OWNER = 6_000, "Many Keys"
DONE = "#progress .done"


def stored(run, prefix, count):
    """Checks a sample of the keys with the command."""
    for number in (0, count // 2, count - 1):
        key = run.desk.key(f"{prefix}-{number:05}")
        run.check(key["status"] is not None, f"{prefix}-{number:05} is stored")
    return key


def summary(run, said):
    run.browser.page.wait_for_selector("#progress .done, #progress .failure", timeout=120_000)
    text = " ".join(run.browser.text("#progress").split())
    run.check(said in text, f"Import says “{said}” ({text[:200]})")


def choose(run):
    """A file by the input: preview, rehearsal, import. The page is closed while the import runs."""
    browser, page = run.browser, run.browser.page
    file = run.folder / "keys.csv"
    file.write_text("Serial,activation_limit\n" + "".join(f"IMPORT-{n:05},{n % 5}\n" for n in range(LINES)))
    browser.open("import")
    page.set_input_files("#upload input", file)
    page.wait_for_url("**/console/import/*")
    page.wait_for_selector("#preview p.failure, #preview table")
    browser.settle()
    run.import_page = page.url.rpartition("/console/")[2]
    page.select_option("[name=product]", "2")
    browser.settle()
    page.fill("[name=columns]", "license_key=Serial")
    page.locator("[name=columns]").blur()
    page.wait_for_selector("#preview table")
    browser.settle()
    preview = browser.text("#preview")
    run.check("IMPORT-00000" in preview and "IMPORT-00009" in preview, "Import shows the first lines")
    # The header is a line of the file, too.
    run.check(f"The first lines of {LINES + 1}" in preview, f"Import counts the lines ({preview[:60]!r})")

    browser.press("Rehearse", within="#import")
    summary(run, f"{LINES} lines: {LINES} would be created, 0 duplicate, 0 refused.")
    run.check(run.desk.key("IMPORT-00000")["status"] is None, "a rehearsal stores no key")
    receipt(run, "rehearsal")

    browser.press("Import", within="#import")
    page.wait_for_selector("#progress progress, #progress .done")
    run.check(page.locator("#progress progress").count() == 1, "Import shows its progress")
    browser.new_page()
    browser.open("import")
    state = browser.text("main table")
    known = any(text in state for text in ("import is running", "import complete"))
    run.check(known, f"the list shows the import after its page was closed ({' '.join(state.split())})")
    browser.press("keys.csv", within="table")
    summary(run, f"{LINES} lines: {LINES} created, 0 duplicate, 0 refused.")
    stored(run, "IMPORT", LINES)
    receipt(run, "import")
    (counts,) = [counts for counts in run.desk.keypool("stock")[0] if counts["product_id"] == 2]
    run.check(counts["available"] == LINES, f"keypool stock counts {counts['available']} available keys")


def receipt(run, of):
    with run.browser.page.expect_download() as download:
        run.browser.page.get_by_role("link", name="Download the receipt").click()
    lines = download.value.path().read_text().splitlines()
    objects = [json.loads(line) for line in lines]
    run.check(len(objects) > 0, f"the receipt of the {of} is downloaded ({len(objects)} lines of JSON)")


def drop(run):
    """A dropped file with a hostile name: stopped, then continued."""
    browser, page = run.browser, run.browser.page
    run.many, run.many_owner = MANY, MANY_OWNER
    lines = "".join(f"MANY-{n:05},2,assigned,{MANY_OWNER},many@example.com\n" for n in range(MANY))
    text = f"license_key,product_id,status,owner_name,owner_email\n{lines}"
    browser.open("import")
    transfer = page.evaluate_handle("""([text, name]) => { const transfer = new DataTransfer();
        transfer.items.add(new File([text], name)); return transfer }""", [text, f"{IMAGE}.csv"])
    page.dispatch_event("#upload", "drop", {"dataTransfer": transfer})
    page.wait_for_url("**/console/import/*")
    page.wait_for_selector("#preview table")
    run.check(f"{IMAGE}.csv" in browser.text("h1"), "the name of the dropped file is shown as text")
    run.check(MANY_OWNER in browser.text("#preview"), "the preview shows the owners")
    run.dropped_page = page.url.rpartition("/console/")[2]
    browser.press("Import", within="#import")
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector(DONE)
    text = " ".join(browser.text(DONE).split())
    run.check("interrupted" in text, f"Stop interrupts the import ({text[:120]})")
    run.check(run.desk.key(f"MANY-{MANY - 1:05}")["status"] is None, "the last key is not stored yet")
    browser.press("Import", within="#import")
    summary(run, f"{MANY} created, 0 duplicate, 0 refused.")
    last = stored(run, "MANY", MANY)
    run.check(last["owner_name"] == MANY_OWNER, "the imported key has its owner")


def remove(run):
    """Another file, removed again with its receipts."""
    file = run.folder / "wrong.csv"
    file.write_text("license_key\nONLY-1\n\x00\n")
    run.browser.open("import")
    run.browser.page.set_input_files("#upload input", file)
    run.browser.page.wait_for_url("**/console/import/*")
    run.browser.open("import")
    row = run.browser.page.locator("tr", has_text="wrong.csv")
    row.get_by_role("button", name="Remove wrong.csv").click()
    run.browser.settle()
    run.check(row.count() == 0, "a file is removed from the list")
    received = [path for path in (run.desk.folder / "data/console/local/imports").rglob("*") if path.is_file()]
    run.check(not any(path.name == "wrong.csv" for path in received), "a removed file is deleted")
    modes = {oct(path.stat().st_mode & 0o077) for path in [*received, *(path.parent.parent for path in received)]}
    run.check(modes == {"0o0"}, f"other users of this machine cannot read received files and receipts ({modes})")
