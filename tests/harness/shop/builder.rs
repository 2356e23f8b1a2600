use std::sync::Arc;
use std::time::Duration;

use keypool_domain::{Endpoint, OperatingSystemRandomness};
use keypool_http::{Desk, Patience};
use keypool_local::{Gateway, Services, TABLE, demo};
use keypool_signing::Signer;
use keypool_store::Store;

use super::{API_KEY, Shop};
use crate::{ManualClock, Proxy, ScriptedDraws, logs};

/// What a shop starts with.
#[derive(Debug, Clone, Copy)]
pub struct ShopBuilder {
    pub(super) global_signing_key: bool,
    pub(super) patience: Patience,
}

impl ShopBuilder {
    /// Without a global signing key.
    #[must_use]
    pub fn without_global_signing_key(self) -> Self {
        Self { global_signing_key: false, ..self }
    }

    /// As impatient as real shops are. Others wait long, so that a slow machine fails no test that is not about
    /// time.
    #[must_use]
    pub fn impatient(self) -> Self {
        Self { patience: Patience::Checkout, ..self }
    }

    /// Opens the shop.
    ///
    /// # Panics
    /// If the stack does not start.
    pub async fn open(self) -> Shop {
        logs::gather();
        logs::keep_secret(API_KEY);
        let services = Services::start(None).await.unwrap();
        let direct = Services::settings(services.dynamodb_url(), services.kms_url());
        let direct = direct.clients(Patience::Operator);
        let store = Store::new(direct.dynamodb, TABLE, Arc::new(OperatingSystemRandomness));
        let signer = Signer::new(direct.kms, None);
        let global_key = demo::global_signing_key().unwrap();
        demo::provision(&store, &signer).await.unwrap();

        let dynamodb = Proxy::start(services.dynamodb_url());
        let kms = Proxy::start(services.kms_url());
        let clock = Arc::new(ManualClock::new());
        let draws = Arc::new(ScriptedDraws::default());
        let global_key = self.global_signing_key.then_some(global_key);
        let patient = Duration::from_mins(2);
        let desk = |function: Option<Endpoint>| {
            // The path tells the proxies which function calls.
            let name = function.map_or("gateway", Endpoint::name);
            let at = |url: String| format!("{url}/{name}");
            let clients = Services::settings(at(dynamodb.url()), at(kms.url())).clients(self.patience);
            let store = Store::new(clients.dynamodb, TABLE, Arc::clone(&draws) as _);
            let desk = Desk::new(
                match self.patience {
                    Patience::Checkout => store,
                    Patience::Operator => store.patient(),
                },
                Signer::new(clients.kms, global_key.clone()),
                Arc::clone(&clock) as _,
            );
            match self.patience {
                Patience::Checkout => desk,
                Patience::Operator => desk.answering_within(patient),
            }
        };
        let gateway = match self.patience {
            Patience::Checkout => Gateway::start(0, desk).await,
            Patience::Operator => Gateway::start_patient(0, desk, patient).await,
        }
        .unwrap();
        Shop {
            base_url: gateway.base_url(),
            dynamodb,
            kms,
            clock,
            draws,
            store,
            signer,
            client: reqwest::Client::new(),
            _gateway: gateway,
            services,
        }
    }
}
