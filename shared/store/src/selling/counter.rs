use std::sync::PoisonError;

use aws_sdk_dynamodb::types::ReturnValue;
use keypool_domain::RowId;

use crate::record::{Key, number, number_of};
use crate::{Store, StoreError};

/// The counters of numeric ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// License keys.
    LicenseKey,
    /// Products.
    Product,
    /// Generators.
    Generator,
}

impl Counter {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::LicenseKey => "license-key",
            Self::Product => "product",
            Self::Generator => "generator",
        }
    }
}

/// The number of ids that a process takes at a time for small orders.
const ROW_IDS_BLOCK: usize = 64;

impl Store {
    /// Takes `count` unique ids for license keys. Small orders are served from a block that the process took
    /// before, so most of them need no call. Unused ids leave gaps.
    pub async fn take_row_ids(&self, count: usize) -> Result<Vec<RowId>, StoreError> {
        if let Some(ids) = self.spare_row_ids(count) {
            return Ok(ids);
        }
        let block = count.max(ROW_IDS_BLOCK);
        let last = self.advance(Counter::LicenseKey, block).await?;
        let corrupt = StoreError::Corrupt { record: "counter", attribute: "last" };
        let mut ids = RowId::block_ending_at(last, block).ok_or(corrupt)?;
        let spare = ids.split_off(count);
        if !spare.is_empty() {
            *self.row_ids.lock().unwrap_or_else(PoisonError::into_inner) = spare;
        }
        Ok(ids)
    }

    fn spare_row_ids(&self, count: usize) -> Option<Vec<RowId>> {
        let mut spare = self.row_ids.lock().unwrap_or_else(PoisonError::into_inner);
        (count <= spare.len()).then(|| spare.drain(..count).collect())
    }

    /// Advances a counter by `count` and returns its new value. 1 write unit.
    pub async fn advance(&self, counter: Counter, count: usize) -> Result<u64, StoreError> {
        self.with_retries(|| async {
            let output = self
                .client
                .update_item()
                .table_name(&self.table)
                .set_key(Some(Key::counter(counter.name()).into_item()))
                .update_expression("ADD #last :count")
                .expression_attribute_names("#last", "last")
                .expression_attribute_values(":count", number(count))
                .return_values(ReturnValue::UpdatedNew)
                .send()
                .await
                .map_err(|error| StoreError::from_sdk("UpdateItem", &error))?;
            output
                .attributes()
                .and_then(|item| number_of(item, "last"))
                .ok_or(StoreError::Corrupt { record: "counter", attribute: "last" })
        })
        .await
    }
}
