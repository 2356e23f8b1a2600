//! The writes of a sale to single license keys: forward from the stock to the owner, and back.

use keypool_domain::{Assignment, AttemptId, LicenseKeyRecord, OwnerField, Status, StockPosition};

use crate::dynamo::{IS_NEW, Write};
use crate::record::{
    DRAW, Key, ListedKey, ORDER, OpenRequest, Record as _, STOCK, number, order_of, stock_of, text,
};

/// Reserves a key for an assignment, if it is as it was read. Stores a fresh key.
pub(super) fn reserve(key: &LicenseKeyRecord, assignment: &Assignment) -> Write {
    if key.version == 0 {
        return store(key, assignment, Status::Reserved);
    }
    let values = [(":available", text(Status::Available)), (":seen", number(key.version))];
    let update = Write::update(Key::license_key(&key.license_key))
        .when("#status = :available AND #version = :seen", values);
    leave_stock(update, key, assignment).set("status", text(Status::Reserved))
}

/// Assigns a key to its owner, if it is as it was read. Stores a fresh key. A repetition finds the key
/// assigned and unchanged since, and changes nothing.
pub(super) fn assign(key: &LicenseKeyRecord, assignment: &Assignment) -> Write {
    const FOR_SALE_OR_SOLD: &str = "(#status = :available AND #version = :seen) \
        OR (#assignment_id = :mine AND #version = :next AND #status = :assigned)";
    if key.version == 0 {
        return store(key, assignment, Status::Assigned);
    }
    let update = Write::update(Key::license_key(&key.license_key)).when(
        FOR_SALE_OR_SOLD,
        [
            (":available", text(Status::Available)),
            (":assigned", text(Status::Assigned)),
            (":seen", number(key.version)),
            (":next", number(key.version + 1)),
            (":mine", text(&assignment.id)),
        ],
    );
    give_to_owner(leave_stock(update, key, assignment), assignment)
}

/// Hands a reserved key over to its owner.
pub(super) fn hand_over(key: &ListedKey, assignment: &Assignment) -> Write {
    let update = Write::update(Key::license_key(&key.license_key)).set("version", number(key.seen + 2));
    give_to_owner(when_reserved(update, key, &assignment.id), assignment)
}

/// Puts a reserved key back into the stock, at this position. Deletes a fresh key.
pub(super) fn undo(key: &ListedKey, open: &OpenRequest, position: StockPosition) -> Write {
    let at = Key::license_key(&key.license_key);
    if key.seen == 0 {
        return when_reserved(Write::delete(at), key, &open.attempt);
    }
    when_reserved(Write::update(at), key, &open.attempt)
        .set("status", text(Status::Available))
        .set(STOCK, text(stock_of(open.product_id)))
        .set(DRAW, text(position))
        .set("version", number(key.seen + 2))
        .remove("assignment_id")
}

/// Makes a write require that the key has been reserved for this attempt since it was listed.
fn when_reserved(write: Write, key: &ListedKey, attempt: &AttemptId) -> Write {
    write.when(
        "#status = :reserved AND #assignment_id = :attempt AND #version = :reserved_at",
        [
            (":reserved", text(Status::Reserved)),
            (":attempt", text(attempt)),
            (":reserved_at", number(key.seen + 1)),
        ],
    )
}

fn store(key: &LicenseKeyRecord, assignment: &Assignment, status: Status) -> Write {
    let (id, version) = (Some(assignment.id.clone()), 1);
    let mut key = LicenseKeyRecord { status, assignment_id: id, version, draw: None, ..key.clone() };
    if status == Status::Assigned {
        (key.owner, key.assigned_at) = (assignment.owner.clone(), Some(assignment.at));
        key.order.clone_from(&assignment.order);
    }
    Write::put(key.item()).when(IS_NEW, [])
}

/// Takes a key out of the index, and so out of the stock.
fn leave_stock(update: Write, key: &LicenseKeyRecord, assignment: &Assignment) -> Write {
    let update = update.set("assignment_id", text(&assignment.id)).set("version", number(key.version + 1));
    update.remove(STOCK).remove(DRAW)
}

fn give_to_owner(update: Write, assignment: &Assignment) -> Write {
    let field = |field: &Option<OwnerField>| field.as_ref().map(|field| text(field.as_str()));
    let order = assignment.order.as_ref();
    let [reference, sold_by] = ORDER;
    update
        .set("status", text(Status::Assigned))
        .set("assigned_at", text(assignment.at))
        .set("updated_at", text(assignment.at))
        // A key may have been stored with another owner.
        .set_or_remove("owner_name", field(&assignment.owner.name))
        .set_or_remove("owner_email", field(&assignment.owner.email))
        .set_or_remove(reference, order.map(|order| text(order_of(&order.reference))))
        .set_or_remove(sold_by, order.and_then(|order| order.sold_by).map(text))
}
