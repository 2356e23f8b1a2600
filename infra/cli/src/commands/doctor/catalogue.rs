use std::collections::BTreeMap;

use keypool_domain::{
    Activity, ApiKeyRecord, Clock as _, Endpoint, Generator, GeneratorId, Product, SystemClock, Timestamp,
};

use super::report::Report;
use super::signing;
use crate::commands::api_key::name_before;

/// An API key that expires within this time is reported, so that there is time to renew it.
const EXPIRES_SOON_US: i64 = 14 * 24 * 60 * 60 * 1_000_000;

/// Checks the products, their generators and signing keys, and the API keys.
pub(super) async fn check(report: &mut Report<'_>) -> anyhow::Result<()> {
    report.looking_at("checking products");
    let store = &report.target.store;
    let (products, generators) = match tokio::try_join!(store.list::<Product>(), store.list::<Generator>()) {
        Ok(found) => found,
        Err(error) => return report.failed("products", &error.into()),
    };
    if products.is_empty() {
        report.warning(
            "products",
            "there are none, so nothing can be sold",
            "keypool product create --name NAME",
        )?;
    }
    let generators: BTreeMap<GeneratorId, Generator> =
        generators.into_iter().map(|generator| (generator.id, generator)).collect();
    for product in &products {
        check_product(report, product, &generators).await?;
    }
    match store.list::<ApiKeyRecord>().await {
        Ok(api_keys) => {
            check_api_keys(report, &api_keys)?;
            check_limits(report, &api_keys).await
        }
        Err(error) => report.failed("API keys", &error.into()),
    }
}

async fn check_product(
    report: &mut Report<'_>,
    product: &Product,
    generators: &BTreeMap<GeneratorId, Generator>,
) -> anyhow::Result<()> {
    let id = product.id;
    let check = format!("product {id}");
    if let Some(key) = &product.signing_key_id {
        signing::check(report, &check, key, "its signing key").await?;
    }
    if !product.is_active() {
        return report.ok(&check, "disabled: to shops it does not exist");
    }
    let generator = product.generator_id.and_then(|generator_id| generators.get(&generator_id));
    if let (Some(generator_id), None) = (product.generator_id, generator) {
        let said = format!(
            "its generator {generator_id} does not exist: requests get code 806 when the stock is short"
        );
        let way_out = format!("keypool generator create --product {id} --id {generator_id}");
        return report.fault(&check, said, way_out);
    }
    let makes_keys = generator.is_some_and(|generator| generator.activity == Activity::Active);
    if let Some(generator) = generator.filter(|_| !makes_keys) {
        let said = format!("its generator {} is disabled and makes no keys", generator.id);
        report.warning(&check, said, "enable it, or keep enough keys in stock")?;
    }
    match report.target.store.is_in_stock(id).await {
        Ok(true) => report.ok(&check, "has keys in stock"),
        Ok(false) if makes_keys => report.ok(&check, "has no keys in stock, and a generator that makes them"),
        Ok(false) => {
            let way_out =
                format!("put keys into stock, or: keypool generator create --product {id} --validity 365");
            report.warning(&check, "has no keys in stock and no generator, so it cannot be sold", way_out)
        }
        Err(error) => report.failed(&check, &error.into()),
    }
}

fn check_api_keys(report: &mut Report, api_keys: &[ApiKeyRecord]) -> anyhow::Result<()> {
    const CHECK: &str = "API keys";
    let now = SystemClock.now();
    // A rotated key has a successor: it is meant to expire.
    let is_replaced = |api_key: &ApiKeyRecord| {
        let name = name_before(&api_key.name);
        name.is_some_and(|name| api_keys.iter().any(|other| other.name.as_str() == name))
    };
    let kept = api_keys.iter().filter(|api_key| !is_replaced(api_key));
    let warnings = kept.filter_map(|api_key| warning_of(api_key, now)).collect::<Vec<_>>();
    if api_keys.is_empty() {
        let way_out = "keypool api-key create --name shop --capability random-assign-license-keys";
        return report.warning(CHECK, "there are none, so nobody can use the API", way_out);
    }
    if warnings.is_empty() {
        return report.ok(CHECK, format!("{} checked: none is too open or about to expire", api_keys.len()));
    }
    warnings.into_iter().try_for_each(|(said, way_out)| report.warning(CHECK, said, way_out))
}

/// The percentage of a limit at which an hour has nearly reached it.
const NEARLY_REACHED: u64 = 80;

/// Compares the busiest hour of the last week with the limit of each API key that has one.
async fn check_limits(report: &mut Report<'_>, api_keys: &[ApiKeyRecord]) -> anyhow::Result<()> {
    const CHECK: &str = "limits";
    let (store, now) = (&report.target.store, SystemClock.now());
    let mut limited = 0;
    let mut is_ample = true;
    for api_key in api_keys.iter().filter(|api_key| api_key.activity == Activity::Active) {
        let Some(limit) = api_key.settings.keys_per_hour else { continue };
        limited += 1;
        let count = match store.hourly_count(api_key.hash).await {
            Ok(count) => count,
            Err(error) => return report.failed(CHECK, &error.into()),
        };
        let peak = count.map_or(0, |count| count.peak(now));
        if peak * 100 >= u64::from(limit.get()) * NEARLY_REACHED {
            is_ample = false;
            let name = api_key.name.as_str();
            let said = format!("{name} sold {peak} keys in one hour of the last week; {limit} are allowed");
            let way_out = "if the shop sold them, raise the limit with `keypool api-key update --keys-per-hour`; if \
                           not, the key leaked: `keypool api-key disable`";
            report.warning(CHECK, said, way_out)?;
        }
    }
    if limited > 0 && is_ample {
        report.ok(CHECK, format!("{limited} API keys have one; none was nearly reached in the last week"))?;
    }
    Ok(())
}

/// The warning about an API key and its remedy, if there is one.
fn warning_of(api_key: &ApiKeyRecord, now: Timestamp) -> Option<(String, &'static str)> {
    let name = api_key.name.as_str();
    if api_key.activity != Activity::Active {
        return None;
    }
    if let Some(end) = api_key.valid_until {
        let left = end.unix_microseconds() - now.unix_microseconds();
        let end = end.to_whole_seconds_text();
        if left <= 0 {
            let said = format!("{name} expired at {end}: its requests get code 101");
            return Some((said, "create another with `keypool api-key create`"));
        }
        if left <= EXPIRES_SOON_US {
            let said = format!("{name} expires at {end}: its requests will get code 101");
            return Some((
                said,
                "create another with `keypool api-key create --expires`, and give it to the shop",
            ));
        }
    }
    let opens_all = api_key.capabilities.len() == Endpoint::ALL.len();
    let is_unlimited = api_key.networks.is_empty() && api_key.settings.keys_per_hour.is_none();
    (opens_all && is_unlimited).then(|| {
        let said =
            format!("{name} opens all endpoints from anywhere: whoever finds it can take the whole stock");
        (said, "create one that has only the --capability it needs, and a --network or --keys-per-hour limit")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use keypool_domain::{ApiKey, ApiKeySettings};

    use super::*;

    #[test]
    fn open_and_expiring_api_keys_are_reported() {
        let now = SystemClock.now();
        let after = |microseconds| Timestamp::from_unix_microseconds(now.unix_microseconds() + microseconds);
        let api_key = |capabilities: BTreeSet<Endpoint>, valid_until| ApiKeyRecord {
            hash: "k".parse::<ApiKey>().unwrap().hash(),
            name: "shop".parse().unwrap(),
            activity: Activity::Active,
            capabilities,
            networks: vec![],
            valid_until,
            settings: ApiKeySettings::default(),
        };
        let (one, all) = (BTreeSet::from([Endpoint::Generate]), BTreeSet::from(Endpoint::ALL));
        let said =
            |api_key: &ApiKeyRecord| warning_of(api_key, now).map(|(said, _)| said).unwrap_or_default();
        assert_eq!(said(&api_key(one.clone(), None)), "");
        assert_eq!(said(&api_key(one.clone(), after(EXPIRES_SOON_US + 1))), "");
        assert!(said(&api_key(one.clone(), after(EXPIRES_SOON_US))).contains("shop expires at"));
        assert!(said(&api_key(one, after(0))).contains("shop expired at"));
        assert!(said(&api_key(all.clone(), None)).contains("from anywhere"));
        let mut limited = api_key(all.clone(), None);
        limited.settings.keys_per_hour = "100".parse().ok();
        assert_eq!(said(&limited), "");
        let off = ApiKeyRecord { activity: Activity::Inactive, ..api_key(all.clone(), None) };
        assert_eq!(said(&off), "");
        let home = ApiKeyRecord { networks: vec!["10.0.0.0/8".parse().unwrap()], ..api_key(all, None) };
        assert_eq!(said(&home), "");
    }
}
