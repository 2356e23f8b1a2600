//! Sales without the API, for tests that look at the table between the writes.

use std::collections::HashSet;
use std::time::Duration;

use keypool_domain::{
    Assignment, Clock as _, Envelope, LicenseKeyRecord, OperatingSystemRandomness, Owner, PrivateKeyUsed,
    Reply, SignablePayload,
};
use keypool_store::{Drawn, Look, RequestSlot, Sale, SaleOutcome, StoreError};

use super::Shop;

impl Shop {
    /// Draws from the stock of product 1 like a function.
    ///
    /// # Panics
    /// If DynamoDB fails.
    pub async fn draw(&self, quantity: usize) -> Drawn {
        let product_id = "1".parse().unwrap();
        self.store.draw(product_id, quantity, &HashSet::default(), Look::Twice).await.unwrap()
    }

    /// Makes a sale of keys of product 1 without an owner, whose lease is already over.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn sale(&self, slot: Option<RequestSlot>) -> Sale {
        let assignment = Assignment::new(Owner::default(), self.clock.now(), &OperatingSystemRandomness);
        Sale::new("1".parse().unwrap(), assignment, Duration::ZERO, slot)
    }

    /// Makes an unsigned response.
    #[must_use]
    pub fn unsigned_response(&self) -> Envelope {
        let payload = SignablePayload::new(&Reply::LicenseKeyAssigned, self.clock.now());
        payload.into_envelope(PrivateKeyUsed::Global, None)
    }

    /// Finishes a sale within a minute.
    pub async fn finish(&self, sale: &Sale, keys: &[LicenseKeyRecord]) -> Result<SaleOutcome, StoreError> {
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        let (response, now) = (self.unsigned_response(), self.clock.now());
        self.store.finish(sale, keys, &response, now, deadline).await
    }
}
