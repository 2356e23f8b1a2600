"""Checks a response or a callback of keypool, as a shop does before it believes one. Needs the package cryptography.

    verify.py PUBLIC_KEY.pem RESPONSE.json [NAME=VALUE ...]    what was requested; now and max_age in seconds

The shop has PUBLIC_KEY.pem from its operator: the product's own key, or else the global one. A shop also requests
over TLS, keeps each row's id unique in its database, and escapes what it shows.
"""
import base64, json, sys, time
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

REPLY, ROW = {"code", "identifier", "quantity"}, {"product_id", "owner_name", "owner_email"}

def check(holds, reason):
    if not holds:
        sys.exit(f"does not hold: {reason}")

try:
    key_file, response_file, *pairs = sys.argv[1:]
    request = dict(pair.split("=", 1) for pair in pairs)
    now, max_age = int(request.pop("now", time.time())), int(request.pop("max_age", 300))
    with open(key_file, "rb") as key, open(response_file, "rb") as response:
        public_key, body = serialization.load_pem_public_key(key.read()), response.read()
    if not isinstance(public_key, rsa.RSAPublicKey) or not request.keys() <= REPLY | ROW:
        raise ValueError(f"the key is not RSA, or a name is not one of {REPLY | ROW}")
except (ValueError, OSError) as error:
    print(__doc__, error, file=sys.stderr)
    sys.exit(2)
try:
    envelope = json.loads(body.decode())
    envelope = envelope.get("original", envelope)  # A callback wraps the envelope.
    text, signature = envelope["response_base64"].encode(), envelope["signature"].encode()
except Exception:  # The body may be anything.
    check(False, "it is not an envelope of keypool")
check(signature != b"Private key not set", "it is not signed")  # Anybody can write such a response.
try:  # The signature covers the text, not the JSON in it. private_key_used is not signed: it must not choose the key.
    public_key.verify(base64.b64decode(signature), text, padding.PKCS1v15(), hashes.SHA256())
except (InvalidSignature, ValueError):
    check(False, "another key signed it, or it was changed")
signed = json.loads(base64.b64decode(text))  # The member response is not signed: never read it.
# An old response verifies as well as a new one. Clocks may differ by five minutes. A callback may be days old.
check(-300 <= now - signed["timestamp"] <= max_age, f"timestamp {signed['timestamp']} is too far from {now}")
rows = signed.get("license_keys", [])
signed["quantity"] = len(signed.get("licenseKeys", rows))
for name, value in request.items():  # The response to another request verifies as well.
    found = [row[name] for row in rows] if name in ROW else [signed.get(name)]
    check({str("" if one is None else one) for one in found} == {value}, f"{name} is not {value}")
print("holds: {code} {message}, {quantity} license keys, timestamp {timestamp}".format_map(signed))
