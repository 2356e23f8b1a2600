use std::collections::HashMap;

use serde_json::{Value, json};

use super::Row;
use crate::Shop;

/// The whole table, read directly.
#[derive(Debug, Default)]
pub struct Table {
    /// The license keys.
    pub keys: HashMap<String, Stored>,
    /// The hash keys of records that exist only while an order is under way.
    pub unfinished: Vec<String>,
    /// The number of delivered orders.
    pub delivered: usize,
}

/// A stored license key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Key, number, product, owner and time.
    pub row: Row,
    /// Its status.
    pub status: String,
    /// Its validity, which identifies the order that created it.
    pub mark: u32,
    /// True if it is in the index.
    pub in_stock: bool,
    /// The key that replaced it.
    pub replaced_by: Option<String>,
}

impl Stored {
    /// True if the key has an owner, or had one until another key replaced it.
    #[must_use]
    pub fn is_sold(&self) -> bool {
        self.status == "assigned" || self.status == "blocked" && self.replaced_by.is_some()
    }
}

impl Table {
    /// Reads the table.
    ///
    /// # Panics
    /// If DynamoDB refuses.
    pub async fn read(shop: &Shop) -> Self {
        let mut table = Self::default();
        let mut from = Value::Null;
        loop {
            let mut request = json!({"TableName": keypool_local::TABLE, "ConsistentRead": true});
            if !from.is_null() {
                request["ExclusiveStartKey"] = from;
            }
            let mut page = shop.dynamodb_call("Scan", &request).await;
            page["Items"].as_array().into_iter().flatten().for_each(|item| table.take(item));
            from = page["LastEvaluatedKey"].take();
            if from.is_null() {
                return table;
            }
        }
    }

    fn take(&mut self, item: &Value) {
        let text = |name: &str| item[name]["S"].as_str().unwrap_or_default().to_owned();
        let number =
            |name: &str| item[name]["N"].as_str().and_then(|number| number.parse().ok()).unwrap_or(0);
        let small = |name: &str| u32::try_from(number(name)).unwrap_or(0);
        let pk = text("pk");
        if pk == "QUEUE" && text("state") == "void" {
            return;
        }
        match pk.split_once('#') {
            Some(("KEY", license_key)) => {
                let row = Row {
                    license_key: license_key.to_owned(),
                    id: number("id"),
                    assigned_at: text("assigned_at"),
                    product: small("product_id"),
                    owner: text("owner_name"),
                };
                let stored = Stored {
                    row,
                    status: text("status"),
                    mark: small("validity"),
                    in_stock: item.get("stock").is_some() && item.get("draw").is_some(),
                    replaced_by: item.get("replaced_by").map(|_| text("replaced_by")),
                };
                self.keys.insert(license_key.to_owned(), stored);
            }
            Some(("DELIVERED", _)) => self.delivered += 1,
            Some(("PRODUCT" | "GENERATOR" | "APIKEY" | "COUNTER" | "CATALOGUE" | "AUDIT", _)) => {}
            // A record stays until it expires. An open record may remain only for keys that are stored one by
            // one. Such a record names no product.
            Some(("IDEMPOTENCY", _))
                if !text("sk").starts_with("PART#")
                    && (text("state") != "open" || item.get("product_id").is_none()) => {}
            _ => self.unfinished.push(format!("{pk} {}", text("sk"))),
        }
    }
}
