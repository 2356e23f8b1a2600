"""Drives Products, Generators, API keys and Signing keys: list, create, change, disable, enable, rotate. And Audit."""

import json
import subprocess

from keys import SCRIPT


def row(run, text):
    return run.browser.page.locator("main tbody tr", has_text=text)


def create(run, path, **fields):
    """Fills in the form, and returns the record that the command lists last."""
    run.browser.open(path)
    form = run.browser.page.locator("form.fields")
    for name, value in fields.items():
        form.locator(f"[name={name.replace('_', '-')}]").fill(value)
    form.get_by_role("button", name="Create").click()
    run.browser.settle()
    run.check(run.browser.text(".done").startswith("Created."), f"{path}: a new one is created")


def change(run, path, of, **fields):
    run.browser.open(path)
    one = row(run, of)
    one.locator("summary").click()
    for name, value in fields.items():
        one.locator(f"details [name={name.replace('_', '-')}]").fill(value)
    one.get_by_role("button", name="Save").click()
    run.browser.settle()
    run.check(run.browser.text(".done").startswith("Done."), f"{path}: a change is saved")


def confirm(run, path, verb):
    """Confirms an action, after the page has said what it will do."""
    said = run.browser.text("main p")
    run.check(len(said) > 20, f"{path}: {verb} says what it will do ({said[:60]})")
    run.browser.page.get_by_role("button", name=f"Yes, {verb}").click()
    run.browser.settle()


def switch(run, path, of, listed):
    """Disables and enables the row. `listed` reads its status with the command."""
    for verb, status in [("Disable", "inactive"), ("Enable", "active")]:
        row(run, of).get_by_role("button", name=verb).click()
        run.browser.settle()
        if verb == "Disable":
            confirm(run, path, "disable")
        shown = row(run, of).inner_text()
        run.check(status in shown.split() and listed() == status, f"{path}: {verb} makes it {status} ({listed()})")


def products(run):
    def listed():
        return next(product for product in run.desk.keypool("product", "list")[0] if product["id"] == 77)

    create(run, "products", name="Before", id="77")
    run.check(listed()["name"] == "Before", "products: the command lists the new one")
    change(run, "products", "Before", name=SCRIPT)
    run.check(listed()["name"] == SCRIPT and row(run, SCRIPT).count() == 1, "products: a name with a script is text")
    switch(run, "products", SCRIPT, lambda: listed()["status"])
    run.browser.open("")
    run.browser.press("Count again")
    run.check(SCRIPT in run.browser.text("#stock"), "Stock shows the name with a script as text")


def generators(run):
    def listed():
        return run.desk.keypool("generator", "list")[0][-1]

    create(run, "generators", product="77", method="chunk-system", prefix="NEW-", charset="0123456789ABCDEF", chunks="4",
           chunk_length="4", activation_limit="2", validity="30")
    run.check((listed()["product_id"], listed()["prefix"]) == (77, "NEW-"), "generators: the command lists the new one")
    change(run, "generators", "NEW-", prefix="NEXT-")
    run.check(listed()["prefix"] == "NEXT-", "generators: the command shows the change")
    switch(run, "generators", "NEXT-", lambda: listed()["status"])
    (key,), _ = run.desk.sell(product_id=77, quantity=1, generate=1, owner_name="Generated")
    run.check(key.startswith("NEXT-"), f"the API generates a license key with it ({key})")


def api_keys(run):
    def listed(name="browser"):
        return next(key for key in run.desk.keypool("api-key", "list")[0] if key["name"] == name)

    create(run, "api-keys", name="browser", capability="get-available-license-keys-count\nrandom-assign-license-keys",
           keys_per_order="5")
    secret = run.browser.page.locator(".secret code").inner_text()
    run.survey("API keys, with a new one")
    status, text = run.desk.post("get-available-license-keys-count", api_key=secret, product_id=1)
    run.check(status == 200, f"the new API key opens the API ({status} {text[:80]})")
    status, text = run.desk.post("random-assign-license-keys", api_key=secret, product_id=1, quantity=6)
    run.check("104" in text, "the new API key has its limit of keys an order")
    run.browser.open("api-keys")
    run.check(secret not in run.browser.page.content(), "an API key is shown once")
    change(run, "api-keys", "browser", name="browser 2", keys_per_order="7")
    run.check(listed("browser 2")["keys_per_order"] == 7, "API keys: the command shows the change")
    switch(run, "api-keys", "browser 2", lambda: listed("browser 2")["status"])
    row(run, "browser 2").get_by_role("button", name="Rotate").click()
    run.browser.settle()
    confirm(run, "api-keys", "rotate")
    new = run.browser.page.locator(".secret code").inner_text()
    status, _ = run.desk.post("get-available-license-keys-count", api_key=new, product_id=1)
    run.check(new != secret and status == 200, "a rotated API key is another one, and opens the API")


def signing_keys(run):
    def listed():
        return [key for key in run.desk.keypool("signing-key", "list")[0] if key["product_id"] == 3]

    create(run, "signing-keys", product="3")
    run.check(len(listed()) == 1, "signing keys: product 3 has a key of its own")
    first = public_key(run, "the new signing key")
    run.browser.page.locator("main tbody tr", has=run.browser.page.get_by_role("button", name="Rotate")).filter(
        has_text=listed()[0]["kid"]).get_by_role("button", name="Rotate").click()
    run.browser.settle()
    confirm(run, "signing-keys", "rotate")
    retired = [bool(key["retired_at"]) for key in listed()]
    run.check(sorted(retired) == [False, True], "signing keys: rotate keeps the public half of the old key")
    for key in listed():
        said = "a retired signing key" if key["retired_at"] else "the signing key that replaces it"
        text = public_key(run, said, key["kid"])
        run.check((text == first) == bool(key["retired_at"]), "the public key is that of its row")


def public_key(run, said, kid=None):
    """Downloads a public key. openssl must read it."""
    kid = kid or next(key["kid"] for key in run.desk.keypool("signing-key", "list")[0] if key["product_id"] == 3)
    with run.browser.page.expect_download() as download:
        row(run, kid).get_by_role("link", name="Public key").click()
    pem = download.value.path().read_text()
    command = ["openssl", "pkey", "-pubin", "-noout", "-text"]
    read = subprocess.run(command, input=pem, capture_output=True, text=True, check=False)
    run.check(read.returncode == 0 and "2048 bit" in read.stdout, f"openssl reads the public key of {said}")
    return pem


def audit(run):
    browser = run.browser
    browser.open("audit")
    everything = browser.page.locator(".history > li").count()
    browser.page.fill("[name=action]", "keys.block")
    browser.press("Show")
    entries = browser.page.locator(".history > li").all_inner_texts()
    counted = len(run.desk.keypool("audit", "--since=30d", "--action=keys.block"))
    run.check(0 < len(entries) < everything, f"Audit shows {len(entries)} of {everything} entries for keys.block")
    run.check(len(entries) == counted and all("keys.block" in entry for entry in entries), "keypool audit lists the same")
    browser.page.fill("[name=action]", "")
    browser.page.fill("[name=subject]", run.sold[0])
    browser.press("Show")
    entries = browser.page.locator(".history > li").all_inner_texts()
    run.check(len(entries) == 2 and all(run.sold[0] in entry for entry in entries), "Audit filters by the subject")
    browser.page.fill("[name=subject]", "nobody knows this")
    browser.press("Show")
    run.check("Nothing of that kind was done." in browser.text(), "Audit says that there is nothing")
    browser.expected = ["status of 422"]
    browser.page.fill("[name=since]", "yesterday-ish")
    browser.press("Show")
    run.check("Not done" in browser.text("h1"), "Audit refuses a time that it cannot read")
    run.survey("a failure")
    browser.expected = []
    browser.press("Back to the stock")
    run.check(browser.text("h1") == "Stock", "a failure links back to the stock")
