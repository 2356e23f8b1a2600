use keypool_domain::{AuditEntry, Principal};

use super::{Item, Key, Reader, Writer};
use crate::StoreError;

/// An entry of the audit trail.
pub(crate) fn audit_item(entry: &AuditEntry) -> Item {
    Writer::at(Key::audit(entry))
        .text("id", &entry.id)
        .text("at", entry.at.to_microseconds_text())
        .text("principal", &entry.principal)
        .text("action", &entry.action)
        .text("subject", &entry.subject)
        .optional_text("before", entry.before.as_ref())
        .optional_text("after", entry.after.as_ref())
        .0
}

/// Reads what [`audit_item`] writes.
pub(crate) fn read_audit(item: &Item) -> Result<AuditEntry, StoreError> {
    let reader = Reader { item, record: "audit" };
    Ok(AuditEntry {
        id: reader.required("id")?,
        at: reader.time("at")?,
        principal: Principal::new(reader.raw("principal")?),
        action: reader.required("action")?,
        subject: reader.required("subject")?,
        before: reader.optional("before")?,
        after: reader.optional("after")?,
    })
}

#[cfg(test)]
mod tests {
    use keypool_domain::{AuditId, OperatingSystemRandomness, Timestamp};
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_reads_back_and_stands_in_its_month() {
        let entry = AuditEntry {
            id: AuditId::random(&OperatingSystemRandomness),
            at: Timestamp::from_unix_microseconds(1_732_388_528_829_115).unwrap(),
            principal: Principal::new("arn:aws:sts::123456789012:assumed-role/operator/ada"),
            action: "product.update".to_owned(),
            subject: "product 42".to_owned(),
            before: Some(json!({"name": "Öffice"})),
            after: None,
        };
        let item = audit_item(&entry);
        assert_eq!(item["pk"].as_s().unwrap(), "AUDIT#2024-11");
        assert!(item["sk"].as_s().unwrap().starts_with("2024-11-23T19:02:08.829115Z#"));
        assert_eq!(read_audit(&item), Ok(entry));
    }
}
