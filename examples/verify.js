// Checks a response or a callback of keypool, as a shop does before it believes one.
//
//     node verify.js PUBLIC_KEY.pem RESPONSE.json [NAME=VALUE ...]    what was requested; now and max_age in seconds
//
// The shop has PUBLIC_KEY.pem from its operator: the product's own key, or else the global one. A shop also requests
// over TLS, keeps each row's id unique in its database, and escapes what it shows.
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');

const ROW = ['product_id', 'owner_name', 'owner_email'];
const PAIR = RegExp(`^(?:(?:now|max_age)=\\d+|(?:code|identifier|quantity|${ROW.join('|')})=.*)$`, 's');

function check(holds, reason) {
  if (holds) return;
  console.error(`does not hold: ${reason}`);
  process.exit(1);
}

let publicKey, body, now, maxAge, request, text, signature;
try {
  const [keyFile, responseFile, ...pairs] = process.argv.slice(2);
  [publicKey, body] = [crypto.createPublicKey(fs.readFileSync(keyFile)), fs.readFileSync(responseFile, 'utf8')];
  if (publicKey.asymmetricKeyType !== 'rsa') throw new Error('the key is not RSA');
  if (!pairs.every((pair) => PAIR.test(pair))) throw new Error(`an argument is not ${PAIR}`);
  ({ now = Date.now() / 1000, max_age: maxAge = 300, ...request } =
    Object.fromEntries(pairs.map((pair) => pair.split(/=(.*)/s, 2))));
} catch (error) {
  console.error(`verify.js PUBLIC_KEY.pem RESPONSE.json [NAME=VALUE ...]\n${error.message}`);
  process.exit(2);
}
try {
  const parsed = JSON.parse(body);
  ({ response_base64: text, signature } = parsed.original ?? parsed); // A callback wraps the envelope.
} catch {} // The body may be anything.
check(typeof text === 'string' && typeof signature === 'string', 'it is not an envelope of keypool');
check(signature !== 'Private key not set', 'it is not signed'); // Anybody can write such a response.
// The signature covers the text, not the JSON in it. private_key_used is not signed, so it must not choose the key.
const isGenuine = crypto.verify('sha256', Buffer.from(text), publicKey, Buffer.from(signature, 'base64'));
check(isGenuine, 'another key signed it, or it was changed');
const signed = JSON.parse(Buffer.from(text, 'base64')); // The member response is not signed: never read it.
// An old response verifies as well as a new one. Clocks may differ by five minutes. A callback may be days old.
const age = Number(now) - signed.timestamp;
check(age >= -300 && age <= Number(maxAge), `timestamp ${signed.timestamp} is too far from ${now}`);
const rows = signed.license_keys ?? [];
signed.quantity = (signed.licenseKeys ?? rows).length;
for (const [name, value] of Object.entries(request)) { // The response to another request verifies as well.
  const found = ROW.includes(name) ? rows.map((row) => row[name]) : [signed[name]];
  check(found.length > 0 && found.every((one) => String(one ?? '') === value), `${name} is not ${value}`);
}
const { code, message, quantity, timestamp } = signed;
console.log(`holds: ${code} ${message}, ${quantity} license keys, timestamp ${timestamp}`);
