use std::sync::Arc;

use keypool_aws::Timeouts;
use keypool_callback::CallbackLimits;
use keypool_domain::OperatingSystemRandomness;
use keypool_local::{Services, TABLE, demo};
use keypool_signing::Signer;
use keypool_store::Store;

use super::{API_KEY, Shop, StackConfig, settings_of_its_own};
use crate::faults::KilledEnvironments;
use crate::{ManualClock, Proxy, ScriptedDraws, logs};

/// The settings of a new shop.
#[derive(Debug, Clone, Copy)]
pub struct ShopBuilder {
    pub(super) global_signing_key: bool,
    pub(super) timeouts: Timeouts,
    pub(super) sale_keys_max: usize,
    pub(super) callback_limits: CallbackLimits,
}

impl ShopBuilder {
    /// Removes the global signing key.
    #[must_use]
    pub fn without_global_signing_key(self) -> Self {
        Self { global_signing_key: false, ..self }
    }

    /// Limits the keys of a transaction. Orders of more keys are large ones.
    #[must_use]
    pub fn with_sale_keys_max(self, sale_keys_max: usize) -> Self {
        Self { sale_keys_max, ..self }
    }

    /// Uses the time-outs of real shops. The default ones are long, so that a slow machine fails only tests
    /// about time.
    #[must_use]
    pub fn with_checkout_timeouts(self) -> Self {
        Self { timeouts: Timeouts::CHECKOUT, ..self }
    }

    /// Uses these limits for an attempt to deliver a callback.
    #[must_use]
    pub fn with_callback_limits(self, callback_limits: CallbackLimits) -> Self {
        Self { callback_limits, ..self }
    }

    /// Opens the shop.
    ///
    /// # Panics
    /// If the stack does not start.
    pub async fn open(self) -> Shop {
        let opened = logs::gather();
        logs::keep_secret(API_KEY);
        let clock = Arc::new(ManualClock::new());
        let services = Services::start_with_clock(None, Arc::clone(&clock) as _).await.unwrap();
        let direct = settings_of_its_own(services.dynamodb_url(), services.kms_url());
        let direct = direct.clients(Timeouts::OPERATOR);
        let store = Store::new(direct.dynamodb, TABLE, Arc::new(OperatingSystemRandomness));
        let signer = Signer::new(direct.kms, None);
        let global_key = demo::global_signing_key().unwrap();
        demo::provision(&store, &signer).await.unwrap();

        let deaths = KilledEnvironments::default();
        let dynamodb = Proxy::start(services.dynamodb_url(), deaths.clone());
        let kms = Proxy::start(services.kms_url(), deaths.clone());
        let sqs = Proxy::start(services.sqs().url(), deaths.clone());
        let draws = Arc::new(ScriptedDraws::default());
        let backing = StackConfig {
            dynamodb_url: dynamodb.url(),
            kms_url: kms.url(),
            global_key: self.global_signing_key.then_some(global_key),
            timeouts: self.timeouts,
            sale_keys_max: self.sale_keys_max,
            clock: Arc::clone(&clock) as _,
            randomness: Arc::clone(&draws) as _,
            sqs_url: sqs.url(),
            queue_url: services.sqs().queue_url(),
            callback_limits: self.callback_limits,
            environment: None,
        };
        let gateway = backing.gateway().await;
        Shop {
            base_url: gateway.base_url(),
            dynamodb,
            kms,
            sqs,
            clock,
            draws,
            store,
            signer,
            client: reqwest::Client::new(),
            backing,
            deaths,
            opened,
            _gateway: gateway,
            services,
        }
    }
}
