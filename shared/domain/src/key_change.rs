//! What an operator may do to a license key, and what becomes of it.

use crate::{Assignment, LicenseKeyRecord, Owner, Randomness, Status, StockPosition, Timestamp};

/// Why a license key is not fit for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowedInStatus {
    /// Its status is not one that the change begins with.
    #[error("it is {0}")]
    Is(Status),
    /// A large order holds it at this moment: it is about to be sold, or to go back into stock.
    #[error("an order holds it at this moment; in a minute that is decided")]
    BeingSold,
}

impl LicenseKeyRecord {
    /// Whether it was given to somebody, here or where it came from. Such a key is not sold unless it is taken from them.
    #[must_use]
    pub fn has_owner(&self) -> bool {
        self.status == Status::Assigned
            || self.assigned_at.is_some()
            || self.owner.name.is_some()
            || self.owner.email.is_some()
    }

    /// Out of use. Whose it is stays known.
    pub fn blocked(&self, now: Timestamp) -> Result<Self, NotAllowedInStatus> {
        match self.status {
            Status::Blocked => Err(NotAllowedInStatus::Is(Status::Blocked)),
            _ => Ok(Self { status: Status::Blocked, draw: None, ..self.changed(now)? }),
        }
    }

    /// In use again: its owner's if it has one, else in stock.
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

    /// Back in stock: taken from its owner, or no longer set aside. Whoever had it knows it still.
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

    /// Given to an owner by an operator: out of stock, or of what was set aside.
    pub fn given(&self, assignment: Assignment) -> Result<Self, NotAllowedInStatus> {
        match self.status {
            Status::Available | Status::Reserved => Ok(Self {
                status: Status::Assigned,
                owner: assignment.owner,
                assigned_at: Some(assignment.at),
                assignment_id: Some(assignment.id),
                draw: None,
                ..self.changed(assignment.at)?
            }),
            other => Err(NotAllowedInStatus::Is(other)),
        }
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
            assignment_id: None,
            draw: Some(StockPosition::random(randomness)),
            ..self.changed(now)?
        })
    }

    /// The next version. An order that has the key reserved asks for the one it knows, so nothing may move it meanwhile.
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
            assignment_id: None,
            creation_id: None,
        };
        new.into_record(RowId::MIN, at(1), &Random)
    }

    fn assignment() -> Assignment {
        let owner = Owner { name: Some("Ada".parse().unwrap()), email: None };
        Assignment { id: AttemptId::random(&Random), owner, at: at(2) }
    }

    #[test]
    fn a_key_goes_round_and_its_version_rises() {
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

    #[test]
    fn a_key_that_was_blocked_when_it_came_is_its_owners_still() {
        let owner = assignment().owner;
        let blocked = LicenseKeyRecord { owner: owner.clone(), ..key(Status::Blocked) };
        let unblocked = blocked.unblocked(at(2), &Random).unwrap();
        assert_eq!((unblocked.status, unblocked.draw), (Status::Assigned, None));
        assert_eq!((unblocked.owner, unblocked.assigned_at), (owner, Some(at(2))));
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let available = key(Status::Available);
        assert_eq!(available.unblocked(at(2), &Random), Err(NotAllowedInStatus::Is(Status::Available)));
        assert_eq!(available.released(at(2), &Random), Err(NotAllowedInStatus::Is(Status::Available)));
        let blocked = available.blocked(at(2)).unwrap();
        assert_eq!(blocked.blocked(at(3)), Err(NotAllowedInStatus::Is(Status::Blocked)));
        assert_eq!(blocked.given(assignment()), Err(NotAllowedInStatus::Is(Status::Blocked)));
        assert_eq!(blocked.released(at(3), &Random), Err(NotAllowedInStatus::Is(Status::Blocked)));
    }

    #[test]
    fn a_key_that_an_order_holds_is_left_alone() {
        let set_aside = key(Status::Reserved);
        assert_eq!(set_aside.released(at(2), &Random).unwrap().status, Status::Available);
        let held = LicenseKeyRecord { assignment_id: Some(AttemptId::random(&Random)), ..set_aside };
        assert_eq!(held.blocked(at(2)), Err(NotAllowedInStatus::BeingSold));
        assert_eq!(held.released(at(2), &Random), Err(NotAllowedInStatus::BeingSold));
        assert_eq!(held.given(assignment()), Err(NotAllowedInStatus::BeingSold));
    }
}
