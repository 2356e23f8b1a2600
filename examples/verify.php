<?php
// Checks a response or a callback of keypool, as a shop does before it believes one. Needs the extension openssl.
//
//     php verify.php PUBLIC_KEY.pem RESPONSE.json [NAME=VALUE ...]    what was requested; now and max_age in seconds
//
// The shop has PUBLIC_KEY.pem from its operator: the product's own key, or else the global one. A shop also requests
// over TLS, keeps each row's id unique in its database, and escapes what it shows.
declare(strict_types=1);

const ROW = ['product_id', 'owner_name', 'owner_email'];

function check(bool $holds, string $reason, int $status = 1): void
{
    if (!$holds) {
        fwrite(STDERR, ($status === 1 ? 'does not hold: ' : 'usage: ') . "$reason\n");
        exit($status);
    }
}

check($argc >= 3 && is_file($argv[1]) && is_file($argv[2]), 'PUBLIC_KEY.pem RESPONSE.json [NAME=VALUE ...]', 2);
$publicKey = openssl_pkey_get_public((string) file_get_contents($argv[1]));
$isRsa = $publicKey !== false && openssl_pkey_get_details($publicKey)['type'] === OPENSSL_KEYTYPE_RSA;
check($isRsa, "$argv[1] is not an RSA public key", 2);
$request = ['now' => (string) time(), 'max_age' => '300'];
foreach (array_slice($argv, 3) as $pair) {
    $pattern = '/^(?:(?:now|max_age)=\d+|(?:code|identifier|quantity|' . implode('|', ROW) . ')=.*)$/sD';
    check(preg_match($pattern, $pair) === 1, "$pair is not like $pattern", 2);
    [$name, $value] = explode('=', $pair, 2);
    $request[$name] = $value;
}
['now' => $now, 'max_age' => $maxAge] = $request;
unset($request['now'], $request['max_age']);

$envelope = json_decode((string) file_get_contents($argv[2]), true);
$envelope = $envelope['original'] ?? $envelope; // A callback wraps the envelope.
[$text, $signature] = [$envelope['response_base64'] ?? null, $envelope['signature'] ?? null];
check(is_string($text) && is_string($signature), 'it is not an envelope of keypool');
check($signature !== 'Private key not set', 'it is not signed'); // Anybody can write such a response.
// The signature covers the text, not the JSON in it. private_key_used is not signed, so it must not choose the key.
// Nothing but 1 is good: openssl_verify reports an error by -1, and PHP takes -1 for true.
$verified = openssl_verify($text, base64_decode($signature), $publicKey, OPENSSL_ALGO_SHA256);
check($verified === 1, 'another key signed it, or it was changed');
$signed = json_decode(base64_decode($text), true); // The member response is not signed: never read it.
// An old response verifies as well as a new one. Clocks may differ by five minutes. A callback may be days old.
$timestamp = $signed['timestamp'] ?? null;
$age = (int) $now - (int) $timestamp;
check(is_int($timestamp) && $age >= -300 && $age <= (int) $maxAge, "timestamp $timestamp is too far from $now");
$rows = $signed['license_keys'] ?? [];
$signed['quantity'] = count($signed['licenseKeys'] ?? $rows);
foreach ($request as $name => $value) { // The response to another request verifies as well.
    $found = in_array($name, ROW, true) ? array_map(fn ($row) => $row[$name], $rows) : [$signed[$name] ?? ''];
    check($found !== [] && array_diff($found, [$value]) === [], "$name is not $value");
}
echo "holds: $signed[code] $signed[message], $signed[quantity] license keys, timestamp $timestamp\n";
