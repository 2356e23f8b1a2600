use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};
use keypool_domain::{ApiKeySettings, KeysPerHour, Product, ProductId, Quantity, WebhookHost};
use keypool_store::Store;

use crate::moment::Span;

/// The settings of an API key: the options that `create` and `update` share.
#[derive(Debug, Args)]
pub(super) struct Settings {
    /// The time that its queued orders wait for keys (0, 12h, 7d; at most 365d); 0 does not wait [unset: 7d]
    #[arg(long, value_name = "DURATION", value_parser = waiting_time)]
    wait_for_stock: Option<Duration>,
    /// Allow callbacks to this host only (may be repeated) [unset: any public host]
    #[arg(long = "webhook-host", value_name = "HOST[:PORT]")]
    webhook_hosts: Vec<WebhookHost>,
    /// Treat requests with the same product, quantity and identifier as one request
    #[arg(long, value_name = "PARAMETER")]
    once_per: Option<OncePer>,
    /// The time for which responses to repeatable requests are remembered, 1 hour to 365 days [unset: 24h]
    #[arg(long, value_name = "DURATION", value_parser = memory)]
    remember: Option<Duration>,
    /// Allow this product only (may be repeated) [unset: all]
    #[arg(long = "product", value_name = "ID")]
    products: Vec<ProductId>,
    /// The most keys in one request, 1 to 1000 [unset: 1000]
    #[arg(long, value_name = "NUMBER")]
    keys_per_order: Option<Quantity>,
    /// The most keys in any 60 minutes, 1 to 1000000 [unset: no limit]
    #[arg(long, value_name = "NUMBER")]
    keys_per_hour: Option<KeysPerHour>,
}

/// The parameter that identifies repetitions of a request.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum OncePer {
    /// The parameter `identifier`
    Identifier,
}

/// The longest duration of a setting.
const SETTING_MAX: Duration = Duration::from_hours(365 * 24);

fn waiting_time(text: &str) -> Result<Duration, &'static str> {
    let time = text.parse::<Span>()?.duration();
    if time <= SETTING_MAX { Ok(time) } else { Err("must not be more than 365 days") }
}

fn memory(text: &str) -> Result<Duration, &'static str> {
    const HOUR: Duration = Duration::from_hours(1);
    let time = text.parse::<Span>()?.duration();
    if (HOUR..=SETTING_MAX).contains(&time) { Ok(time) } else { Err("must be 1 hour to 365 days") }
}

impl Settings {
    /// Checks that the products exist, so that a typing error does not make the key useless.
    pub(super) async fn check(&self, store: &Store) -> anyhow::Result<()> {
        for id in &self.products {
            if store.find::<Product>(*id).await?.is_none() {
                bail!("there is no product {id}");
            }
        }
        Ok(())
    }

    /// Changes the settings that are given.
    pub(super) fn apply(&self, settings: &mut ApiKeySettings) {
        settings.wait_for_stock = self.wait_for_stock.or(settings.wait_for_stock);
        settings.remember = self.remember.or(settings.remember);
        settings.once_per_identifier |= self.once_per.is_some();
        if !self.webhook_hosts.is_empty() {
            settings.webhook_hosts = self.webhook_hosts.iter().cloned().collect();
        }
        if !self.products.is_empty() {
            settings.products = self.products.iter().copied().collect();
        }
        settings.keys_per_order = self.keys_per_order.or(settings.keys_per_order);
        settings.keys_per_hour = self.keys_per_hour.or(settings.keys_per_hour);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_maximum_and_a_minimum() {
        const DAY: Duration = Duration::from_hours(24);
        assert_eq!(waiting_time("0"), Ok(Duration::ZERO));
        assert_eq!(waiting_time("365d"), Ok(365 * DAY));
        assert_eq!(waiting_time("366d"), Err("must not be more than 365 days"));
        assert_eq!(memory("60m"), Ok(Duration::from_hours(1)));
        assert_eq!(memory("365d"), Ok(365 * DAY));
        for text in ["0", "59m", "366d"] {
            assert_eq!(memory(text), Err("must be 1 hour to 365 days"), "{text}");
        }
    }

    #[test]
    fn only_given_settings_change() {
        let mut settings = ApiKeySettings {
            wait_for_stock: Some(Duration::ZERO),
            webhook_hosts: ["shop.example".parse().unwrap()].into_iter().collect(),
            remember: Some(Duration::from_hours(2)),
            once_per_identifier: true,
            products: [ProductId::MIN].into_iter().collect(),
            keys_per_order: "5".parse().ok(),
            keys_per_hour: "100".parse().ok(),
            ..ApiKeySettings::default()
        };
        let before = settings.clone();
        let nothing = Settings {
            wait_for_stock: None,
            webhook_hosts: vec![],
            once_per: None,
            remember: None,
            products: vec![],
            keys_per_order: None,
            keys_per_hour: None,
        };
        nothing.apply(&mut settings);
        assert_eq!(settings, before);
        let (remember, keys_per_hour) = (Some(Duration::from_hours(3)), "7".parse().ok());
        Settings { remember, keys_per_hour, ..nothing }.apply(&mut settings);
        assert_eq!(settings, ApiKeySettings { remember, keys_per_hour, ..before });
    }
}
