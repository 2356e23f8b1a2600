//! Checks the properties with input of proptest: almost correct fields in the contract's formats, and
//! arbitrary bytes.

use keypool_properties::{envelope, envelope_seeds, request, request_seeds};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

#[test]
fn properties_hold_for_the_samples() {
    for seed in request_seeds() {
        request::holds(&seed);
    }
    for seed in envelope_seeds() {
        envelope::holds(&seed);
    }
}

fn name() -> impl Strategy<Value = String> {
    let names = [
        "api_key",
        "license_keys",
        "license_key",
        "product_id",
        "quantity",
        "generate",
        "status",
        "validity",
    ];
    let others =
        ["generator_id", "activation_limit", "owner_name", "owner_email", "email", "assigned_at", "x"];
    select([&names[..], &others[..]].concat()).prop_map(str::to_owned)
}

/// Generates values that look like those of a form, a part or JSON.
fn value() -> impl Strategy<Value = String> {
    let words = [
        "",
        "1",
        "0",
        "-0",
        " 7 ",
        "1000",
        "4294967296",
        "7.0",
        "1e3",
        "available",
        "Not set",
        "null",
        "true",
    ];
    let lists =
        [r#"["A","B"]"#, "[]", r#"["A",1]"#, r#"[" A ","A"]"#, "2024-02-29 23:59:59", r#"{"a":1}"#, "\"A\""];
    prop_oneof![
        select([&words[..], &lists[..]].concat()).prop_map(str::to_owned),
        ".{0,12}",
        "[A-F0-9-]{1,300}",
        any::<String>(),
    ]
}

fn body() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let pairs = || vec((name(), value()), 0..8);
    let form = pairs().prop_map(|pairs| {
        let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        ("application/x-www-form-urlencoded", pairs.join("&").into_bytes())
    });
    let multipart = pairs().prop_map(|pairs| {
        let part = |(name, value)| {
            format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let parts: String = pairs.into_iter().map(part).collect();
        ("multipart/form-data; boundary=XX", format!("{parts}--XX--\r\n").into_bytes())
    });
    let json = vec((name(), value(), any::<bool>()), 0..8).prop_map(|members| {
        let member = |(name, value, quoted): (String, String, bool)| {
            let value = if quoted { serde_json::Value::from(value).to_string() } else { value };
            format!("\"{name}\": {value}")
        };
        let members: Vec<String> = members.into_iter().map(member).collect();
        ("application/json; charset=utf-8", format!("{{{}}}", members.join(",")).into_bytes())
    });
    let types =
        ["application/json", "multipart/form-data; boundary=\"XX\"", "multipart/form-data", "text/plain", ""];
    let bytes = (select(types.to_vec()), vec(any::<u8>(), 0..200));
    prop_oneof![form, multipart, json, bytes]
}

prop_compose! {
    fn sent()(
        method in prop_oneof![9 => Just("POST"), 1 => Just("GET")],
        endpoint in select(vec!["create-license-keys", "generate", "assign-license-key", "random-assign-license-keys"]),
        authorization in "(Bearer |Basic )?[ -~]{0,40}",
        idempotency_key in "\\PC{0,260}",
        (content_type, body) in body(),
    ) -> Vec<u8> {
        let head = format!(
            "{method} {endpoint}\ncontent-type: {content_type}\nauthorization: {authorization}\nidempotency-key: {idempotency_key}\n\n"
        );
        [head.into_bytes(), body].concat()
    }
}

/// Changes some bytes of a sample.
fn spoilt(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (select(seeds), vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)).prop_map(|(mut seed, changes)| {
        for (at, by) in changes {
            let at = at.index(seed.len());
            seed[at] = by;
        }
        seed
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn properties_hold_for_requests(raw in sent()) {
        request::holds(&raw);
    }

    #[test]
    fn properties_hold_for_damaged_requests(raw in spoilt(request_seeds())) {
        request::holds(&raw);
    }

    #[test]
    fn properties_hold_for_envelopes(how in 0..5_u8, at in any::<u8>(), by in any::<u8>(), keys in "([A-Z0-9-]{1,20}\n|\\PC{0,9}\n){0,5}") {
        envelope::holds(&[&[how, at, by], keys.as_bytes()].concat());
    }

    #[test]
    fn properties_hold_for_damaged_envelopes(raw in spoilt(envelope_seeds())) {
        envelope::holds(&raw);
    }
}
