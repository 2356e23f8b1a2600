//! Checks the setup of the table. `CloudFormation` and the embedded stack both create it from the deployment
//! template.

use aws_sdk_dynamodb::types::{
    BillingMode, GlobalSecondaryIndexDescription, IndexStatus, KeySchemaElement, KeyType,
    PointInTimeRecoveryStatus, Projection, ProjectionType, TableDescription, TableStatus, TimeToLiveStatus,
};
use keypool_aws::AwsErrorKind;
use keypool_domain::ProductId;

use crate::dynamo::{Query, unbuilt};
use crate::record::{DRAW, EXPIRES_AT, INDEX_AVAILABLE, INDEX_ORDERS, ORDER, PK, SK, STOCK};
use crate::{Store, StoreError};

/// The keys of the table: hash key and range key.
const KEYS: [&str; 2] = [PK, SK];
/// The keys of the index of the stock.
const STOCK_KEYS: [&str; 2] = [STOCK, DRAW];
/// The keys of the index of orders.
const ORDER_KEYS: [&str; 2] = [ORDER[0], PK];

/// The setup of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexState {
    /// As it must be, and in use.
    Ready,
    /// As it must be, but DynamoDB is still building it.
    Building,
    /// There is an index of that name, with other keys or without all attributes.
    Different,
    /// There is none.
    Missing,
}

/// The setup of the table.
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableState {
    /// Set if it takes reads and writes.
    pub is_active: bool,
    /// Set if its keys are those that keypool writes.
    pub has_keys: bool,
    /// The index of the stock.
    pub stock_index: IndexState,
    /// The index of orders.
    pub orders_index: IndexState,
    /// Set if it is paid by the request, without reserved capacity.
    pub is_on_demand: bool,
    /// Set if DynamoDB refuses to delete it.
    pub is_deletion_protected: bool,
}

/// The expiry of items in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expiry {
    /// DynamoDB deletes expired items, as it must.
    On,
    /// Nothing is deleted.
    Off,
    /// Another attribute sets the expiry.
    OtherAttribute(String),
}

impl Store {
    /// DynamoDB's description of the table.
    pub(super) async fn description(&self) -> Result<TableDescription, StoreError> {
        const OPERATION: &str = "DescribeTable";
        let described = self.client.describe_table().table_name(&self.table).send().await;
        let described = described.map_err(|error| StoreError::from_sdk(OPERATION, &error))?;
        described.table.ok_or_else(|| unbuilt(OPERATION))
    }

    /// Reads the setup of the table; `None` if there is none. Costs nothing.
    pub async fn describe(&self) -> Result<Option<TableState>, StoreError> {
        match self.description().await {
            Ok(table) => Ok(Some(state_of(&table))),
            Err(StoreError::Aws(failed)) if failed.code == "ResourceNotFoundException" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The id of the table, which differs from that of an earlier table of the same name. Costs nothing.
    pub async fn table_id(&self) -> Result<String, StoreError> {
        let id = self.description().await?.table_id;
        id.ok_or_else(|| StoreError::aws(AwsErrorKind::Rejected, "DescribeTable", "the table has no id"))
    }

    /// The approximate number of items in the table, as DynamoDB counted them within the last hours. Costs
    /// nothing.
    pub async fn approximate_count(&self) -> Result<u64, StoreError> {
        let count = self.description().await?.item_count;
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
    }

    /// Reads the expiry of items in the table. Costs nothing.
    pub async fn describe_expiry(&self) -> Result<Expiry, StoreError> {
        let described = self.client.describe_time_to_live().table_name(&self.table).send().await;
        let described = described.map_err(|error| StoreError::from_sdk("DescribeTimeToLive", &error))?;
        let Some(expiry) = described.time_to_live_description() else { return Ok(Expiry::Off) };
        Ok(match (expiry.time_to_live_status(), expiry.attribute_name()) {
            (Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling), Some(attribute)) => {
                match attribute {
                    EXPIRES_AT => Expiry::On,
                    other => Expiry::OtherAttribute(other.to_owned()),
                }
            }
            _ => Expiry::Off,
        })
    }

    /// Returns true if the table can be restored to any moment of the last days. Costs nothing. The embedded
    /// DynamoDB does not support this call.
    pub async fn has_point_in_time_recovery(&self) -> Result<bool, StoreError> {
        let described = self.client.describe_continuous_backups().table_name(&self.table).send().await;
        let described =
            described.map_err(|error| StoreError::from_sdk("DescribeContinuousBackups", &error))?;
        let recovery = described
            .continuous_backups_description()
            .and_then(|backups| backups.point_in_time_recovery_description())
            .and_then(|recovery| recovery.point_in_time_recovery_status());
        Ok(recovery == Some(&PointInTimeRecoveryStatus::Enabled))
    }

    /// Returns true if a product has a key in stock. Half a read unit for a stock of any size.
    pub async fn is_in_stock(&self, product_id: ProductId) -> Result<bool, StoreError> {
        Ok(!self.query_page(&Query::stock(product_id).limit(1), None).await?.items.is_empty())
    }
}

fn state_of(table: &TableDescription) -> TableState {
    let index = |name, keys| {
        let index = table.global_secondary_indexes().iter().find(|index| index.index_name() == Some(name));
        index.map_or(IndexState::Missing, |index| state_of_index(index, keys))
    };
    let billing = table.billing_mode_summary().and_then(|summary| summary.billing_mode());
    TableState {
        // A table stays in use while its settings are changed.
        is_active: matches!(table.table_status(), Some(TableStatus::Active | TableStatus::Updating)),
        has_keys: has_keys(table.key_schema(), KEYS),
        stock_index: index(INDEX_AVAILABLE, STOCK_KEYS),
        orders_index: index(INDEX_ORDERS, ORDER_KEYS),
        is_on_demand: billing == Some(&BillingMode::PayPerRequest),
        is_deletion_protected: table.deletion_protection_enabled() == Some(true),
    }
}

fn state_of_index(index: &GlobalSecondaryIndexDescription, keys: [&str; 2]) -> IndexState {
    let has_all = index.projection().and_then(Projection::projection_type) == Some(&ProjectionType::All);
    match index.index_status() {
        _ if !has_all || !has_keys(index.key_schema(), keys) => IndexState::Different,
        Some(IndexStatus::Active) => IndexState::Ready,
        _ => IndexState::Building,
    }
}

/// Returns true if a schema consists of this hash key and this range key.
fn has_keys(schema: &[KeySchemaElement], [hash, range]: [&str; 2]) -> bool {
    let keys = schema.iter().map(|key| (key.attribute_name(), key.key_type()));
    keys.eq([(hash, &KeyType::Hash), (range, &KeyType::Range)])
}
