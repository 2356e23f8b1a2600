//! Sales as a function makes them, for several test files.

use std::time::Duration;

use keypool_domain::{
    Assignment, Clock as _, Envelope, LicenseKeyRecord, PrivateKeyUsed, ProductId, Reply, SignablePayload,
    SystemClock,
};
use keypool_store::{RequestSlot, Sale, SaleOutcome, Store, StoreError};
use tokio::time::Instant;

/// A response with a false signature.
pub(crate) fn response() -> Envelope {
    SignablePayload::new(&Reply::LicenseKeyAssigned, SystemClock.now())
        .into_envelope(PrivateKeyUsed::Global, Some(&[7]))
}

/// A sale of keys of product 1 whose lease is over at once.
pub(crate) fn sale(assignment: &Assignment, slot: Option<RequestSlot>) -> Sale {
    Sale::new(ProductId::MIN, assignment.clone(), Duration::ZERO, slot)
}

/// Finishes a sale, with a deadline in a minute.
pub(crate) async fn finish(
    store: &Store,
    sale: &Sale,
    keys: &[LicenseKeyRecord],
) -> Result<SaleOutcome, StoreError> {
    let deadline = Instant::now() + Duration::from_mins(1);
    store.finish(sale, keys, &response(), SystemClock.now(), deadline).await
}

/// Sells keys of the stock by one write.
pub(crate) async fn sell(store: &Store, keys: &[LicenseKeyRecord], assignment: &Assignment) -> SaleOutcome {
    finish(store, &sale(assignment, None), keys).await.unwrap()
}
