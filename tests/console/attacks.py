"""Attacks in a real browser: other sites, a link that leaked, a hostile name, another user of this machine."""

import http.client
import json
import subprocess
import urllib.parse

from browser import TIMEOUT
from desk import Server

CHANGE = "/console/key/change"


def raw(desk, method, path, body="", **headers):
    """Sends a request as it is. Returns status, headers and text."""
    connection = http.client.HTTPConnection("127.0.0.1", desk.port, timeout=30)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body=body, headers=headers)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, response.headers, text


def cookie(run):
    """The cookie of the session, which only the browser knows."""
    (found,) = [cookie for cookie in run.browser.context.cookies() if cookie["name"].startswith("keypool-console")]
    run.check(found["httpOnly"] and found["sameSite"] == "Strict", "the cookie is HttpOnly and SameSite=Strict")
    run.check(run.browser.page.evaluate("document.cookie") == "", "scripts cannot read the cookie")
    return f"{found['name']}={found['value']}"


def entrance(run):
    """The page that the link leads to."""
    page = run.browser.page
    run.check(page.locator("h1").count() == 1 and run.browser.text("h1") == "Stock", f"the link leads to the stock ({page.url})")
    run.check("token" not in page.url, "the address of the page has no token")
    for path in ("/console", "/console/"):
        run.check(page.goto(f"{run.desk.url}{path}").status == 200, f"{path} is a page")


def requests(run):
    """Requests that no page of the console sends."""
    desk, own = run.desk, cookie(run)
    form = urllib.parse.urlencode({"action": "block", "key": run.sold[1], "reason": "an attack"})
    sent = {"Cookie": own, "Content_Type": "application/x-www-form-urlencoded"}
    evil = f"evil.example:{desk.port}"
    for said, status, answer in [
        ("DNS rebinding: a foreign Host", 403, raw(desk, "GET", "/console", Cookie=own, Host=evil)),
        ("DNS rebinding: a foreign Host with its Origin", 403,
         raw(desk, "POST", CHANGE, form, **sent, Host=evil, Origin=f"http://{evil}")),
        ("a foreign Origin", 403, raw(desk, "POST", CHANGE, form, **sent, Origin="http://evil.example")),
        ("the Origin of a sandbox", 403, raw(desk, "POST", CHANGE, form, **sent, Origin="null")),
        ("a change without an Origin", 403, raw(desk, "POST", CHANGE, form, **sent)),
        ("a form without its token", 403, raw(desk, "POST", CHANGE, form, **sent, Origin=desk.url)),
        ("a form with a guessed token", 403,
         raw(desk, "POST", CHANGE, f"{form}&form_token={'0' * 64}", **sent, Origin=desk.url)),
        ("an upload without a token", 403,
         raw(desk, "POST", "/console/import?name=a.csv", "KEY-1", Cookie=own, Origin=desk.url)),
        ("a user of this machine without the cookie", 403, raw(desk, "GET", "/console")),
        ("a guessed cookie", 403, raw(desk, "GET", "/console", Cookie=f"{own.partition('=')[0]}={'0' * 64}")),
        ("a guessed link", 403, raw(desk, "GET", f"/console/open?token={'0' * 64}")),
    ]:
        run.check(answer[0] == status, f"refused: {said} ({answer[0]})")
        run.check("license" not in answer[2].lower(), f"the refusal shows no license key: {said}")
    _, headers, _ = raw(desk, "GET", "/console", Cookie=own)
    policy = headers["content-security-policy"]
    run.check("default-src 'none'" in policy and "unsafe" not in policy, f"the policy allows nothing from elsewhere: {policy}")
    run.check(headers["referrer-policy"] == "same-origin", "no address of the console leaves it as a Referer")
    run.check(headers["cache-control"] == "no-store", "the browser stores no page")
    command = open(f"/proc/{desk.process.pid}/cmdline", encoding="utf-8").read()
    run.check("token" not in command, "the command line, which other users see, has no token")


def other_sites(run):
    """Pages of another origin in the browser that has the session: another port, and another host name."""
    desk, key = run.desk, run.sold[1]
    before, referers = desk.key(key), []
    fields = {"action": "block", "key": key, "reason": "an attack", "form_token": "guessed"}
    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
    pages = {
        "/form": f'<form action="{desk.url}{CHANGE}" method="post">{inputs}</form>'
                 "<script>document.forms[0].submit()</script>",
        "/frame": f'<h1>Win a prize</h1><iframe src="{desk.console}/key?key={key}" width="800" height="600"></iframe>',
        "/script": f'<script src="{desk.console}/find?q={key}"></script>'
                   f'<script src="{desk.console}/assets/0/console.js"></script>',
        "/empty": "<h1>empty</h1>",
    }

    def answer(_method, path, headers, _body):
        referers.append((path, headers.get("referer")))
        return 200, "text/html; charset=utf-8", f"<!DOCTYPE html><title>evil</title>{pages.get(path, '')}".encode()

    evil = Server(answer)
    for origin in (evil.url, f"http://localhost:{evil.port}"):
        page = run.browser.context.new_page()
        statuses = {}
        page.on("response", lambda response, seen=statuses: seen.update({response.url: response.status}))
        page.goto(f"{origin}/form")
        page.wait_for_url(f"{desk.url}{CHANGE}")
        run.check(statuses[f"{desk.url}{CHANGE}"] == 403, f"refused: a form on {origin}")
        page.goto(f"{origin}/frame")
        frame = page.frames[-1]
        shown = frame.locator("body").inner_text() if len(page.frames) > 1 else ""
        run.check(key not in shown and "keypool" not in shown, f"refused: a frame on {origin} ({frame.url})")
        page.goto(f"{origin}/empty")
        said = page.evaluate("""url => fetch(url, {credentials: "include"})
            .then(response => response.text(), error => error.name)""", f"{desk.console}/find?q={key}")
        run.check(said == "TypeError", f"refused: a fetch with the cookie on {origin} ({said[:60]})")
        for mode in ("no-cors", "cors"):
            page.evaluate("""([url, body, mode]) => fetch(url, {method: "POST", mode, credentials: "include",
                body: new URLSearchParams(body)}).catch(error => error.name)""", [f"{desk.url}{CHANGE}", fields, mode])
        page.goto(f"{origin}/script")
        run.check(page.evaluate("typeof localTimes") == "undefined", f"refused: the console's script on {origin}")
        opened = page.evaluate("""url => { const opened = window.open(url);
            return new Promise(done => setTimeout(() => {
              try { done(opened.closed || !opened.document.title) } catch { done(true) }
            }, 500)) }""", f"{desk.console}/find")
        run.check(opened, f"refused: reading a window that {origin} opened")
        for other in run.browser.context.pages:
            if other not in (run.browser.page, page):
                other.close()
        page.close()
    run.check(desk.key(key) == before, "no attack changed the key")
    run.browser.open(f"find?q={key}")
    run.browser.page.evaluate("url => { location.href = url }", f"{evil.url}/left")
    run.browser.page.wait_for_url(f"{evil.url}/left")
    left = [referer for path, referer in referers if path == "/left"]
    run.check(left == [None], f"a page that follows the console learns no address ({left})")
    run.browser.take_faults()


def links(run, chromium):
    """The link that was used, in another browser, and the next link."""
    other = chromium.new_context()
    page = other.new_page()
    page.set_default_timeout(TIMEOUT)
    answer = page.goto(run.desk.link)
    text = page.locator("main").inner_text()
    run.check(answer.status == 403 and "used before" in text, "refused: the same link in a second browser")
    run.check(not other.cookies(), "a refused link sets no cookie")
    answer = page.goto(run.desk.console)
    text = page.locator("main").inner_text()
    run.check(answer.status == 403 and "no session" in text, "a browser without a session sees no page")
    page.goto(run.desk.next_link())
    page.wait_for_selector("h1")
    run.check(page.locator("h1").inner_text() == "Stock", "the next link opens a second browser")
    other.close()


def names(run):
    """Scripts in names: of owners, orders, products and files."""
    browser, key = run.browser, run.hostile[0]
    for path in ["", "find?q=%3Cscript%3Ewindow.pwned%3D1%3C/script%3E", f"find?q={key}", f"key?key={key}", "products",
                 "import", "orders", "audit"]:
        browser.open(path)
        if path.startswith("find?q=%3C"):
            browser.press("Search all keys for this owner")
            run.check(browser.page.locator("#owner-results tbody a").count() > 0, "the owner with a script as name is found")
        run.check(browser.page.evaluate("window.pwned") is None, f"no script of a name runs at /{path}")
    browser.open(f"key?key={key}")
    run.check("<script>window.pwned=1</script>" in browser.text("dl.facts"), "a script in an owner's name is text")
    browser.open("import")
    run.check("<img src=x" in browser.text("table"), "a tag in a file's name is text")


def console(run, chromium):
    """`keypool console` is another server on the same stack, with a link of its own."""
    command = [run.desk.binary, "console", "--no-open", "--json", "--data-dir", run.desk.folder / "data"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        link = json.loads(process.stdout.readline())["ready"]
        context = chromium.new_context()
        page = context.new_page()
        page.set_default_timeout(TIMEOUT)
        # As the command does it: a file leads to the link. A browser counts the file as another site.
        file = run.folder / "link.html"
        file.write_text(f"<!doctype html><meta http-equiv=refresh content='0;url={link}'>")
        page.goto(file.as_uri())
        page.wait_for_selector("#stock article")
        run.check("product 1" in page.locator("#stock").inner_text(), "keypool console shows the same stock")
        port = urllib.parse.urlsplit(link).port
        arguments = open(f"/proc/{process.pid}/cmdline", encoding="utf-8").read()
        run.check(link.rpartition("=")[2] not in arguments, "its command line has no token")
        context.close()
        run.check(port != run.desk.port, "it has a port of its own")
    finally:
        process.terminate()
        run.check(process.wait(timeout=30) == 0, "keypool console stops at once")
