//! How the table is set up and whether what should have ended has ended: for whoever checks a stack. Nothing
//! here changes anything.

use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{
    BillingMode, IndexStatus, KeySchemaElement, KeyType, PointInTimeRecoveryStatus, ProjectionType,
    TableDescription, TableStatus, TimeToLiveStatus,
};
use keypool_domain::ProductId;

use crate::dynamo::Query;
use crate::record::{DRAW, EXPIRES_AT, INDEX_AVAILABLE, PK, SK, STOCK};
use crate::{Store, StoreError};

/// How the index of the stock is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexState {
    /// As it must be, and in use.
    Ready,
    /// As it must be, but DynamoDB is not done with it.
    Building,
    /// There is an index of that name, with other keys or without all attributes.
    Different,
    /// There is none.
    Missing,
}

/// How the table is set up.
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableState {
    /// Whether it takes reads and writes.
    pub is_active: bool,
    /// Whether its keys are those that keypool writes.
    pub has_keys: bool,
    /// The index of the stock.
    pub index: IndexState,
    /// Whether it is paid by the request, and needs no capacity set aside.
    pub is_on_demand: bool,
    /// Whether DynamoDB refuses to delete it.
    pub is_deletion_protected: bool,
}

/// What expires in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expiry {
    /// What is over is deleted, as it must be.
    On,
    /// Nothing is deleted.
    Off,
    /// Another attribute says what is over.
    OtherAttribute(String),
}

impl Store {
    /// How the table is set up; `None` if there is none. Costs nothing.
    pub async fn describe(&self) -> Result<Option<TableState>, StoreError> {
        match self.client.describe_table().table_name(&self.table).send().await {
            Ok(described) => Ok(described.table().map(state_of)),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DescribeTableError::is_resource_not_found_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(StoreError::from_sdk("DescribeTable", &error)),
        }
    }

    /// What tells the table from every other, one of the same name that is made anew included. Costs nothing.
    pub async fn table_id(&self) -> Result<String, StoreError> {
        const OPERATION: &str = "DescribeTable";
        let described = self.client.describe_table().table_name(&self.table).send().await;
        let described = described.map_err(|error| StoreError::from_sdk(OPERATION, &error))?;
        let id = described.table.and_then(|table| table.table_id);
        id.ok_or(StoreError::Rejected { operation: OPERATION, code: "the table has no id".to_owned() })
    }

    /// What expires in the table. Costs nothing.
    pub async fn describe_expiry(&self) -> Result<Expiry, StoreError> {
        let described = self.client.describe_time_to_live().table_name(&self.table).send().await;
        let described = described.map_err(|error| StoreError::from_sdk("DescribeTimeToLive", &error))?;
        let Some(expiry) = described.time_to_live_description() else { return Ok(Expiry::Off) };
        Ok(match (expiry.time_to_live_status(), expiry.attribute_name()) {
            (Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling), Some(attribute)) => {
                if attribute == EXPIRES_AT {
                    Expiry::On
                } else {
                    Expiry::OtherAttribute(attribute.to_owned())
                }
            }
            _ => Expiry::Off,
        })
    }

    /// Whether the table can be brought back as it was at any moment of the last days. Costs nothing. The
    /// embedded DynamoDB does not know the question.
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

    /// Whether a product has a key in stock. Half a read unit, however large the stock.
    pub async fn is_in_stock(&self, product_id: ProductId) -> Result<bool, StoreError> {
        let found = self.query_page(&Query::stock(product_id).limit(1), None).await?;
        Ok(!found.items.is_empty())
    }
}

fn state_of(table: &TableDescription) -> TableState {
    let named =
        table.global_secondary_indexes().iter().find(|index| index.index_name() == Some(INDEX_AVAILABLE));
    let index = named.map_or(IndexState::Missing, |index| {
        let projection = index.projection().and_then(|projection| projection.projection_type());
        if !has_schema(index.key_schema(), STOCK, DRAW) || projection != Some(&ProjectionType::All) {
            IndexState::Different
        } else if index.index_status() == Some(&IndexStatus::Active) {
            IndexState::Ready
        } else {
            IndexState::Building
        }
    });
    let billing = table.billing_mode_summary().and_then(|summary| summary.billing_mode());
    TableState {
        // While its settings are changed, a table is in use as before.
        is_active: matches!(table.table_status(), Some(TableStatus::Active | TableStatus::Updating)),
        has_keys: has_schema(table.key_schema(), PK, SK),
        index,
        is_on_demand: billing == Some(&BillingMode::PayPerRequest),
        is_deletion_protected: table.deletion_protection_enabled() == Some(true),
    }
}

fn has_schema(schema: &[KeySchemaElement], hash: &str, range: &str) -> bool {
    let has = |name: &str, key_type: &KeyType| {
        schema.iter().any(|element| element.attribute_name() == name && element.key_type() == key_type)
    };
    schema.len() == 2 && has(hash, &KeyType::Hash) && has(range, &KeyType::Range)
}
