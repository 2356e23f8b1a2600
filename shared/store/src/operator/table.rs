use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, TimeToLiveSpecification,
};

use crate::dynamo::unbuilt;
use crate::record::{DRAW, EXPIRES_AT, INDEX_AVAILABLE, PK, SK, STOCK};
use crate::{Expiry, Store, StoreError};

impl Store {
    /// Creates the table with its index and its time to live, as far as they are not there. For the embedded
    /// stack; on AWS the deployment template creates it.
    pub async fn create_table(&self) -> Result<(), StoreError> {
        if self.describe().await?.is_none() {
            self.create_missing_table().await?;
        }
        if self.describe_expiry().await? == Expiry::Off {
            self.set_time_to_live().await?;
        }
        Ok(())
    }

    async fn create_missing_table(&self) -> Result<(), StoreError> {
        let attribute = |name: &str| {
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S)
                .build()
                .map_err(|_| unbuilt("CreateTable"))
        };
        let schema = |name: &str, key_type: KeyType| {
            let element = KeySchemaElement::builder().attribute_name(name).key_type(key_type);
            element.build().map_err(|_| unbuilt("CreateTable"))
        };
        let index = GlobalSecondaryIndex::builder()
            .index_name(INDEX_AVAILABLE)
            .key_schema(schema(STOCK, KeyType::Hash)?)
            .key_schema(schema(DRAW, KeyType::Range)?)
            .projection(Projection::builder().projection_type(ProjectionType::All).build())
            .build()
            .map_err(|_| unbuilt("CreateTable"))?;
        self.client
            .create_table()
            .table_name(&self.table)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(attribute(PK)?)
            .attribute_definitions(attribute(SK)?)
            .attribute_definitions(attribute(STOCK)?)
            .attribute_definitions(attribute(DRAW)?)
            .key_schema(schema(PK, KeyType::Hash)?)
            .key_schema(schema(SK, KeyType::Range)?)
            .global_secondary_indexes(index)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("CreateTable", &error))?;
        Ok(())
    }

    async fn set_time_to_live(&self) -> Result<(), StoreError> {
        let time_to_live = TimeToLiveSpecification::builder()
            .attribute_name(EXPIRES_AT)
            .enabled(true)
            .build()
            .map_err(|_| unbuilt("UpdateTimeToLive"))?;
        self.client
            .update_time_to_live()
            .table_name(&self.table)
            .time_to_live_specification(time_to_live)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("UpdateTimeToLive", &error))?;
        Ok(())
    }
}
