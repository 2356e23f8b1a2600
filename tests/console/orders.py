"""Queues orders, and drives the page Orders: one that waits and is cancelled, and two that are delivered again."""

import json

# More keys than the stock of product 3 ever has.
WAITING = 7


def queue(run, name, product, quantity, status=200):
    """Queues an order, whose callback the shop answers with `status`. Returns its id."""
    parameters = {"product_id": product, "quantity": quantity, "identifier": name, "owner_name": "Queue Owner"}
    code, text = run.desk.post("random-assign-license-keys-queued", webhook_url=run.shop.webhook(name, status), **parameters)
    run.check(code == 200 and json.loads(text)["response"]["code"] == 807, f"the API accepts the queued order {name}")


def order_id(run, name):
    """The id of an order that is not delivered, which the command lists."""
    (found,) = [order["id"] for order in run.desk.keypool("orders", "list")[0] if order["identifier"] == name]
    return found


def place(run):
    queue(run, "delivered", 1, 2)
    queue(run, "cancelled", 3, WAITING)
    queue(run, "still-waiting", 3, WAITING)
    queue(run, "failing", 1, 1, status=500)
    queue(run, "dead", 1, 1, status=410)
    for name in ("delivered", "failing", "dead"):
        callbacks = run.shop.wait_for(name, 1)
        run.check(callbacks and callbacks[0]["response"]["code"] == 803, f"the shop gets the callback of {name}")


def article(run, name):
    return run.browser.page.locator("article.order", has_text=f"order {name}")


def wait_for(run, only, name, text):
    """Loads the page until the order shows this text, because the worker goes on by itself."""
    for _ in range(60):
        run.browser.open(f"orders?only={only}")
        if article(run, name).count() and text in article(run, name).inner_text():
            return
        run.browser.page.wait_for_timeout(500)
    raise AssertionError(f"Orders does not show {text} for {name}: {run.browser.text()[:600]}")


def change(run, name, verb, reason):
    article(run, name).locator("[name=reason]").fill(reason)
    article(run, name).locator(f"button[value={verb}]").click()
    run.browser.settle()
    said = run.browser.text()
    run.check(f"Reason: {reason}" in said, f"{verb} asks for a confirmation of {name}")
    run.browser.press("Yes")


def pages(run):
    wait_for(run, "waiting", "cancelled", "waiting")
    run.check(article(run, "failing").count() == 0, "“Waiting for stock” has waiting orders only")
    wait_for(run, "undelivered", "failing", "500")
    wait_for(run, "undelivered", "dead", "dead")
    run.check(article(run, "cancelled").count() == 0, "“Not delivered” has no waiting order")
    ids = {name: order_id(run, name) for name in ("cancelled", "failing", "dead")}
    run.check(ids["failing"] in article(run, "failing").inner_text(), "Orders and the command show the same id")

    for name in ("failing", "dead"):
        run.shop.answer(name, 200)
        run.browser.open("orders?only=undelivered")
        change(run, name, "redeliver", f"the shop is up again: {name}")
        run.check(run.browser.text(".done") == "The callback is due now.", f"Orders says that the callback of {name} is due")
    run.browser.open("orders?only=waiting")
    change(run, "cancelled", "cancel", "no more deliveries")
    run.check(run.browser.text(".done") == "The order is cancelled.", "Orders says that the order is cancelled")
    run.check(run.desk.order(ids["cancelled"])["cancelled"] is True, "the command says that the order is cancelled")
    run.order_ids = ids
    run.browser.open("")
    run.browser.press("Count again")
    waited = run.browser.page.locator("article", has_text="product 3").locator("a[href*=waiting]").all_inner_texts()
    (counts,) = [counts for counts in run.desk.keypool("stock")[0] if counts["product_id"] == 3]
    run.check(waited == [str(counts["waited_for"])] != ["0"], f"Stock links to the waiting orders of product 3 ({waited})")


def callbacks(run):
    """The callbacks that the changes caused, within a minute."""
    for name, code, count in [("cancelled", 802, 1), ("failing", 803, 2), ("dead", 803, 2)]:
        received = run.shop.wait_for(name, count)
        codes = [callback["response"]["code"] for callback in received]
        run.check(codes == [code] * count, f"the shop gets {count} callbacks with code {code} for {name} ({codes})")
    for name in ("failing", "dead"):
        same = len({json.dumps(callback) for callback in run.shop.callbacks(name)})
        run.check(same == 1, f"the callback of {name} is repeated with the same content")
    run.browser.open("orders")
    for _ in range(60):
        left = {name for name in run.order_ids if article(run, name).count()}
        if not left:
            break
        run.browser.page.wait_for_timeout(500)
        run.browser.open("orders")
    run.check(not left, f"delivered orders leave the page ({left or 'all left'})")
    for name, id in run.order_ids.items():
        run.check(run.desk.order(id)["state"] == "delivered", f"the command says that {name} is delivered")
    run.browser.open(f"find?q={run.order_ids['failing']}")
    run.check(article(run, "failing").count() == 1, "Find shows a delivered order by its id")
    change(run, "failing", "redeliver", "the shop has lost it")
    run.check(len(run.shop.wait_for("failing", 3)) == 3, "a delivered order is delivered again")
