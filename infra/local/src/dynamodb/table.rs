//! keypool's table, as the deployment template describes it.

use std::error::Error;

use dynoxide::{Database, DynoxideError};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::TABLE;

const TEMPLATE: &str = include_str!("../../../template.yaml");

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Template {
    resources: Resources,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resources {
    table: Resource,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resource {
    properties: Value,
}

/// Creates the table with its time to live. If the table exists, adds the indexes that an earlier version did
/// not create. The template names its properties as DynamoDB's requests do.
pub(super) fn set_up(database: &Database) -> Result<(), Box<dyn Error + Send + Sync>> {
    let table = serde_saphyr::from_str::<Template>(TEMPLATE)?.resources.table.properties;
    let (attributes, indexes) = (&table["AttributeDefinitions"], &table["GlobalSecondaryIndexes"]);
    match database.describe_table(serde_json::from_value(json!({"TableName": TABLE}))?) {
        Ok(described) => {
            let present = described.table.global_secondary_indexes.unwrap_or_default();
            let is_absent =
                |index: &&Value| present.iter().all(|present| index["IndexName"] != *present.index_name);
            for index in indexes.as_array().into_iter().flatten().filter(is_absent) {
                let updates = json!([{"Create": index}]);
                let update = json!({
                    "TableName": TABLE,
                    "AttributeDefinitions": attributes,
                    "GlobalSecondaryIndexUpdates": updates,
                });
                database.update_table(serde_json::from_value(update)?)?;
            }
        }
        Err(DynoxideError::ResourceNotFoundException(_)) => {
            let create = json!({
                "TableName": TABLE,
                "AttributeDefinitions": attributes,
                "KeySchema": table["KeySchema"],
                "GlobalSecondaryIndexes": indexes,
                "BillingMode": table["BillingMode"],
            });
            database.create_table(serde_json::from_value(create)?)?;
        }
        Err(error) => return Err(error.into()),
    }
    let expiry = json!({"TableName": TABLE, "TimeToLiveSpecification": table["TimeToLiveSpecification"]});
    database.update_time_to_live(serde_json::from_value(expiry)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_an_earlier_version_gets_the_index_that_it_lacks() {
        let database = Database::memory().unwrap();
        let key = |name, kind| json!({"AttributeName": name, "KeyType": kind});
        let text = |name| json!({"AttributeName": name, "AttributeType": "S"});
        let create = json!({
            "TableName": TABLE,
            "AttributeDefinitions": [text("pk"), text("sk")],
            "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
            "BillingMode": "PAY_PER_REQUEST",
        });
        database.create_table(serde_json::from_value(create).unwrap()).unwrap();
        let sold =
            json!({"pk": {"S": "KEY#A"}, "sk": {"S": "KEY"}, "order_reference": {"S": "REFERENCE#31"}});
        let put = json!({"TableName": TABLE, "Item": sold});
        database.put_item(serde_json::from_value(put).unwrap()).unwrap();
        for _ in 0..2 {
            set_up(&database).unwrap();
            let query = json!({
                "TableName": TABLE,
                "IndexName": "orders",
                "KeyConditionExpression": "order_reference = :order",
                "ExpressionAttributeValues": {":order": {"S": "REFERENCE#31"}},
            });
            assert_eq!(database.query(serde_json::from_value(query).unwrap()).unwrap().count, 1);
            let named = serde_json::from_value(json!({"TableName": TABLE})).unwrap();
            let expiry = database.describe_time_to_live(named).unwrap().time_to_live_description;
            assert_eq!(expiry.attribute_name.as_deref(), Some("expires_at"));
        }
    }
}
