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

/// Creates the table. If there is one, adds the indexes that an earlier version did not create. The members
/// of the template have the names that DynamoDB's own requests have.
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
                let update = json!({"TableName": TABLE, "AttributeDefinitions": attributes, "GlobalSecondaryIndexUpdates": updates});
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
        set_up(&database).unwrap();
        let indexes = || {
            let described =
                database.describe_table(serde_json::from_value(json!({"TableName": TABLE})).unwrap());
            let indexes = described.unwrap().table.global_secondary_indexes.unwrap_or_default();
            let mut names: Vec<String> = indexes.into_iter().map(|index| index.index_name).collect();
            names.sort();
            names
        };
        assert_eq!(indexes(), ["available", "orders"]);
        let delete =
            json!({"TableName": TABLE, "GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "orders"}}]});
        database.update_table(serde_json::from_value(delete).unwrap()).unwrap();
        assert_eq!(indexes(), ["available"]);
        set_up(&database).unwrap();
        assert_eq!(indexes(), ["available", "orders"]);
    }
}
