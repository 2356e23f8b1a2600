use keypool_domain::LicenseKeyRecord;

use super::attributes::record;
use super::{DRAW, Key, ORDER, OWNER, PK, Record as _, STOCK, Writer, number, stock_of};
use crate::dynamo::Write;

record! {
    LicenseKeyRecord as "license key",
    |key| start_of(key) => license_key: id PK;
    product_id: number "product_id",
    activation_limit: number "activation_limit",
    validity: number "validity",
    status: text "status",
    owner: owner OWNER,
    assigned_at: optional_time "assigned_at",
    order: order ORDER,
    replaced_by: optional_license_key "replaced_by",
    created_at: time "created_at",
    updated_at: time "updated_at",
    id: number "id",
    version: number "version",
    assignment_id: optional_text "assignment_id",
    creation_id: optional_text "creation_id",
    draw: optional_text DRAW,
}

/// The key of the item, and the index's hash key of a license key in stock.
fn start_of(key: &LicenseKeyRecord) -> Writer {
    let stock = key.draw.map(|_| stock_of(key.product_id));
    Writer::at(Key::license_key(&key.license_key)).optional_text(STOCK, stock)
}

/// Replaces a key, if it still has the version of `seen`.
pub(crate) fn license_key_change(seen: &LicenseKeyRecord, next: &LicenseKeyRecord) -> Write {
    Write::put(next.item()).when("#version = :seen", [(":seen", number(seen.version))])
}
