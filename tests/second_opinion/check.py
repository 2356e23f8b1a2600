"""Runs the functions and the command against moto's DynamoDB, KMS and SQS. An unexpected refusal is a fault."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from aws import CREDENTIALS, SELLERS, Aws
from functions import Function, api

VECTORS = Path(__file__).parents[1] / "vectors"
QUEUED = "random-assign-license-keys-queued"
ENDPOINTS = [
    "create-license-keys", "generate", "assign-license-key", "random-assign-license-keys", QUEUED, "update-license-key",
    "replace-license-key", "get-available-license-keys-count", "get-license-keys",
]
# Nobody owns this name, so no callback reaches anybody.
WEBHOOK_URL = "https://shop.invalid/?keevault-webhook=a-key"
# More keys than a transaction allows.
LARGE = 120
# The keys of a part. The last part of an order is never reserved.
PART = 96
# A dead order has a lease of some seconds.
SWEPT_WITHIN = 60
STACK = "shop"
# Subcommands that do not use a stack on AWS.
NOT_HERE = {"local", "completions"}


class Shop:
    """A stack on moto, and the results of its checks."""

    def __init__(self, binaries, folder):
        self.binaries, self.folder = binaries, folder
        self.checks, self.faults, self.subcommands, self.api_key = 0, [], set(), ""
        self.aws = Aws()
        # This variable sets the endpoint of all services.
        self.environment = CREDENTIALS | {"AWS_ENDPOINT_URL": self.aws.url, "HOME": str(folder), "PATH": os.environ["PATH"]}
        self.functions = {}
        self.url = api(self.functions)
        self.table, self.key, self.queue = self.aws.deploy(STACK, self.url)
        # One second after the stack was made.
        self.began = time.time() + 1
        for name in [*ENDPOINTS, "process-orders", "sweep-orders"]:
            self.start(name)

    def start(self, name):
        """Starts an environment of a function."""
        names = {"KEYPOOL_TABLE": self.table, "KEYPOOL_SIGNING_KEY": self.key, "KEYPOOL_QUEUE": self.queue,
                 "KEYPOOL_METRICS_NAMESPACE": STACK}
        self.functions[name] = Function(self.binaries / name, self.environment | names)

    def check(self, holds, said):
        """Checks one fact, and that AWS refused nothing before it."""
        self.checks += 1
        refused = self.aws.take_refused()
        if not holds or refused:
            self.faults.append(f"{said}\n    " + "\n    ".join(refused))
            print(f"fault: {self.faults[-1]}", flush=True)

    def post(self, endpoint, expected, idempotency_key=None, **parameters):
        """Sends a form like a shop. The response must have this status and code. Returns its text."""
        headers = {"idempotency-key": idempotency_key} if idempotency_key else {}
        body = urllib.parse.urlencode({"api_key": self.api_key} | parameters).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{self.url}/api/v1/{endpoint}", body, headers)) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        code = json.loads(text).get("response", {}).get("code", 0)
        log = "".join(self.functions[endpoint].log[-3:])
        self.check((status, code) == expected, f"{endpoint} {parameters}: {status} {text[:300]}\n{log}")
        return text

    def keypool(self, *arguments, expected=0, target=("--stack", STACK)):
        """Runs the command, which must end with this exit code. Returns its output."""
        words = [word for word in arguments if re.fullmatch("[a-z-]+", word) and not word.startswith("-")]
        self.subcommands |= {arguments[0], " ".join(words[:2])}
        command = [self.binaries / "keypool", *arguments, *target]
        done = subprocess.run(command, env=self.environment | {"KEYPOOL_API_KEY": self.api_key}, cwd=self.folder,
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)
        said = f"keypool {' '.join(arguments)}: exit code {done.returncode}: {done.stdout[-400:]}{done.stderr[-400:]}"
        self.check(done.returncode == expected, said)
        return done.stdout

    def verify(self, text):
        """Checks the signature of a response."""
        (self.folder / "response.json").write_text(text)
        self.keypool("verify", "response.json")


def set_up(shop):
    """Makes products, generators and API keys with the command."""
    for name in ["Demo", "Own key", "No generator"]:
        shop.keypool("product", "create", "--name", name)
    shop.keypool("generator", "create", "--product", "1")
    shop.keypool("generator", "create", "--product", "2", "--method", "chunk-system", "--prefix", "OFF-")
    shop.keypool("signing-key", "create", "--product", "2", "--wait", "0")
    shop.api_key = shop.keypool("api-key", "create", "--name", "checkout").strip()
    csv = shop.folder / "keys.csv"
    csv.write_text("license_key\n" + "".join(f"IMPORTED-{n:04}\n" for n in range(LARGE + 40)))
    shop.keypool("keys", "import", "keys.csv", "--product", "1", "--dry-run")
    shop.keypool("keys", "import", "keys.csv", "--product", "1")
    # The receipt names the table by its id, so nothing is left to import.
    again = shop.keypool("keys", "import", "keys.csv", "--product", "1", "--json")
    shop.check(len(listed(shop, "--product", "1")) == LARGE + 40, f"imported again: {again}")


def listed(shop, *which):
    return [json.loads(line) for line in shop.keypool("keys", "export", "--json", *which).splitlines()]


def samples(shop):
    """Checks the codes and members of the contract's samples."""
    for endpoint in ["create-license-keys", "generate", "random-assign-license-keys", "assign-license-key"]:
        sample = json.loads((VECTORS / f"{endpoint}.json").read_text())
        # The sample of create-license-keys has one duplicate, because one of its keys existed already.
        code = {"create-license-keys": 900, "generate": 815, "random-assign-license-keys": 803, "assign-license-key": 801}
        expected = [s["body"]["response"] for s in sample["example_responses"] if s["body"]["response"]["code"] == code[endpoint]]
        text = shop.post(endpoint, (200, code[endpoint]), **(sample["example_request"] | {"api_key": shop.api_key}))
        members = list(json.loads(text)["response"])
        shop.check(members == list(expected[0]), f"{endpoint} returns {members}, not {list(expected[0])}")
        shop.verify(text)
    shop.post("create-license-keys", (200, 902), **(
        json.loads((VECTORS / "create-license-keys.json").read_text())["example_request"] | {"api_key": shop.api_key}))


def repetitions(shop):
    """Repeats an Idempotency-Key. The response has the same bytes, or is a 422."""
    created = {"product_id": "3", "activation_limit": "1", "validity": "30", "status": "available"}
    for endpoint, code, parameters, others in [
        ("create-license-keys", 900, created | {"license_keys": '["TWICE-1","TWICE-2"]'}, created | {"license_keys": '["X"]'}),
        ("generate", 815, {"generator_id": "2", "quantity": "5"}, {"generator_id": "2", "quantity": "6"}),
        ("assign-license-key", 800, {"license_key": "TWICE-1"}, {"license_key": "TWICE-2"}),
        ("random-assign-license-keys", 803, {"product_id": "2", "quantity": "1"}, {"product_id": "2", "quantity": "2"}),
        ("random-assign-license-keys", 803, {"product_id": "2", "quantity": "3"}, {"product_id": "1", "quantity": "3"}),
    ]:
        key = f"{endpoint}-{parameters.get('quantity')}"
        first = shop.post(endpoint, (200, code), key, **parameters)
        shop.check(shop.post(endpoint, (200, code), key, **parameters) == first, f"{endpoint} repeats other bytes")
        shop.post(endpoint, (422, 0), key, **others)
        shop.verify(first)


def sales(shop):
    """Sells keys from stock and generated keys, in small and large orders, and from a stock that is too small."""
    # An earlier order may have drawn any of them.
    named = listed(shop, "--product", "1", "--status", "available")[0]["license_key"]
    shop.post("assign-license-key", (200, 800), license_key=named, owner_name="Ada", owner_email="ada@example.com")
    shop.post("assign-license-key", (200, 801), license_key=named)
    for product, quantity, code, fresh in [
        ("1", 1, 803, "0"), ("1", 2, 803, "0"), ("1", LARGE, 803, "0"),
        ("2", 1, 803, "1"), ("2", 30, 803, "1"), ("2", LARGE, 803, "1"),
        ("3", 50, 802, "0"), ("9", 1, 805, "0"), ("3", 50, 806, "1"), ("1", 0, 804, "0"),
    ]:
        key = f"sale-{product}-{quantity}" if quantity == LARGE else None
        parameters = {"product_id": product, "quantity": str(quantity), "generate": fresh}
        first = shop.post("random-assign-license-keys", (200, code), key, **parameters)
        shop.verify(first)
        if key:
            again = shop.post("random-assign-license-keys", (200, code), key, **parameters)
            shop.check(again == first, "a large order repeats other bytes")
            sold = {key["license_key"] for key in json.loads(first)["response"]["license_keys"]}
            assigned = {key["license_key"] for key in listed(shop, "--product", product, "--status", "assigned")}
            shop.check(len(sold) == LARGE and sold <= assigned, "a large order's keys are not all assigned")
    shop.post("assign-license-key", (401, 100), license_key="x", api_key="no-such-key")


def after_the_sale(shop):
    """Sells a key under an order, finds, changes and replaces it, and counts a stock."""
    order = {"product_id": "1", "quantity": "1", "identifier": "31", "owner_name": "Ada"}
    sold = json.loads(shop.post("random-assign-license-keys", (200, 803), **order))["response"]["license_keys"][0]
    key = sold["license_key"]
    found = json.loads(shop.post("get-license-keys", (200, 730), identifier="31"))["response"]["license_keys"]
    shop.check([row["license_key"] for row in found] == [key], f"order 31 has {found}")
    shop.post("get-license-keys", (200, 731))
    shop.verify(shop.post("update-license-key", (200, 950), "update", license_key=key, validity="30"))
    shop.post("update-license-key", (200, 951), license_key=key, status="available")
    shop.post("update-license-key", (200, 952), license_key="none")
    first = shop.post("replace-license-key", (200, 860), "replace", license_key=key, reason="lost")
    again = shop.post("replace-license-key", (200, 860), "replace", license_key=key, reason="lost")
    shop.check(again == first, "replace-license-key repeats other bytes")
    shop.verify(first)
    shop.post("replace-license-key", (200, 862), license_key=key, reason="lost")
    in_stock = len(listed(shop, "--product", "1", "--status", "available"))
    counted = json.loads(shop.post("get-available-license-keys-count", (200, 741), product_id="1"))["response"]["count"]
    shop.check(counted == in_stock, f"the count is {counted}, not {in_stock}")
    shop.post("get-available-license-keys-count", (200, 740), product_id="9")
    successor = json.loads(first)["response"]["license_keys"][0]["license_key"]
    shop.keypool("keys", "replace", successor, "--reason", "lost")
    shop.check(len(json.loads(shop.keypool("keys", "list", "--order", "31", "--json"))["keys"]) == 3, "order 31 lacks a key")


def personal_data(shop):
    """Exports and erases an owner's data. The keys stay sold, and a repetition gets no response."""
    order = {"product_id": "1", "quantity": "2", "owner_name": "Grace", "owner_email": "grace@example.com"}
    shop.post("random-assign-license-keys", (200, 803), "forgotten", **order)
    stored = json.loads(shop.keypool("owner", "export", "grace@example.com", "--json"))
    shop.check(len(stored) == 3, f"Grace should have two keys and a response: {stored}")
    shop.keypool("owner", "erase", "grace@example.com", "--dry-run")
    shop.keypool("owner", "erase", "grace@example.com")
    left = json.loads(shop.keypool("owner", "export", "grace@example.com", "--json"))
    shop.check(left == [], f"data of Grace remains: {left}")
    shop.check(len(listed(shop, "--owner", "erased")) == 2, "Grace's keys do not stay sold")
    shop.post("random-assign-license-keys", (409, 0), "forgotten", **order)


def queued(shop):
    """Queues orders that are filled without a reachable shop, repeated, waiting or canceled."""
    sqs = shop.aws.client("sqs")

    def process():
        """Hands messages to the worker like Lambda, and deletes those it does not return. Returns their number."""
        received = sqs.receive_message(QueueUrl=shop.queue, MaxNumberOfMessages=10, AttributeNames=["All"])
        messages = received.get("Messages", [])
        records = [{"messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"], "body": message["Body"],
                    "attributes": message["Attributes"]} for message in messages]
        kind, answer = shop.functions["process-orders"].invoke({"Records": records})
        shop.check(kind == "response", f"the worker fails: {answer}")
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for message in messages:
            if message["MessageId"] not in failed:
                sqs.delete_message(QueueUrl=shop.queue, ReceiptHandle=message["ReceiptHandle"])
        return len(messages)

    def orders(*which):
        return json.loads(shop.keypool("orders", "list", "--json", *which))

    order = {"product_id": "1", "quantity": "2", "webhook_url": WEBHOOK_URL}
    shop.verify(shop.post(QUEUED, (200, 807), **order, identifier="31"))
    first = shop.post(QUEUED, (200, 807), "queued", **order)
    shop.check(shop.post(QUEUED, (200, 807), "queued", **order) == first, f"{QUEUED} repeats other bytes")
    shop.post(QUEUED, (200, 804), **(order | {"webhook_url": "https://10.0.0.1/"}))
    shop.post(QUEUED, (200, 807), product_id="3", quantity="900", webhook_url=WEBHOOK_URL)
    shop.check(process() == 3, "the queue does not have the messages of three orders")
    undelivered, waiting = orders("--undelivered"), orders("--waiting")
    shop.check(len(undelivered) == 2 and len(waiting) == 1, f"orders: {undelivered} {waiting}")
    shop.keypool("orders", "redeliver", undelivered[0]["id"])
    shop.keypool("orders", "cancel", waiting[0]["id"])
    sqs.send_message(QueueUrl=shop.queue, MessageBody=waiting[0]["id"])
    process()
    shown = shop.keypool("orders", "show", waiting[0]["id"], "--json")
    shop.check(json.loads(shown)["code"] == 802, f"a canceled order has not ended: {shown}")


def sweep(shop):
    """Kills the environment of a large order. Before the commit, the sweep returns its keys to stock."""
    shop.check(shop.functions["sweep-orders"].invoke({})[0] == "response", "a sweep with nothing to do fails")
    shop.post("generate", (200, 815), generator_id="1", quantity=str(LARGE))
    before = len(listed(shop, "--product", "1", "--status", "available"))
    seller = "random-assign-license-keys"
    # The environment dies with its first part reserved, before it signs the response.
    shop.aws.before = lambda operation: operation == "Sign" and shop.functions[seller].process.kill()
    shop.post(seller, (502, 0), product_id="1", quantity=str(LARGE))
    shop.aws.before = lambda operation: None
    shop.start(seller)
    reserved = len(listed(shop, "--product", "1", "--status", "reserved"))
    shop.check(reserved == PART, f"the dead order reserves {reserved} keys, not {PART}")
    end = time.monotonic() + SWEPT_WITHIN
    available = 0
    while available != before and time.monotonic() < end:
        # The sweep waits until the lease is over.
        time.sleep(1)
        kind, answer = shop.functions["sweep-orders"].invoke({"detail-type": "Scheduled Event"})
        shop.check(kind == "response", f"a sweep fails: {answer}")
        if kind != "response":
            break
        available = len(listed(shop, "--product", "1", "--status", "available"))
    shop.check(available == before, f"after the sweep {available} keys are in stock, not {before}")


def operate(shop):
    """Runs every subcommand that reads or writes."""
    for noun, subject, update in [
        ("product", "1", ["--name", "Renamed"]),
        ("generator", "2", ["--suffix", "-X"]),
        ("api-key", "checkout", ["--capability", "generate"]),
    ]:
        shop.keypool(noun, "update", subject, *update)
        for verb in ["disable", "enable", "show"]:
            shop.keypool(noun, verb, subject)
        shop.keypool(noun, "list")
    shop.keypool("api-key", "rotate", "checkout")
    for arguments in [["list"], ["public-key"], ["public-key", "--jwks"], ["rotate", "--product", "2", "--wait", "0"]]:
        shop.keypool("signing-key", *arguments)
    key = shop.keypool("signing-key", "create", "--wait", "0").strip()
    shop.keypool("signing-key", "use", key, "--product", "3")
    shop.keypool("signing-key", "retire", key)
    available = [key["license_key"] for key in listed(shop, "--product", "1", "--status", "available")]
    for verb, key, *more in [
        ("block", available[0], "--reason", "refund"), ("unblock", available[0]), ("assign", available[1], "--owner-name", "Ada"),
        ("release", available[1], "--take-from-owner"), ("show", available[2]), ("list", "--limit", "5"),
    ]:
        shop.keypool("keys", verb, key, *more)
    after = [key["license_key"] for key in listed(shop, "--product", "1", "--status", "available")]
    shop.check(sorted(after) == sorted(available), "blocked or assigned keys did not return to stock")
    for arguments in [["stock"], ["audit"], ["target"]]:
        shop.keypool(*arguments)
    checks = json.loads(shop.keypool("doctor", "--json"))["checks"]
    not_ok = {check["check"] for check in checks if check["level"] != "ok"}
    # moto lacks these calls of CloudWatch (`cloudwatch-cbor`), and the stack has neither a sweep nor alarms.
    shop.check(not_ok <= {"sweep", "alarms", "KMS quota"}, f"doctor: {checks}")
    shop.keypool("product", "list", target=("--table", shop.table))
    shop.api_key = shop.keypool("api-key", "create", "--name", "calls").strip()
    created = ["product_id=1", "activation_limit=1", "validity=30", "status=available"]
    for arguments in [
        ["create-license-keys", 'license_keys=["CALLED-1"]', *created],
        ["generate", "generator_id=1", "quantity=2"],
        ["assign-license-key", "license_key=CALLED-1"],
        ["random-assign-license-keys", "product_id=1", "quantity=1", "--idempotency-key", "called"],
    ]:
        shop.keypool("call", *arguments)


def restore(shop):
    """Finds a sold key that is for sale again through the functions' logs, and blocks it."""
    # A function sold this key. The logs do not have the one that `keys replace` gave to Ada.
    (sold,) = [key["license_key"] for key in listed(shop, "--status", "assigned", "--owner", "ada@example.com")]
    shop.keypool("keys", "release", sold, "--take-from-owner")
    for seller in SELLERS:
        name = re.sub("(?<!^)([A-Z])", r"-\1", seller).lower()
        lines = [line.strip() for line in shop.functions[name].log if line.strip()]
        shop.aws.log(STACK, seller, lines)
    yesterday = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(shop.began - 86_400))
    # The log groups are younger than that, so sales may be missing.
    shop.keypool("restore", "check", "--restored-to", yesterday, "--dry-run", expected=4)
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(shop.began))
    shop.keypool("restore", "check", "--restored-to", began)
    key = json.loads(shop.keypool("keys", "show", sold, "--json").splitlines()[0])
    shop.check(key["status"] == "blocked", f"a sold and restored key is not blocked: {key['status']}")


def console(shop):
    """Looks at a key in the console of the stack, and blocks it."""
    shop.subcommands.add("console")
    key = listed(shop, "--product", "1", "--status", "available")[0]["license_key"]
    command = [shop.binaries / "keypool", "console", "--no-open", "--json", "--stack", STACK]
    process = subprocess.Popen(command, env=shop.environment, cwd=shop.folder, stdout=subprocess.PIPE, text=True)
    try:
        link = json.loads(process.stdout.readline())["ready"]
        origin = link.partition("/console")[0]
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        browser.open(link).read()
        page = browser.open(f"{origin}/console/key?key={key}").read().decode()
        shop.check(f"stack {STACK}" in page and "arn:aws:" in page, "the console does not show its stack and principal")
        token = re.search('name="form_token" value="([^"]+)"', page)[1]
        form = {"form_token": token, "action": "block", "key": key, "reason": "second opinion"}
        body = urllib.parse.urlencode(form).encode()
        change = urllib.request.Request(f"{origin}/console/key/change", body, {"Origin": origin})
        page = browser.open(change).read().decode()
        shop.check("The key is blocked now." in page, f"the console did not block {key}")
        for path in ["stock", "doctor", "orders", "products", "signing-keys", "audit", "import"]:
            shop.check(browser.open(f"{origin}/console/{path}").status == 200, f"the console does not show {path}")
    finally:
        process.terminate()
        shop.check(process.wait(timeout=30) == 0, "keypool console did not stop")


def every_subcommand(shop):
    """Checks that every subcommand ran."""
    def names(*of):
        text = subprocess.run([shop.binaries / "keypool", *of, "--help"], capture_output=True, text=True, check=True).stdout
        section = text.partition("\nCommands:\n")[2].partition("\n\n")[0]
        return [name for name in re.findall(r"^  ([a-z-]+)  ", section, re.MULTILINE) if name != "help"]

    for noun in names():
        wanted = [f"{noun} {verb}" for verb in names(noun)] or [noun]
        for subcommand in wanted:
            ran = noun in NOT_HERE or subcommand in shop.subcommands
            shop.check(ran, f"keypool {subcommand} did not run: run it, or list it in NOT_HERE")


def main():
    binaries = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(binaries, Path(folder))
        try:
            for part in [
                set_up, samples, repetitions, sales, after_the_sale, personal_data, queued, sweep, operate, console,
                restore, every_subcommand,
            ]:
                began = time.monotonic()
                part(shop)
                print(f"{part.__name__}: {time.monotonic() - began:.1f} s", flush=True)
        finally:
            for function in shop.functions.values():
                function.end()
        print("calls:", ", ".join(f"{name} {count}" for name, count in shop.aws.called().items()))
        print(f"{shop.checks - len(shop.faults)} passed, {len(shop.faults)} failed")
        return 1 if shop.faults else 0


if __name__ == "__main__":
    sys.exit(main())
