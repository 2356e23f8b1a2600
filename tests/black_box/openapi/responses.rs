//! Compares real responses with the description.

use std::collections::{BTreeMap, BTreeSet};

use keypool_domain::{Activity, ApiKey, ApiKeyRecord, Endpoint, Generator, Method, Product};
use keypool_function::{BODY_BYTES_MAX, ProblemDetails, UnreadableBody};
use keypool_tests::{API_KEY, Shop, ShopResponse};

use super::{Description, names};

/// Records the codes of each endpoint, and checks each response against the description.
struct Seen {
    description: Description,
    codes: BTreeMap<(Endpoint, u16), BTreeSet<u64>>,
}

impl Seen {
    fn by(description: Description) -> Self {
        Self { description, codes: BTreeMap::new() }
    }

    fn note(&mut self, endpoint: Endpoint, response: &ShopResponse) {
        let described = self.description.response(endpoint, response.status);
        let content = &described["content"][&response.content_type];
        assert!(content.is_object(), "{endpoint} {} {}", response.status, response.content_type);
        self.description.check(&content["schema"], &response.json(), endpoint.name());
        assert_eq!(described["headers"]["Retry-After"].is_object(), response.retry_after.is_some());
        self.codes.entry((endpoint, response.status)).or_default().insert(response.code());
    }

    async fn post(&mut self, shop: &Shop, endpoint: Endpoint, form: &[(&str, &str)]) {
        let response = shop.post(endpoint.name(), form).await;
        self.note(endpoint, &response);
    }
}

fn api_key(key: &str, change: impl FnOnce(&mut ApiKeyRecord)) -> ApiKeyRecord {
    let mut record = ApiKeyRecord {
        hash: key.parse::<ApiKey>().unwrap().hash(),
        name: "a test's".parse().unwrap(),
        activity: Activity::Active,
        capabilities: BTreeSet::from(Endpoint::ALL),
        networks: vec![],
        valid_until: None,
        settings: keypool_domain::ApiKeySettings::default(),
    };
    change(&mut record);
    record
}

/// An inactive product with an active generator.
async fn add_inactive_product(shop: &Shop) {
    let product = Product {
        id: "8".parse().unwrap(),
        name: "A test's".parse().unwrap(),
        activity: Activity::Inactive,
        generator_id: None,
        signing_key_id: None,
    };
    shop.add_product(product).await;
    let generator = Generator {
        id: "8".parse().unwrap(),
        product_id: "8".parse().unwrap(),
        activity: Activity::Active,
        method: Method::Uuid,
        prefix: String::new(),
        suffix: String::new(),
        activation_limit: "1".parse().unwrap(),
        validity: "1".parse().unwrap(),
    };
    shop.add_generator(generator).await;
}

/// Sends requests with API keys that lack the permission or are beyond their limits.
async fn refuse_in_every_way(shop: &Shop, seen: &mut Seen) {
    shop.add_api_key(api_key("inactive", |key| key.activity = Activity::Inactive)).await;
    shop.add_api_key(api_key("incapable", |key| key.capabilities.clear())).await;
    shop.add_api_key(api_key("elsewhere", |key| key.networks = vec!["192.0.2.0/24".parse().unwrap()])).await;
    shop.add_api_key(api_key("limited", |key| key.settings.keys_per_hour = "1".parse().ok())).await;
    let order = [("api_key", "limited"), ("product_id", "1"), ("quantity", "1"), ("generate", "1")];
    assert_eq!(shop.post_form("random-assign-license-keys", &order).await.code(), 803);
    let named = [
        ("license_key", "A-1"),
        ("generator_id", "1"),
        ("webhook_url", "https://shop.example/?keevault-webhook=a-key"),
        ("reason", "r"),
    ];
    for endpoint in [
        Endpoint::Generate,
        Endpoint::AssignLicenseKey,
        Endpoint::RandomAssignLicenseKeys,
        Endpoint::RandomAssignLicenseKeysQueued,
        Endpoint::ReplaceLicenseKey,
    ] {
        let response = shop.post_form(endpoint.name(), &[&order[..], &named].concat()).await;
        seen.note(endpoint, &response);
        assert_eq!(seen.codes[&(endpoint, 429)], seen.description.codes(endpoint, 429), "{endpoint}");
    }
    for endpoint in Endpoint::ALL {
        for key in ["unknown", "inactive", "incapable", "elsewhere"] {
            let response = shop.post_form(endpoint.name(), &[("api_key", key)]).await;
            seen.note(endpoint, &response);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_code_of_every_endpoint_matches_its_description() {
    let shop = Shop::open().await;
    add_inactive_product(&shop).await;
    let mut seen = Seen::by(Description::read());

    let create = |keys: &'static str, product_id: &'static str, status: &'static str| {
        let limits = [("activation_limit", "0"), ("validity", "4294967295")];
        [&[("license_keys", keys), ("product_id", product_id), ("status", status)][..], &limits[..]].concat()
    };
    let endpoint = Endpoint::CreateLicenseKeys;
    for product_id in ["1", "2"] {
        // Code 900, then 902. The first keys contain unusual characters.
        let keys = if product_id == "1" { r#"["A-1","ключ 🔑","\"\\/"]"# } else { r#"["B-1"]"# };
        seen.post(&shop, endpoint, &create(keys, product_id, "available")).await;
        seen.post(&shop, endpoint, &create(keys, product_id, "blocked")).await;
    }
    seen.post(&shop, endpoint, &create("[]", "0", "sold")).await;
    seen.post(&shop, endpoint, &create(r#"["",1]"#, "", "")).await;
    seen.post(&shop, endpoint, &create(r#"["C-1"]"#, "8", "available")).await;

    let endpoint = Endpoint::Generate;
    for (generator_id, quantity) in [("1", "3"), ("2", "1"), ("", "0"), ("77", "1"), ("8", "1")] {
        seen.post(&shop, endpoint, &[("generator_id", generator_id), ("quantity", quantity)]).await;
    }

    let endpoint = Endpoint::AssignLicenseKey;
    for license_key in ["A-1", "A-1", "B-1", ""] {
        seen.post(&shop, endpoint, &[("license_key", license_key), ("owner_name", "Jörg")]).await;
    }

    let endpoint = Endpoint::RandomAssignLicenseKeys;
    for (product_id, quantity, generate) in [
        ("1", "5", "0"),
        ("1", "5", "0"),
        ("1", "2", "1"),
        ("2", "1", ""),
        ("", "x", "2"),
        ("8", "1", ""),
        ("3", "1", "1"),
    ] {
        let owner = [("owner_name", "Zoë"), ("owner_email", "")];
        let order = [("product_id", product_id), ("quantity", quantity), ("generate", generate)];
        seen.post(&shop, endpoint, &[&order[..], &owner[..]].concat()).await;
    }

    let endpoint = Endpoint::RandomAssignLicenseKeysQueued;
    let url = "https://shop.example/?keevault-webhook=a-key";
    for (product_id, webhook_url) in [
        ("1", url),
        ("2", url),
        ("8", url),
        ("1", "https://shop.example/?keevault-webhook=not-set"),
        ("", ""),
    ] {
        let order = [("product_id", product_id), ("quantity", "1"), ("identifier", "31")];
        seen.post(&shop, endpoint, &[&order[..], &[("webhook_url", webhook_url)]].concat()).await;
    }

    let endpoint = Endpoint::UpdateLicenseKey;
    for (license_key, status) in [("A-1", "blocked"), ("A-1", "sold"), ("none", "")] {
        seen.post(&shop, endpoint, &[("license_key", license_key), ("status", status)]).await;
    }

    let endpoint = Endpoint::ReplaceLicenseKey;
    let name = async |product: &str| {
        let order = [("product_id", product), ("quantity", "1"), ("generate", "1")];
        shop.post("random-assign-license-keys", &order).await.license_keys().remove(0)
    };
    let (first, second) = (name("1").await, name("1").await);
    shop.stock(3, 1).await;
    let third = name("3").await;
    for (license_key, reason, generate) in
        [(&first, "r", "1"), (&first, "r", "1"), (&second, "", ""), (&second, "r", "0"), (&third, "r", "1")]
    {
        let request = [("license_key", license_key.as_str()), ("reason", reason), ("generate", generate)];
        seen.post(&shop, endpoint, &request).await;
    }

    let endpoint = Endpoint::GetAvailableLicenseKeysCount;
    for product_id in ["1", "77", "x"] {
        seen.post(&shop, endpoint, &[("product_id", product_id)]).await;
    }

    let endpoint = Endpoint::GetLicenseKeys;
    let order = [("product_id", "1"), ("quantity", "1"), ("generate", "1"), ("identifier", "31")];
    assert_eq!(shop.post("random-assign-license-keys", &order).await.code(), 803);
    for identifier in ["31", "32", ""] {
        seen.post(&shop, endpoint, &[("identifier", identifier)]).await;
    }

    refuse_in_every_way(&shop, &mut seen).await;
    for endpoint in Endpoint::ALL {
        for status in [200, 401] {
            let described = seen.description.codes(endpoint, status);
            assert_eq!(seen.codes[&(endpoint, status)], described, "{endpoint} {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unsigned_responses_match_their_description() {
    let mut seen = Seen::by(Description::read());
    let shop = Shop::builder().without_global_signing_key().open().await;
    let strict = Shop::builder().with_checkout_timeouts().open().await;
    strict.kms.hang_up();
    for endpoint in Endpoint::ALL {
        seen.post(&shop, endpoint, &[]).await;
        let request = |body: String| {
            shop.request(endpoint.name())
                .header("Content-Type", "application/json")
                .bearer_auth(API_KEY)
                .body(body)
        };
        let unreadable = shop.send(request("{".to_owned())).await;
        let too_large = shop.send(request("x".repeat(BODY_BYTES_MAX + 1))).await;
        let unavailable = strict.post(endpoint.name(), &[]).await;
        let statuses = [&unreadable, &too_large, &unavailable].map(|response| response.status);
        assert_eq!(statuses, [400, 413, 503]);
        for response in [unreadable, too_large, unavailable] {
            seen.note(endpoint, &response);
        }
    }
}

/// Some problems cannot be caused from outside.
#[test]
fn described_problems_match_the_code() {
    let description = Description::read();
    let statuses = ["200", "400", "401", "409", "413", "422", "429", "500", "503"];
    for endpoint in Endpoint::ALL {
        let described = names(&description.operation(endpoint)["responses"]);
        // Endpoints that only read have no Idempotency-Key.
        let is_possible = |status: &&str| !endpoint.only_reads() || !["409", "422"].contains(status);
        let expected = statuses.into_iter().filter(is_possible).map(str::to_owned);
        assert_eq!(described, expected.collect::<BTreeSet<_>>());
        for problem in [
            ProblemDetails::UnreadableBody(UnreadableBody::FormEncoding),
            ProblemDetails::MalformedIdempotencyKey,
            ProblemDetails::InFlight,
            ProblemDetails::KeyHeld,
            ProblemDetails::Mismatch,
            ProblemDetails::TooLarge,
            ProblemDetails::Internal,
            ProblemDetails::NothingSold,
            ProblemDetails::OutcomeUnknown { is_repeatable: true },
            ProblemDetails::OutcomeUnknown { is_repeatable: false },
        ] {
            if !described.contains(&problem.status().to_string()) {
                continue;
            }
            let content = &description.response(endpoint, problem.status())["content"];
            let response = problem.into_response(Some("JKJaXmPLvHcESHA="));
            let instance = serde_json::from_slice(response.body()).unwrap();
            description.check(&content["application/problem+json"]["schema"], &instance, endpoint.name());
        }
    }
}
