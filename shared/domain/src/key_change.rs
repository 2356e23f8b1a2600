//! Changes of a license key by an operator or a shop.

use crate::requests::UpdateLicenseKey;
use crate::{
    Assignment, AttemptId, LicenseKey, LicenseKeyRecord, Owner, Randomness, Status, StockPosition, Timestamp,
    ValidationErrors,
};

/// The reason why a license key does not allow a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowedInStatus {
    /// The change does not apply to its status.
    #[error("it is {0}")]
    Is(Status),
    /// A large order holds it at this moment: the order will sell it, or return it to stock.
    #[error("an order holds it at this moment; try again in a minute")]
    BeingSold,
}

/// The reason why a shop's change of a license key is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyUpdateRefusal {
    /// 951: the key does not allow the change.
    Incorrect(ValidationErrors),
    /// A large order holds the key at this moment.
    HeldByOrder,
}

impl LicenseKeyRecord {
    /// Applies a shop's change to the key. Values that the request does not give stay.
    ///
    /// A key that had an owner returns to stock only if the request takes it from the owner. It then has no
    /// owner.
    pub fn updated(
        &self,
        request: &UpdateLicenseKey,
        now: Timestamp,
        randomness: &(impl Randomness + ?Sized),
    ) -> Result<Self, KeyUpdateRefusal> {
        let mut errors = ValidationErrors::default();
        if request.product_id.is_some_and(|id| id != self.product_id) {
            errors.report("product_id", "cannot be changed");
        }
        let status = request.status.unwrap_or(self.status);
        let returns_to_stock = status == Status::Available && self.status != Status::Available;
        if returns_to_stock && self.has_owner() && !request.take_from_owner {
            errors.report(
                "status",
                "must not be available, because the license key was given to an owner; with take_from_owner = 1 \
                 it goes back into stock",
            );
        }
        if !errors.is_empty() {
            return Err(KeyUpdateRefusal::Incorrect(errors));
        }
        let mut key = match status {
            _ if status == self.status => self.changed(now),
            Status::Available => self.in_stock(now, randomness),
            _ => self.changed(now).map(|key| Self { status, draw: None, ..key }),
        }
        .map_err(|_| KeyUpdateRefusal::HeldByOrder)?;
        if status == Status::Assigned && self.status != Status::Assigned {
            key.assigned_at = self.assigned_at.or(Some(now));
            key.assignment_id = Some(AttemptId::random(randomness));
        }
        key.assigned_at = request.assigned_at.or(key.assigned_at);
        key.owner.name = request.owner.name.clone().or(key.owner.name);
        key.owner.email = request.owner.email.clone().or(key.owner.email);
        key.activation_limit = request.activation_limit.unwrap_or(key.activation_limit);
        key.validity = request.validity.unwrap_or(key.validity);
        Ok(key)
    }

    /// The key after `successor` replaced it: blocked, with the same owner. `None` if it is not assigned, or
    /// was replaced before.
    #[must_use]
    pub fn replaced_by(&self, successor: &LicenseKey, now: Timestamp) -> Option<Self> {
        if self.status != Status::Assigned || self.replaced_by.is_some() {
            return None;
        }
        let replaced_by = Some(successor.clone());
        Some(Self { status: Status::Blocked, replaced_by, ..self.changed(now).ok()? })
    }

    /// Returns true if somebody got it, from keypool or before it was stored. Such a key is sold only after
    /// it is taken from its owner.
    #[must_use]
    pub fn has_owner(&self) -> bool {
        self.status == Status::Assigned
            || self.assigned_at.is_some()
            || self.owner.name.is_some()
            || self.owner.email.is_some()
    }

    /// Blocks the key. Its owner stays known.
    pub fn blocked(&self, now: Timestamp) -> Result<Self, NotAllowedInStatus> {
        match self.status {
            Status::Blocked => Err(NotAllowedInStatus::Is(Status::Blocked)),
            _ => Ok(Self { status: Status::Blocked, draw: None, ..self.changed(now)? }),
        }
    }

    /// Unblocks the key: assigns it to its owner if it has one, else returns it to stock.
    pub fn unblocked(
        &self,
        now: Timestamp,
        randomness: &(impl Randomness + ?Sized),
    ) -> Result<Self, NotAllowedInStatus> {
        match self.status {
            Status::Blocked if self.has_owner() => Ok(Self {
                status: Status::Assigned,
                assigned_at: self.assigned_at.or(Some(now)),
                ..self.changed(now)?
            }),
            Status::Blocked => self.in_stock(now, randomness),
            other => Err(NotAllowedInStatus::Is(other)),
        }
    }

    /// Returns the key to stock: takes it from its owner, or ends its reservation. A former owner still knows
    /// it.
    pub fn released(
        &self,
        now: Timestamp,
        randomness: &(impl Randomness + ?Sized),
    ) -> Result<Self, NotAllowedInStatus> {
        match self.status {
            Status::Assigned | Status::Reserved => self.in_stock(now, randomness),
            other => Err(NotAllowedInStatus::Is(other)),
        }
    }

    /// Assigns an available or reserved key to an owner, on behalf of an operator.
    pub fn given(&self, assignment: Assignment) -> Result<Self, NotAllowedInStatus> {
        match self.status {
            Status::Available | Status::Reserved => Ok(Self {
                status: Status::Assigned,
                owner: assignment.owner,
                assigned_at: Some(assignment.at),
                order: assignment.order,
                assignment_id: Some(assignment.id),
                draw: None,
                ..self.changed(assignment.at)?
            }),
            other => Err(NotAllowedInStatus::Is(other)),
        }
    }

    /// The same key without its owner's name and address. It still has an owner, so it does not return to
    /// stock.
    pub fn without_owner(&self, now: Timestamp) -> Result<Self, NotAllowedInStatus> {
        Ok(Self { owner: Owner::erased(), ..self.changed(now)? })
    }

    fn in_stock(
        &self,
        now: Timestamp,
        randomness: &(impl Randomness + ?Sized),
    ) -> Result<Self, NotAllowedInStatus> {
        Ok(Self {
            status: Status::Available,
            owner: Owner::default(),
            assigned_at: None,
            order: None,
            replaced_by: None,
            assignment_id: None,
            draw: Some(StockPosition::random(randomness)),
            ..self.changed(now)?
        })
    }

    /// The key with its next version. A key that an order holds must not change, because the order's write
    /// names the version that it read.
    fn changed(&self, now: Timestamp) -> Result<Self, NotAllowedInStatus> {
        if self.status == Status::Reserved && self.assignment_id.is_some() {
            return Err(NotAllowedInStatus::BeingSold);
        }
        Ok(Self { version: self.version + 1, updated_at: now, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AttemptId, NewKey, OperatingSystemRandomness as Random, ProductId, RowId};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_microseconds(seconds * 1_000_000).unwrap()
    }

    fn key(status: Status) -> LicenseKeyRecord {
        let new = NewKey {
            license_key: "A".parse().unwrap(),
            product_id: ProductId::MIN,
            activation_limit: "0".parse().unwrap(),
            validity: "0".parse().unwrap(),
            status,
            owner: Owner::default(),
            assigned_at: None,
            order: None,
            assignment_id: None,
            creation_id: None,
        };
        new.into_record(RowId::MIN, at(1), &Random)
    }

    fn assignment() -> Assignment {
        let owner = Owner { name: Some("Ada".parse().unwrap()), email: None };
        Assignment::new(owner, at(2), &Random)
    }

    #[test]
    fn every_change_of_a_key_raises_its_version() {
        let available = key(Status::Available);
        let given = available.given(assignment()).unwrap();
        assert_eq!((given.status, given.draw, given.assigned_at), (Status::Assigned, None, Some(at(2))));
        let blocked = given.blocked(at(3)).unwrap();
        assert_eq!((blocked.status, &blocked.owner), (Status::Blocked, &given.owner));
        let unblocked = blocked.unblocked(at(4), &Random).unwrap();
        assert_eq!((unblocked.status, &unblocked.owner), (Status::Assigned, &given.owner));
        let released = unblocked.released(at(5), &Random).unwrap();
        assert_eq!((released.status, &released.owner), (Status::Available, &Owner::default()));
        assert_eq!((released.assigned_at, released.assignment_id.clone()), (None, None));
        assert!(released.draw.is_some() && released.draw != available.draw);
        assert_eq!((released.version, released.updated_at), (available.version + 4, at(5)));
        let back = released.blocked(at(6)).unwrap();
        assert_eq!(back.draw, None);
        assert_eq!(back.unblocked(at(7), &Random).unwrap().status, Status::Available);
    }

    fn update(parameters: &[(&str, &str)]) -> UpdateLicenseKey {
        let given = [("license_key", "A")].iter().chain(parameters);
        let text = |value: &&str| crate::Value::Text((*value).to_owned());
        let given: crate::Parameters = given.map(|(name, value)| ((*name).to_owned(), text(value))).collect();
        UpdateLicenseKey::try_from(&given).unwrap()
    }

    #[test]
    fn an_update_changes_what_it_names() {
        let given = key(Status::Available).given(assignment()).unwrap();
        let change = update(&[
            ("owner_email", "ada@example.com"),
            ("validity", "30"),
            ("activation_limit", "2"),
            ("status", "blocked"),
            ("assigned_at", "2024-01-08 21:17:32"),
            ("product_id", "1"),
        ]);
        let updated = given.updated(&change, at(9), &Random).unwrap();
        let expected = LicenseKeyRecord {
            owner: Owner { email: "ada@example.com".parse().ok(), ..given.owner.clone() },
            validity: "30".parse().unwrap(),
            activation_limit: "2".parse().unwrap(),
            status: Status::Blocked,
            assigned_at: Timestamp::from_rfc3339("2024-01-08T21:17:32Z"),
            updated_at: at(9),
            version: given.version + 1,
            ..given
        };
        assert_eq!(updated, expected);
    }

    #[test]
    fn an_update_takes_a_key_from_its_owner_only_on_request() {
        let refusal = |key: &LicenseKeyRecord, change: &[(&str, &str)]| {
            key.updated(&update(change), at(9), &Random).map(|key| key.status)
        };
        let given = key(Status::Available).given(assignment()).unwrap();
        let blocked = given.blocked(at(3)).unwrap();
        for sold in [&given, &blocked] {
            let refused = refusal(sold, &[("status", "available"), ("product_id", "2")]);
            let Err(KeyUpdateRefusal::Incorrect(errors)) = refused else { panic!("{refused:?}") };
            let errors = serde_json::to_value(errors).unwrap();
            assert_eq!(errors["product_id"][0], "The product_id field cannot be changed.");
            assert_eq!(errors.as_object().unwrap().len(), 2);
        }
        let taken = update(&[("status", "available"), ("take_from_owner", "1")]);
        let back = blocked.updated(&taken, at(9), &Random).unwrap();
        assert_eq!(
            (back.status, &back.owner, back.assigned_at),
            (Status::Available, &Owner::default(), None)
        );
        assert!(back.draw.is_some());
        assert_eq!(refusal(&key(Status::Blocked), &[("status", "available")]), Ok(Status::Available));
    }

    #[test]
    fn an_update_to_assigned_takes_the_key_out_of_stock() {
        let available = key(Status::Available);
        let sold = available.updated(&update(&[("status", "assigned")]), at(9), &Random).unwrap();
        assert_eq!((sold.status, sold.draw, sold.assigned_at), (Status::Assigned, None, Some(at(9))));
        assert!(sold.assignment_id.is_some());
        let held = LicenseKeyRecord { assignment_id: sold.assignment_id, ..key(Status::Reserved) };
        let refused = held.updated(&update(&[("validity", "1")]), at(9), &Random);
        assert_eq!(refused, Err(KeyUpdateRefusal::HeldByOrder));
    }

    #[test]
    fn a_key_is_replaced_once_and_only_while_it_is_assigned() {
        let successor = "B".parse().unwrap();
        let given = key(Status::Available).given(assignment()).unwrap();
        let replaced = given.replaced_by(&successor, at(9)).unwrap();
        let expected = LicenseKeyRecord {
            status: Status::Blocked,
            replaced_by: Some(successor.clone()),
            updated_at: at(9),
            version: given.version + 1,
            ..given
        };
        assert_eq!(replaced, expected);
        let back = replaced.unblocked(at(10), &Random).unwrap();
        for other in [key(Status::Available), key(Status::Blocked), key(Status::Reserved), replaced, back] {
            assert_eq!(other.replaced_by(&successor, at(11)), None);
        }
    }

    #[test]
    fn a_key_that_was_stored_as_blocked_keeps_its_owner() {
        let owner = assignment().owner;
        let blocked = LicenseKeyRecord { owner: owner.clone(), ..key(Status::Blocked) };
        let unblocked = blocked.unblocked(at(2), &Random).unwrap();
        assert_eq!((unblocked.status, unblocked.draw), (Status::Assigned, None));
        assert_eq!((unblocked.owner, unblocked.assigned_at), (owner, Some(at(2))));
    }

    #[test]
    fn a_change_that_does_not_fit_the_status_is_refused() {
        let available = key(Status::Available);
        assert_eq!(available.unblocked(at(2), &Random), Err(NotAllowedInStatus::Is(Status::Available)));
        assert_eq!(available.released(at(2), &Random), Err(NotAllowedInStatus::Is(Status::Available)));
        let blocked = available.blocked(at(2)).unwrap();
        assert_eq!(blocked.blocked(at(3)), Err(NotAllowedInStatus::Is(Status::Blocked)));
        assert_eq!(blocked.given(assignment()), Err(NotAllowedInStatus::Is(Status::Blocked)));
        assert_eq!(blocked.released(at(3), &Random), Err(NotAllowedInStatus::Is(Status::Blocked)));
    }

    #[test]
    fn a_key_that_an_order_holds_cannot_be_changed() {
        let set_aside = key(Status::Reserved);
        assert_eq!(set_aside.released(at(2), &Random).unwrap().status, Status::Available);
        let held = LicenseKeyRecord { assignment_id: Some(AttemptId::random(&Random)), ..set_aside };
        assert_eq!(held.blocked(at(2)), Err(NotAllowedInStatus::BeingSold));
        assert_eq!(held.released(at(2), &Random), Err(NotAllowedInStatus::BeingSold));
        assert_eq!(held.given(assignment()), Err(NotAllowedInStatus::BeingSold));
    }
}
