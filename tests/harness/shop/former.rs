//! Records in the form of the first version of keypool: claims, and large orders with their own records.

use keypool_domain::{AttemptId, LicenseKeyRecord, OperatingSystemRandomness};
use keypool_local::TABLE;
use serde_json::{Value, json};

use super::Shop;

/// The state of a large order of the first version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormerState {
    /// Keys were being reserved.
    Reserving,
    /// The keys were sold, but some were not marked yet.
    Committed,
}

impl Shop {
    /// Stores a large order of the first version for `keys` of product 1, as a dead environment left it. The
    /// first key was listed but not reserved. The lease ended at the beginning of 2026.
    ///
    /// # Panics
    /// If there are no keys.
    pub async fn former_order(&self, keys: &[LicenseKeyRecord], state: FormerState) {
        let id = AttemptId::random(&OperatingSystemRandomness).to_string();
        let state = match state {
            FormerState::Reserving => "reserving",
            FormerState::Committed => "committed",
        };
        self.put_raw(&json!({
            "pk": {"S": format!("ORDER#{id}")},
            "sk": {"S": "ORDER"},
            "state": {"S": state},
            "origin": {"S": "stock"},
            "product_id": {"N": "1"},
            "assigned_at": {"S": "2026-01-01T00:00:00.000000Z"},
            "owner_name": {"S": "Former Buyer"},
        }))
        .await;
        self.put_raw(&json!({
            "pk": {"S": "ORDERS"},
            "sk": {"S": format!("1#{id}")},
            "since": {"S": "2026-01-01T00:00:00.000000Z"},
            "lease_until": {"N": "1767225600000000"},
        }))
        .await;
        for (part, keys) in keys.chunks(250).enumerate() {
            let license_keys: Vec<Value> =
                keys.iter().map(|key| json!({"S": key.license_key.as_str()})).collect();
            let versions: Vec<Value> = keys.iter().map(|key| json!({"N": key.version.to_string()})).collect();
            self.put_raw(&json!({
                "pk": {"S": format!("ORDER#{id}")},
                "sk": {"S": format!("PART#{part:04}")},
                "license_keys": {"L": license_keys},
                "versions": {"L": versions},
            }))
            .await;
        }
        let (_, reserved) = keys.split_first().unwrap();
        for key in reserved {
            self.dynamodb_call(
                "UpdateItem",
                &json!({
                    "TableName": TABLE,
                    "Key": {"pk": {"S": format!("KEY#{}", key.license_key.as_str())}, "sk": {"S": "KEY"}},
                    "UpdateExpression":
                        "SET #s = :reserved, assignment_id = :order, version = :next REMOVE stock, draw",
                    "ExpressionAttributeNames": {"#s": "status"},
                    "ExpressionAttributeValues": {
                        ":reserved": {"S": "reserved"},
                        ":order": {"S": id},
                        ":next": {"N": (key.version + 1).to_string()},
                    },
                }),
            )
            .await;
        }
    }

    /// Turns the record of a request into a claim of the first version. With a lease the claim is open, in
    /// the state `started`. It has the mark of a creation.
    ///
    /// # Panics
    /// If there is not exactly one record.
    pub async fn make_claim_of_the_only_record(&self, lease_until: Option<i64>) {
        let table = self.dynamodb_call("Scan", &json!({"TableName": TABLE})).await;
        let items = table["Items"].as_array().unwrap().iter();
        let mut records = items.filter(|item| item["sk"]["S"] == "IDEMPOTENCY");
        let mut record = records.next().unwrap().clone();
        assert!(records.next().is_none());
        record["creation_id"] = json!({"S": "66d5f1fb-1f1c-4b3c-9b0c-0c9a1c6f3a11"});
        if let Some(lease_until) = lease_until {
            record["state"] = json!({"S": "started"});
            record["lease_until"] = json!({"N": lease_until.to_string()});
            for name in ["payload", "payload_parts", "private_key_used", "signature"] {
                record.as_object_mut().unwrap().remove(name);
            }
        }
        self.put_raw(&record).await;
    }

    async fn put_raw(&self, item: &Value) {
        self.dynamodb_call("PutItem", &json!({"TableName": TABLE, "Item": item})).await;
    }
}
