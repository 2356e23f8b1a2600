use keypool_domain::requests::{
    AssignLicenseKey, CreateLicenseKeys, Generate, GetAvailableLicenseKeysCount, GetLicenseKeys,
    RandomAssignLicenseKeys, RandomAssignLicenseKeysQueued, ReplaceLicenseKey, UpdateLicenseKey,
};
use keypool_domain::{
    Endpoint, LicenseKey, LicenseKeys, Owner, OwnerField, Parameters, Quantity, ValidationErrors, Value,
};

use crate::encoding::Pair;

/// Every parameter of the API.
pub(crate) const NAMES: [&str; 20] = [
    "api_key",
    "license_keys",
    "license_key",
    "product_id",
    "generator_id",
    "quantity",
    "generate",
    "activation_limit",
    "validity",
    "status",
    "owner_name",
    "owner_email",
    "webhook_url",
    "identifier",
    "email",
    "assigned_at",
    "take_from_owner",
    "reason",
    "page",
    "items_per_page",
];

/// Reads the request of an endpoint from these parameters, and writes it as parameters again.
pub(crate) fn asked(endpoint: Endpoint, parameters: &Parameters) -> Result<Vec<Pair>, ValidationErrors> {
    let mut pairs: Vec<(&str, Option<String>)> = Vec::new();
    match endpoint {
        Endpoint::CreateLicenseKeys => {
            let asked = CreateLicenseKeys::try_from(parameters)?;
            pairs.extend([
                ("license_keys", Some(list(&asked.license_keys))),
                ("product_id", Some(asked.product_id.to_string())),
                ("activation_limit", Some(asked.activation_limit.to_string())),
                ("validity", Some(asked.validity.to_string())),
                ("status", Some(asked.status.to_string())),
                ("assigned_at", asked.assigned_at.map(|at| civil(&at.to_whole_seconds_text()))),
            ]);
            pairs.extend(owner(&asked.owner));
        }
        Endpoint::Generate => {
            let asked = Generate::try_from(parameters)?;
            assert!((Quantity::MIN..=Quantity::MAX).contains(&asked.quantity));
            pairs.push(("generator_id", Some(asked.generator_id.to_string())));
            pairs.push(("quantity", Some(asked.quantity.to_string())));
        }
        Endpoint::AssignLicenseKey => {
            let asked = AssignLicenseKey::try_from(parameters)?;
            check(&asked.license_key);
            pairs.push(("license_key", Some(asked.license_key.as_str().to_owned())));
            pairs.push(("identifier", asked.identifier.map(|identifier| identifier.as_str().to_owned())));
            pairs.extend(owner(&asked.owner));
        }
        Endpoint::RandomAssignLicenseKeys => {
            pairs.extend(order(&RandomAssignLicenseKeys::try_from(parameters)?));
        }
        Endpoint::RandomAssignLicenseKeysQueued => {
            let asked = RandomAssignLicenseKeysQueued::try_from(parameters)?;
            pairs.push(("webhook_url", Some(asked.webhook_url.as_str().to_owned())));
            pairs.extend(order(&asked.order));
        }
        Endpoint::UpdateLicenseKey => {
            let asked = UpdateLicenseKey::try_from(parameters)?;
            check(&asked.license_key);
            pairs.extend([
                ("license_key", Some(asked.license_key.as_str().to_owned())),
                ("product_id", asked.product_id.map(|id| id.to_string())),
                ("activation_limit", asked.activation_limit.map(|limit| limit.to_string())),
                ("validity", asked.validity.map(|days| days.to_string())),
                ("status", asked.status.map(|status| status.to_string())),
                ("assigned_at", asked.assigned_at.map(|at| civil(&at.to_whole_seconds_text()))),
                ("take_from_owner", Some(u8::from(asked.take_from_owner).to_string())),
            ]);
            pairs.extend(owner(&asked.owner));
        }
        Endpoint::ReplaceLicenseKey => {
            let asked = ReplaceLicenseKey::try_from(parameters)?;
            check(&asked.license_key);
            assert!((1..=255).contains(&asked.reason.as_str().chars().count()));
            pairs.extend([
                ("license_key", Some(asked.license_key.as_str().to_owned())),
                ("reason", Some(asked.reason.as_str().to_owned())),
                ("generate", Some(u8::from(asked.generate).to_string())),
            ]);
        }
        Endpoint::GetAvailableLicenseKeysCount => {
            let asked = GetAvailableLicenseKeysCount::try_from(parameters)?;
            pairs.push(("product_id", Some(asked.product_id.to_string())));
        }
        Endpoint::GetLicenseKeys => {
            let asked = GetLicenseKeys::try_from(parameters)?;
            assert!((1..=100).contains(&asked.items_per_page.get()));
            pairs.extend([
                ("identifier", Some(asked.identifier.as_str().to_owned())),
                ("page", Some(asked.page.to_string())),
                ("items_per_page", Some(asked.items_per_page.to_string())),
            ]);
        }
    }
    let given = pairs.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Value::Text(text?))));
    Ok(given.collect())
}

/// Returns the parameters of an order of keys.
fn order(asked: &RandomAssignLicenseKeys) -> Vec<(&'static str, Option<String>)> {
    assert!((Quantity::MIN..=Quantity::MAX).contains(&asked.quantity));
    let mut pairs = vec![
        ("product_id", Some(asked.product_id.to_string())),
        ("quantity", Some(asked.quantity.to_string())),
        ("generate", Some(u8::from(asked.generate).to_string())),
        ("identifier", asked.identifier.as_ref().map(|identifier| identifier.as_str().to_owned())),
    ];
    pairs.extend(owner(&asked.owner));
    pairs
}

/// Returns a list of as many keys as were sent: the same ones, each at least once.
fn list(keys: &LicenseKeys) -> String {
    keys.distinct().iter().for_each(check);
    assert!((1..=LicenseKeys::COUNT_MAX).contains(&keys.sent()) && keys.distinct().len() <= keys.sent());
    let repeated = keys.sent() - keys.distinct().len();
    let keys = keys.distinct().iter().chain(std::iter::repeat_n(&keys.distinct()[0], repeated));
    serde_json::to_string(&keys.collect::<Vec<_>>()).unwrap()
}

fn check(key: &LicenseKey) {
    let key = key.as_str();
    assert!((1..=LicenseKey::CHARACTERS_MAX).contains(&key.chars().count()), "a key has an invalid length");
    assert!(key.trim() == key && !key.chars().any(char::is_control), "a key has forbidden characters");
}

fn owner(owner: &Owner) -> [(&'static str, Option<String>); 2] {
    let text = |field: &Option<OwnerField>| {
        let text = field.as_ref().map(|field| field.as_str().to_owned())?;
        assert!((1..=OwnerField::CHARACTERS_MAX).contains(&text.chars().count()));
        Some(text)
    };
    [("owner_name", text(&owner.name)), ("owner_email", text(&owner.email))]
}

/// Writes `2024-01-08T00:00:00.000000Z` in the form of a parameter.
fn civil(text: &str) -> String {
    text[..19].replace('T', " ")
}
