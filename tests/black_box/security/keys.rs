//! Checks API keys and the contents of a copied table.

use keypool_domain::{Activity, ApiKey, ApiKeyRecord, Randomness};
use keypool_store::UpdateOutcome;
use keypool_tests::{API_KEY, Shop};
use serde_json::{Value, json};

use super::record;
use crate::operator::entry;

/// Randomness that repeats one byte.
struct Constant(u8);

impl Randomness for Constant {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}

#[test]
fn an_api_key_has_122_random_bits() {
    let bits = |byte| {
        let key = ApiKey::random(&Constant(byte)).reveal().replace('-', "");
        u128::from_str_radix(&key, 16).unwrap()
    };
    assert_eq!((bits(0x00) ^ bits(0xff)).count_ones(), 122);
}

/// The secret leaves its type in two places: the command shows a new key to its owner, and sends a key to the
/// API. (The command also reveals an idempotency key, which is guessable but not secret.)
#[test]
fn only_the_command_reveals_an_api_key() {
    let folders = ["functions", "shared", "infra"];
    let mut revealing = Vec::new();
    for folder in folders {
        let mut pending = vec![format!("{}/../{folder}", env!("CARGO_MANIFEST_DIR"))];
        while let Some(path) = pending.pop() {
            for entry in std::fs::read_dir(path).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    pending.push(path.to_str().unwrap().to_owned());
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let source = std::fs::read_to_string(&path).unwrap();
                    let program = source.split("#[cfg(test)]").next().unwrap();
                    let name = path.to_str().unwrap().split("/../").nth(1).unwrap().to_owned();
                    revealing.extend(program.contains(".reveal()").then_some(name));
                }
            }
        }
    }
    revealing.sort();
    let commands = "infra/cli/src/commands";
    assert_eq!(revealing, [format!("{commands}/api_key/mod.rs"), format!("{commands}/call/request.rs")]);
}

/// Does the same as `keypool api-key disable`.
#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_api_key_is_refused_after_sixty_seconds() {
    let shop = Shop::open().await;
    let leaked = "a-leaked-api-key";
    let before = record(leaked);
    shop.add_api_key(before.clone()).await;
    let faulty = async || shop.post_form("generate", &[("api_key", leaked)]).await.code();
    assert_eq!(faulty().await, 816, "the API key is valid");
    let after = ApiKeyRecord { activity: Activity::Inactive, ..before.clone() };
    let entry = entry(&shop);
    let updated = shop.store.update(&before, &after, &entry).await.unwrap();
    assert_eq!(updated, UpdateOutcome::Updated);
    shop.clock.advance_seconds(59);
    assert_eq!(faulty().await, 816, "a warm function uses its cache");
    shop.clock.advance_seconds(1);
    assert_eq!(faulty().await, 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_table_has_keys_and_owners_but_no_secret() {
    let shop = Shop::open().await;
    let stock = shop.stock(1, 1).await;
    let order = [("product_id", "1"), ("quantity", "1"), ("owner_name", "An owner")];
    let sold = shop.post("random-assign-license-keys", &order).await;
    let made = shop.post("generate", &[("generator_id", "2"), ("quantity", "1")]).await;
    assert_eq!((sold.code(), made.code()), (803, 815));

    let table = shop.dynamodb_call("Scan", &json!({"TableName": "keypool"})).await;
    let text = table.to_string();
    for sold in [&stock[0], &made.license_keys()[0], "An owner"] {
        assert!(text.contains(sold), "the table must hold keys and owners");
    }
    for secret in [API_KEY, "PRIVATE KEY", &sold.envelope_text("signature"), &made.envelope_text("signature")]
    {
        assert!(!text.contains(secret));
    }
    let kind = |item: &Value| item["sk"]["S"].as_str().unwrap_or_default().to_owned();
    let api_keys = table["Items"].as_array().unwrap().iter().filter(|item| kind(item) == "APIKEY");
    for item in api_keys {
        let (prefix, hash) = item["pk"]["S"].as_str().unwrap().split_once('#').unwrap();
        assert_eq!((prefix, hash.len()), ("APIKEY", 64));
    }
}
