use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use keypool_domain::RowId;

use crate::record::{Key, number};
use crate::{Store, StoreError};

/// What numeric ids are counted for.
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

impl Store {
    /// Takes `count` ids for license keys in one call: unique and rising. Ids that a failed request took are
    /// never used, so there may be gaps.
    pub async fn take_row_ids(&self, count: usize) -> Result<Vec<RowId>, StoreError> {
        let last = self.advance(Counter::LicenseKey, count).await?;
        RowId::block_ending_at(last, count)
            .ok_or(StoreError::Corrupt { record: "counter", attribute: "last" })
    }

    /// Moves a counter on by `count` and says where it stands then. 1 write unit.
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
            match output.attributes().and_then(|item| item.get("last")) {
                Some(AttributeValue::N(last)) => last.parse().ok(),
                _ => None,
            }
            .ok_or(StoreError::Corrupt { record: "counter", attribute: "last" })
        })
        .await
    }
}
