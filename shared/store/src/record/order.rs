use keypool_domain::{Assignment, AssignmentId, LicenseKey, Owner, OwnerField, ProductId, Timestamp};

use super::{EXPIRES_AT, Item, Key, Reader, SK, Writer, number, text};
use crate::StoreError;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderState {
    /// Keys are being reserved.
    Reserving,
    /// The keys are the owner's; not all of them may say so yet.
    Committed,
    /// Nothing will come of it; keys may still be reserved.
    Aborted,
    /// All its keys are assigned.
    Sold,
    /// None of its keys are reserved any more.
    Void,
}

impl OrderState {
    const ALL: [Self; 5] = [Self::Reserving, Self::Committed, Self::Aborted, Self::Sold, Self::Void];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Reserving => "reserving",
            Self::Committed => "committed",
            Self::Aborted => "aborted",
            Self::Sold => "sold",
            Self::Void => "void",
        }
    }
}

/// Where the keys of an order come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The stock: what is undone goes back there.
    Stock,
    /// A generator: what is undone is deleted.
    Generator,
}

impl Origin {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Generator => "generator",
        }
    }
}

/// An order as the table has it.
pub(crate) struct OrderRecord {
    pub(crate) product_id: ProductId,
    pub(crate) assignment: Assignment,
    pub(crate) state: OrderState,
    pub(crate) origin: Origin,
}

/// What the entry of an open order tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOrder {
    /// Which order.
    pub(crate) id: AssignmentId,
    /// Whose keys it reserves.
    pub(crate) product_id: ProductId,
    /// When its buyer first asked: who came first goes first.
    pub(crate) since: Timestamp,
    /// From when on it is given up, and anyone may bring it to its end, in Unix microseconds.
    pub(crate) lease_until: i64,
    /// The claim it was made under, if any.
    pub(crate) claim: Option<String>,
}

/// A key that an order may have reserved, and its version before that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedKey {
    pub(crate) license_key: LicenseKey,
    pub(crate) seen: u64,
}

pub(crate) fn order_item(order: &OrderRecord) -> Item {
    let owner = &order.assignment.owner;
    Writer::at(Key::order(&order.assignment.id))
        .text("state", order.state.as_str())
        .text("origin", order.origin.as_str())
        .number("product_id", order.product_id)
        .text("assigned_at", order.assignment.at)
        .optional_text("owner_name", owner.name.as_ref().map(OwnerField::as_str))
        .optional_text("owner_email", owner.email.as_ref().map(OwnerField::as_str))
        .0
}

pub(crate) fn read_order(item: &Item) -> Result<OrderRecord, StoreError> {
    let reader = Reader { item, record: "order" };
    let (state, origin) = (reader.raw("state")?, reader.raw("origin")?);
    let origins = [Origin::Stock, Origin::Generator];
    Ok(OrderRecord {
        product_id: reader.required("product_id")?,
        assignment: Assignment {
            id: reader.id()?,
            owner: Owner { name: reader.optional("owner_name")?, email: reader.optional("owner_email")? },
            at: reader.time("assigned_at")?,
        },
        state: OrderState::ALL
            .into_iter()
            .find(|known| known.as_str() == state)
            .ok_or_else(|| reader.corrupt("state"))?,
        origin: origins
            .into_iter()
            .find(|known| known.as_str() == origin)
            .ok_or_else(|| reader.corrupt("origin"))?,
    })
}

pub(crate) fn open_order_item(order: &OpenOrder) -> Item {
    Writer::at(Key::open_order(order.product_id, &order.id))
        .text("since", order.since)
        .number("lease_until", order.lease_until)
        .optional_text("claim", order.claim.as_ref())
        .0
}

pub(crate) fn read_open_order(item: &Item) -> Result<OpenOrder, StoreError> {
    let reader = Reader { item, record: "open order" };
    let (product_id, id) = reader.raw(SK)?.split_once('#').ok_or_else(|| reader.corrupt(SK))?;
    Ok(OpenOrder {
        id: id.parse().map_err(|_| reader.corrupt(SK))?,
        product_id: product_id.parse().map_err(|_| reader.corrupt(SK))?,
        since: reader.time("since")?,
        lease_until: reader.required("lease_until")?,
        claim: reader.optional("claim")?,
    })
}

pub(crate) fn part_item(id: &AssignmentId, part: usize, keys: &[ListedKey]) -> Item {
    Writer::at(Key::order_part(id, part))
        .list("license_keys", keys.iter().map(|key| text(key.license_key.as_str())).collect())
        .list("versions", keys.iter().map(|key| number(key.seen)).collect())
        .0
}

pub(crate) fn read_part(item: &Item) -> Result<Vec<ListedKey>, StoreError> {
    let reader = Reader { item, record: "order" };
    let keys = reader.elements::<LicenseKey>("license_keys")?.into_iter();
    let listed = keys.zip(reader.elements("versions")?);
    Ok(listed.map(|(license_key, seen)| ListedKey { license_key, seen }).collect())
}

/// From when on DynamoDB may delete the record of an order that has ended at `now`, in Unix seconds: long after AWS
/// takes no request any more that was signed while it was open.
pub(crate) fn order_expires_at(now: Timestamp) -> (&'static str, i64) {
    (EXPIRES_AT, now.unix_seconds() + 86_400)
}

#[cfg(test)]
mod tests {
    use keypool_domain::OperatingSystemRandomness;

    use super::*;

    #[test]
    fn an_order_its_entry_and_its_list_read_back() {
        let id = AssignmentId::random(&OperatingSystemRandomness);
        let at = Timestamp::from_unix_microseconds(1_732_388_528_829_115).unwrap();
        for (state, origin) in OrderState::ALL
            .into_iter()
            .flat_map(|state| [Origin::Stock, Origin::Generator].map(|origin| (state, origin)))
        {
            let owner = Owner { name: Some("Test User".parse().unwrap()), email: None };
            let assignment = Assignment { id: id.clone(), owner: owner.clone(), at };
            let order = OrderRecord { product_id: ProductId::MAX, assignment, state, origin };
            let read = read_order(&order_item(&order)).unwrap();
            assert_eq!((read.state, read.origin, read.product_id), (state, origin, ProductId::MAX));
            assert_eq!(
                (read.assignment.id, read.assignment.owner, read.assignment.at),
                (id.clone(), owner, at)
            );
        }
        for claim in [None, Some("c".to_owned())] {
            let product_id = ProductId::MIN;
            let open = OpenOrder { id: id.clone(), product_id, since: at, lease_until: 7, claim };
            assert_eq!(read_open_order(&open_order_item(&open)), Ok(open));
        }
        let keys = [("a#1", 1), ("ключ", 2)]
            .map(|(key, seen)| ListedKey { license_key: key.parse().unwrap(), seen });
        assert_eq!(read_part(&part_item(&id, 0, &keys)), Ok(keys.to_vec()));
    }
}
