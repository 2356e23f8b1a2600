//! Checks every code of the contract and its effect on the table.

use keypool_domain::{Activity, ChunkSystem, Generator, Method, Product, Status};
use keypool_tests::Shop;
use serde_json::json;

const CREATE: [(&str, &str); 5] = [
    ("license_keys", r#"["AAAA-0001","AAAA-0002"]"#),
    ("product_id", "1"),
    ("activation_limit", "3"),
    ("validity", "30"),
    ("status", "available"),
];

fn with<'a>(parameters: &[(&'a str, &'a str)], name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut changed: Vec<_> = parameters.iter().copied().filter(|(given, _)| *given != name).collect();
    changed.push((name, value));
    changed
}

#[tokio::test(flavor = "multi_thread")]
async fn code_900_counts_created_and_duplicate_keys() {
    let shop = Shop::open().await;
    let response = shop.post("create-license-keys", &CREATE).await.response();
    assert_eq!((&response["created"], &response["duplicate"]), (&json!(2), &json!(0)));
    let keys = r#"["AAAA-0002","AAAA-0003"," AAAA-0003 ","AAAA-0004"]"#;
    let response = shop.post("create-license-keys", &with(&CREATE, "license_keys", keys)).await.response();
    assert_eq!((&response["created"], &response["duplicate"]), (&json!(2), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn code_902_leaves_duplicate_keys_unchanged() {
    let shop = Shop::open().await;
    shop.post("create-license-keys", &CREATE).await;
    // The product and the status differ, but keys are unique across all products.
    let again = with(&with(&CREATE, "product_id", "2"), "status", "blocked");
    let response = shop.post("create-license-keys", &again).await;
    assert_eq!(response.code(), 902);
    assert_eq!(response.response()["message"], "No license keys created");
    assert_eq!((&response.response()["created"], &response.response()["duplicate"]), (&json!(0), &json!(2)));
    assert_eq!(response.envelope_text("private_key_used"), "product");
    assert_eq!(shop.status("AAAA-0001").await, Status::Available);
    assert_eq!((shop.in_stock(1).await, shop.in_stock(2).await), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_available_keys_are_for_sale() {
    let shop = Shop::open().await;
    for (key, status) in [("S-ASSIGNED", "assigned"), ("S-RESERVED", "reserved"), ("S-BLOCKED", "blocked")] {
        let keys = serde_json::to_string(&[key]).unwrap();
        let parameters = with(&with(&CREATE, "license_keys", &keys), "status", status);
        assert_eq!(shop.post("create-license-keys", &parameters).await.code(), 900);
        assert_eq!(shop.post("assign-license-key", &[("license_key", key)]).await.code(), 801);
    }
    assert_eq!(shop.in_stock(1).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_created_as_assigned_gets_the_given_or_current_time() {
    let shop = Shop::open().await;
    let assigned = with(&with(&CREATE, "status", "assigned"), "license_keys", r#"["T-PRESENT"]"#);
    shop.post("create-license-keys", &assigned).await;
    let given =
        with(&with(&assigned, "license_keys", r#"["T-GIVEN"]"#), "assigned_at", "2024-01-08 00:00:00");
    shop.post("create-license-keys", &given).await;
    let assigned_at = async |key: &str| {
        let key = shop.stored(key).await;
        key.assigned_at.unwrap().to_whole_seconds_text()
    };
    assert_eq!(assigned_at("T-GIVEN").await, "2024-01-08T00:00:00.000000Z");
    let now = keypool_domain::Clock::now(&*shop.clock);
    assert_eq!(assigned_at("T-PRESENT").await, now.to_whole_seconds_text());
}

#[tokio::test(flavor = "multi_thread")]
async fn code_800_assigns_a_key_to_its_owner_once() {
    let shop = Shop::open().await;
    shop.post("create-license-keys", &CREATE).await;
    let request = [("license_key", " AAAA-0001 "), ("owner_name", "Jörg 🔑"), ("email", "Not set")];
    assert_eq!(shop.post("assign-license-key", &request).await.code(), 800);
    let key = shop.stored("AAAA-0001").await;
    assert_eq!(key.status, Status::Assigned);
    assert_eq!(key.owner.name.as_ref().unwrap().as_str(), "Jörg 🔑");
    assert_eq!(key.owner.email.as_ref().unwrap().as_str(), "Not set");
    assert_eq!(key.draw, None, "the key left the stock");
    assert_eq!(shop.post("assign-license-key", &request).await.code(), 801);
    assert_eq!(shop.in_stock(1).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owners_email_has_two_names() {
    let shop = Shop::open().await;
    shop.post("create-license-keys", &CREATE).await;
    let email_of = async |key: &str| {
        let key = shop.stored(key).await;
        key.owner.email.map(|email| email.as_str().to_owned())
    };
    shop.post("assign-license-key", &[("license_key", "AAAA-0001"), ("owner_email", "b@example.com")]).await;
    assert_eq!(email_of("AAAA-0001").await.as_deref(), Some("b@example.com"));
    let both = [("license_key", "AAAA-0002"), ("owner_email", "b@example.com"), ("email", "a@example.com")];
    shop.post("assign-license-key", &both).await;
    assert_eq!(email_of("AAAA-0002").await.as_deref(), Some("a@example.com"));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_spellings_name_the_product_and_the_owner() {
    let shop = Shop::open().await;
    shop.post("create-license-keys", &CREATE).await;
    let owner = [("customer_name", "Buyer One"), ("customer_email", "b@example.com")];
    let request = [&[("product_uuid", "1"), ("quantity", "1")][..], &owner].concat();
    let response = shop.post("random-assign-license-keys", &request).await.response();
    let row = &response["license_keys"][0];
    assert_eq!((&row["owner_name"], &row["owner_email"]), (&"Buyer One".into(), &"b@example.com".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_buyer_replaces_the_owner_given_at_creation() {
    let shop = Shop::open().await;
    // Shop plugins send an owner even with keys that go into stock.
    let owned = [&CREATE[..], &[("owner_name", "Nobody"), ("owner_email", "n@example.com")]].concat();
    shop.post("create-license-keys", &owned).await;
    let request = [("product_id", "1"), ("quantity", "2"), ("owner_name", "Buyer One"), ("owner_email", "")];
    let response = shop.post("random-assign-license-keys", &request).await.response();
    for row in response["license_keys"].as_array().unwrap() {
        assert_eq!((&row["owner_name"], &row["owner_email"]), (&json!("Buyer One"), &json!(null)));
        assert_eq!((&row["activation_limit"], &row["validity"]), (&json!(3), &json!(30)));
        assert_eq!(shop.stored(row["license_key"].as_str().unwrap()).await.owner.email, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_802_reports_the_available_quantity_and_sells_none() {
    let shop = Shop::open().await;
    shop.stock(1, 3).await;
    let response = shop.post("random-assign-license-keys", &[("product_id", "1"), ("quantity", "4")]).await;
    assert_eq!((response.code(), &response.response()["available_quantity"]), (802, &json!(3)));
    assert_eq!(shop.in_stock(1).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn generate_uses_a_sufficient_stock() {
    let shop = Shop::open().await;
    let stock = shop.stock(1, 4).await;
    let request = [("product_id", "1"), ("quantity", "3"), ("generate", "1")];
    let response = shop.post("random-assign-license-keys", &request).await;
    assert!(response.license_keys().iter().all(|key| stock.contains(key)));
    assert_eq!(shop.in_stock(1).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn generate_makes_all_keys_when_stock_is_short() {
    let shop = Shop::open().await;
    let stock = shop.stock(2, 2).await;
    for quantity in ["1", "99"] {
        let request =
            [("product_id", "2"), ("quantity", quantity), ("generate", "1"), ("owner_name", "Buyer One")];
        let response = shop.post("random-assign-license-keys", &request).await;
        let keys = response.license_keys();
        if quantity == "1" {
            assert!(stock.contains(&keys[0]), "the key came from stock");
            continue;
        }
        assert_eq!(keys.len(), 99);
        for key in &keys {
            assert!(key.split('-').all(|chunk| chunk.len() == 4), "made by the product's generator");
            assert_eq!(shop.status(key).await, Status::Assigned);
        }
        assert_eq!(response.envelope_text("private_key_used"), "product");
    }
    assert_eq!(shop.in_stock(2).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_fresh_key_is_stored_by_one_write() {
    let shop = Shop::open().await;
    let request = [("product_id", "1"), ("quantity", "1"), ("generate", "1")];
    let response = shop.post("random-assign-license-keys", &request).await;
    assert_eq!(response.code(), 803);
    assert_eq!(shop.status(&response.license_keys()[0]).await, Status::Assigned);
    let operations = shop.dynamodb.take_operations();
    assert_eq!(operations.last().unwrap(), "PutItem", "{operations:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_unique_and_rise() {
    let shop = Shop::open().await;
    let mut last = 0;
    for _ in 0..3 {
        let request = [("product_id", "1"), ("quantity", "5"), ("generate", "1")];
        let response = shop.post("random-assign-license-keys", &request).await.response();
        let ids = response["license_keys"].as_array().unwrap().iter().map(|row| row["id"].as_u64().unwrap());
        for id in ids {
            assert!(id > last, "{id} after {last}");
            last = id;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_815_lists_keys_that_are_in_stock() {
    let shop = Shop::open().await;
    let response = shop.post("generate", &[("generator_id", "2"), ("quantity", "25")]).await;
    assert_eq!(response.code(), 815);
    let keys = response.license_keys();
    assert_eq!(keys.len(), 25);
    for key in &keys {
        assert_eq!(shop.status(key).await, Status::Available);
    }
    assert_eq!(shop.in_stock(2).await, 25);
    let bought = shop.post("random-assign-license-keys", &[("product_id", "2"), ("quantity", "25")]).await;
    let row = bought.response()["license_keys"][0].clone();
    assert_eq!(
        (&row["activation_limit"], &row["validity"]),
        (&json!(1), &json!(365)),
        "values of the generator"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_keys_are_created_and_generated_in_one_request() {
    let shop = Shop::open().await;
    assert_eq!(shop.stock(1, 1_000).await.len(), 1_000);
    let response = shop.post("generate", &[("generator_id", "1"), ("quantity", "1000")]).await;
    assert_eq!((response.code(), response.license_keys().len()), (815, 1_000));
}

fn product(id: &str, activity: Activity) -> Product {
    Product {
        id: id.parse().unwrap(),
        name: "A test's".parse().unwrap(),
        activity,
        generator_id: None,
        signing_key_id: None,
    }
}

fn generator(id: &str, product_id: &str, activity: Activity) -> Generator {
    let chunks =
        ChunkSystem { charset: "0123456789ABCDEF".parse().unwrap(), number_of_chunks: 3, chunk_length: 4 };
    Generator {
        id: id.parse().unwrap(),
        product_id: product_id.parse().unwrap(),
        activity,
        method: Method::ChunkSystem(chunks),
        prefix: "PRE-".to_owned(),
        suffix: "-SUF".to_owned(),
        activation_limit: "0".parse().unwrap(),
        validity: "0".parse().unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_805_for_products_that_are_unknown_or_inactive() {
    let shop = Shop::open().await;
    shop.add_product(product("8", Activity::Inactive)).await;
    shop.add_generator(generator("8", "8", Activity::Active)).await;
    for id in ["8", "77"] {
        let created = shop.post("create-license-keys", &with(&CREATE, "product_id", id)).await;
        let assigned =
            shop.post("random-assign-license-keys", &[("product_id", id), ("quantity", "1")]).await;
        for response in [created, assigned] {
            assert_eq!((response.code(), response.status), (805, 200));
            assert_eq!(response.response()["message"], "Product not found");
        }
    }
    let generated = shop.post("generate", &[("generator_id", "8"), ("quantity", "1")]).await;
    assert_eq!(generated.code(), 805, "the generator is active, its product is not");
}

/// The response equals that for an unknown key byte for byte, so it does not reveal that the key exists.
#[tokio::test(flavor = "multi_thread")]
async fn code_801_for_keys_of_an_inactive_product() {
    let shop = Shop::open().await;
    let active = product("8", Activity::Active);
    shop.add_product(active.clone()).await;
    let keys = shop.stock(8, 2).await;
    assert_eq!(shop.post("assign-license-key", &[("license_key", &keys[0])]).await.code(), 800);
    let inactive = Product { activity: Activity::Inactive, ..active.clone() };
    let entry = crate::operator::entry(&shop);
    shop.operators_store().update(&active, &inactive, &entry).await.unwrap();
    shop.clock.advance_seconds(60);
    let refused = shop.post("assign-license-key", &[("license_key", &keys[1])]).await;
    let unknown = shop.post("assign-license-key", &[("license_key", "unknown-key")]).await;
    assert_eq!((refused.code(), &refused.text), (801, &unknown.text));
    assert_eq!(shop.status(&keys[1]).await, Status::Available);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_806_for_generators_that_are_unknown_or_inactive() {
    let shop = Shop::open().await;
    shop.add_product(product("9", Activity::Active)).await;
    shop.add_generator(generator("9", "9", Activity::Inactive)).await;
    for id in ["9", "77"] {
        let response = shop.post("generate", &[("generator_id", id), ("quantity", "1")]).await;
        assert_eq!((response.code(), response.status), (806, 200));
        assert_eq!(response.response()["message"], "Generator not found");
    }
    for product_id in ["3", "9"] {
        let request = [("product_id", product_id), ("quantity", "1"), ("generate", "1")];
        assert_eq!(shop.post("random-assign-license-keys", &request).await.code(), 806);
        assert_eq!(shop.post("random-assign-license-keys", &request[..2]).await.code(), 802);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prefix_and_suffix_are_part_of_a_key() {
    let shop = Shop::open().await;
    shop.add_product(product("9", Activity::Active)).await;
    shop.add_generator(generator("9", "9", Activity::Active)).await;
    let response = shop.post("generate", &[("generator_id", "9"), ("quantity", "3")]).await;
    for key in response.license_keys() {
        assert!(key.starts_with("PRE-") && key.ends_with("-SUF") && key.len() == 22, "{key}");
    }
}
