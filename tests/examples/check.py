"""The examples against the samples, responses of its own and broken ones: all must say the same.

    check.py GO_BINARY      needs php, node and the package cryptography
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors"
EXAMPLES = {
    "php": ["php", ROOT / "examples/verify.php"],
    "node": ["node", ROOT / "examples/verify.js"],
    "python": [sys.executable, "-B", ROOT / "examples/verify.py"],
    "go": [Path(sys.argv[1]).resolve()],
}
NOT_SIGNED = "Private key not set"
OTHER_KEY = "another key signed it, or it was changed"
NO_ENVELOPE = "it is not an envelope of keypool"
NOW = 1_732_388_528


class Cases:
    """Arguments of the examples, and what they must say to them."""

    def __init__(self, folder):
        self.folder, self.cases = folder, []

    def file(self, name, content):
        path = self.folder / f"{len(self.cases)}-{name}"
        path.write_bytes(content)
        return path

    def add(self, name, key, body, *pairs, holds=None, reason=None, status=None):
        """Without `holds` and `reason` only the status counts, which is 1 by default."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        arguments = [key, self.file("response.json", content), *pairs]
        self.cases.append((name, arguments, holds, reason, 0 if holds else status or 1))

    def usage(self, name, *arguments):
        self.cases.append((name, arguments, None, None, 2))


def line(content):
    """What an example says of a response that holds."""
    quantity = len(content.get("licenseKeys", content.get("license_keys", [])))
    return f"holds: {content['code']} {content['message']}, {quantity} license keys, timestamp {content['timestamp']}\n"


def samples():
    """The bodies of the samples: those that are signed, and the others."""
    paths = sorted(VECTORS.glob("*.json"))
    bodies = [response["body"] for path in paths for response in json.loads(path.read_text())["example_responses"]]
    signed = [body for body in bodies if body["signature"] != NOT_SIGNED]
    unsigned = [body for body in bodies if body["signature"] == NOT_SIGNED]
    assert len(signed) >= 8 and len(unsigned) >= 5, f"{len(signed)} samples are signed, {len(unsigned)} are not"
    return signed, unsigned


def too_far(content, now):
    return f"timestamp {content['timestamp']} is too far from {now}"


def of_sample(cases, key, other_key, body):
    """A signed sample, whole and broken."""
    content = json.loads(base64.b64decode(body["response_base64"]))
    assert content == body["response"]
    code, timestamp, holds = content["code"], content["timestamp"], line(content)
    quantity = len(content.get("licenseKeys", content.get("license_keys", [])))
    now = f"now={timestamp + 12}"

    cases.add("sample", key, body, now, f"code={code}", f"quantity={quantity}", holds=holds)
    lie = body | {"response": content | {"code": 803, "license_keys": [{"license_key": "FORGED"}]}}
    cases.add("response changed", key, lie, now, f"code={code}", holds=holds)
    cases.add("code of response alone", key, lie, now, "code=803", reason="code is not 803")
    other = "global" if body["private_key_used"] == "product" else "product"
    cases.add("private_key_used changed", key, body | {"private_key_used": other}, now, holds=holds)
    cases.add("wrong key", other_key, body, now, reason=OTHER_KEY)
    forged = base64.b64encode(json.dumps(content | {"code": code + 1}, separators=(",", ":")).encode()).decode()
    cases.add("response_base64 changed", key, body | {"response_base64": forged}, now, reason=OTHER_KEY)
    cases.add("too old", key, body, f"now={timestamp + 301}", reason=too_far(content, timestamp + 301))
    cases.add("from the future", key, body, f"now={timestamp - 301}", reason=too_far(content, timestamp - 301))


def of_one_sample(cases, key, body, unsigned):
    """What does not depend on the sample."""
    content = body["response"]
    timestamp, holds = content["timestamp"], line(content)
    now = f"now={timestamp}"
    for name in ["signature", "response_base64"]:
        cases.add(f"no {name}", key, {at: value for at, value in body.items() if at != name}, now, reason=NO_ENVELOPE)
        for value in [None, 5, ["text"]]:
            cases.add(f"{name} {value}", key, body | {name: value}, now, reason=NO_ENVELOPE)
        cases.add(f"empty {name}", key, body | {name: ""}, now)
    flipped = bytearray(base64.b64decode(body["signature"]))
    flipped[-1] ^= 1
    for signature in ["!", "AAAA", "Private Key Not Set", base64.b64encode(flipped).decode()]:
        cases.add(f"signature {signature}", key, body | {"signature": signature}, now, reason=OTHER_KEY)
    for other in [*unsigned, body | {"signature": NOT_SIGNED}]:
        cases.add("not signed", key, other, f"now={other['response']['timestamp']}", reason="it is not signed")
    whole = json.dumps(body).encode()
    for broken in [b"", b"null", b"5", b'"text"', b"[]", b"{}", whole[:200], b"<html></html>",
                   whole.decode().encode("utf-16"), b"\xff" + whole, b"[" * 100_000, b'{"original":5}',
                   b'{"original":null}']:
        cases.add(f"no envelope {broken[:20]}", key, broken, now, reason=NO_ENVELOPE)
    cases.add("300 s old", key, body, f"now={timestamp + 300}", holds=holds)
    cases.add("300 s ahead", key, body, f"now={timestamp - 300}", holds=holds)
    cases.add("by this machine's clock", key, body)
    cases.add("max_age", key, body, f"now={timestamp + 61}", "max_age=60", reason=too_far(content, timestamp + 61))
    cases.add("large max_age", key, body, f"now={timestamp + 432_000}", "max_age=432000", holds=holds)
    late = timestamp - 301
    cases.add("future with max_age", key, body, f"now={late}", "max_age=432000", reason=too_far(content, late))

    response = cases.file("usage.json", whole)
    curve = cases.file("curve.pem", pem(ec.generate_private_key(ec.SECP256R1())))
    for name, *arguments in [
        ("no arguments",), ("no response", key), ("no such key", "nowhere.pem", response),
        ("no such file", key, "nowhere.json"),
        ("response for a key", response, response), ("no RSA key", curve, response, now),
        ("unknown name", key, response, "product=1"), ("no value", key, response, "code"),
        ("now is no number", key, response, "now=soon"),
        ("max_age is no number", key, response, "max_age=long"),
    ]:
        cases.usage(name, *arguments)


class Signer:
    """Signs as keypool does, with a key of its own."""

    def __init__(self, cases):
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.pem = cases.file("own.pem", pem(self.private))

    def envelope(self, content, scheme=padding.PKCS1v15(), digest=hashes.SHA256(), over_text=True):
        payload = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
        text = base64.b64encode(payload)
        signature = self.private.sign(text if over_text else payload, scheme, digest)
        return {"response": content, "response_base64": text.decode(), "private_key_used": "product",
                "signature": base64.b64encode(signature).decode()}


def pem(private):
    return private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def row(number, product=3, name="Zoë Ångström", email="zoe@shop.example"):
    return {"product_id": product, "license_key": f"KEY-{number}", "activation_limit": 1, "validity": 365,
            "status": "assigned", "owner_name": name, "owner_email": email,
            "assigned_at": "2024-11-23T19:02:08.829115Z", "contract_id": None,
            "updated_at": "2024-11-23T19:02:08.000000Z", "created_at": "2024-11-23T19:02:08.000000Z",
            "id": 212 + number, "meta_data": []}


def sale(rows, **members):
    return {"code": 803, "message": "License keys assigned", "license_keys": rows, **members, "timestamp": NOW}


def of_sales(cases):
    """Sales, which no sample has signed: the answer must be the one to this request."""
    signer, now = Signer(cases), f"now={NOW}"
    request = ["code=803", "product_id=3", "quantity=2", "owner_name=Zoë Ångström", "owner_email=zoe@shop.example"]
    two = sale([row(1), row(2)])
    cases.add("sale", signer.pem, signer.envelope(two), now, *request, holds=line(two))
    for pair in ["code=802", "product_id=33", "quantity=3", "owner_name=Zoe", "owner_email=", "identifier=31"]:
        reason = f"{pair.split('=')[0]} is not {pair.split('=')[1]}"
        cases.add(f"sale, {pair}", signer.pem, signer.envelope(two), now, pair, reason=reason)
    mixed = signer.envelope(sale([row(1), row(2, product=4)]))
    for product in [3, 4]:
        cases.add("two products", signer.pem, mixed, now, f"product_id={product}", reason=f"product_id is not {product}")
    nobody = sale([row(1, name=None, email=None)])
    cases.add("no owner", signer.pem, signer.envelope(nobody), now, "owner_name=", "owner_email=", holds=line(nobody))
    for text in ["None", "null", "<nil>"]:
        reason = f"owner_name is not {text}"
        cases.add("no owner", signer.pem, signer.envelope(nobody), now, f"owner_name={text}", reason=reason)
    refusal = {"code": 802, "message": "Insufficient license keys", "available_quantity": 0, "timestamp": NOW}
    cases.add("refusal", signer.pem, signer.envelope(refusal), now, holds=line(refusal))
    for pair in ["product_id=3", "owner_name=", "quantity=2"]:
        reason = f"{pair.split('=')[0]} is not {pair.split('=')[1]}"
        cases.add(f"refusal, {pair}", signer.pem, signer.envelope(refusal), now, pair, reason=reason)
    generated = {"code": 815, "message": "Generated license keys", "licenseKeys": ["A", "B"], "timestamp": NOW}
    cases.add("generated", signer.pem, signer.envelope(generated), now, "quantity=2", holds=line(generated))
    cases.add("generated", signer.pem, signer.envelope(generated), now, "product_id=3", reason="product_id is not 3")

    order = sale([row(1), row(2)], identifier="31")
    callback = {"headers": {}, "original": signer.envelope(order), "exception": None}
    cases.add("callback", signer.pem, callback, now, *request, "identifier=31", holds=line(order))
    cases.add("callback of another order", signer.pem, callback, now, "identifier=32", reason="identifier is not 32")
    forged = callback | {"original": callback["original"] | {"signature": signer.envelope(two)["signature"]}}
    cases.add("callback, forged", signer.pem, forged, now, reason=OTHER_KEY)
    beside = signer.envelope(two) | {"original": forged["original"]}
    cases.add("callback, forged inside", signer.pem, beside, now, reason=OTHER_KEY)

    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    cases.add("PSS", signer.pem, signer.envelope(two, scheme=pss), now, reason=OTHER_KEY)
    cases.add("SHA-512", signer.pem, signer.envelope(two, digest=hashes.SHA512()), now, reason=OTHER_KEY)
    cases.add("over the JSON", signer.pem, signer.envelope(two, over_text=False), now, reason=OTHER_KEY)
    for content in [{}, [], 5, "text", None, {"code": 803, "message": "no timestamp"}]:
        cases.add(f"signed, but no response: {content}", signer.pem, signer.envelope(content), now)
    return signer.pem


def run(language, case):
    """The fault of an example in a case, if there is one."""
    name, arguments, holds, reason, status = case
    done = subprocess.run([*EXAMPLES[language], *arguments], capture_output=True, timeout=60, check=False)
    stdout, stderr = done.stdout.decode(), done.stderr.decode()
    said = f"{language}: {name}: status {done.returncode}, stdout {stdout!r}, stderr {stderr[-400:]!r}"
    if done.returncode != status or (stdout != holds if holds else "holds:" in stdout):
        return f"{said}; expected status {status}, {holds!r}"
    if stderr if holds else not stderr:
        return f"{said}; expected {'no' if holds else 'a'} reason"
    if reason and (stdout, stderr) != ("", f"does not hold: {reason}\n"):
        return f"{said}; expected the reason {reason!r}"
    return None


def main():
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        cases = Cases(Path(folder))
        key = VECTORS / "sample-public-key.pem"
        signed, unsigned = samples()
        other_key = of_sales(cases)
        for body in signed:
            of_sample(cases, key, other_key, body)
        of_one_sample(cases, key, signed[0], unsigned)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            runs = [pool.submit(run, language, case) for case in cases.cases for language in EXAMPLES]
            faults = [fault for fault in (one.result() for one in runs) if fault]
    print("\n".join(faults))
    passed, seconds = len(runs) - len(faults), time.monotonic() - began
    print(f"{', '.join(EXAMPLES)}: {len(cases.cases)} cases, {passed} passed, {len(faults)} failed, {seconds:.1f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
