use keypool_domain::{Assignment, LicenseKey, OwnerField, Status, StockedKey};

use crate::dynamo::Transacted;
use crate::dynamo::{Write, Written};
use crate::record::{DRAW, Item, Key, STOCK, number, read_license_key, text};
use crate::selling::claim::Recording;
use crate::{Store, StoreError};

/// What became of an attempt to give keys away: all of them or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssignOutcome {
    /// They are the owner's.
    Assigned,
    /// Nothing was written, because these keys are not what they were when they were read.
    Missed {
        /// No longer for sale: another buyer was quicker, or the index was stale.
        taken: Vec<LicenseKey>,
        /// Changed, but for sale. Read again, they may be had.
        changed: Vec<LicenseKey>,
    },
    /// Nothing was written, because another attempt at the same request has taken over.
    Superseded,
}

impl Store {
    /// Reads one key, with all that was written to it before. 1 read unit.
    pub async fn license_key(&self, license_key: &LicenseKey) -> Result<Option<StockedKey>, StoreError> {
        let item = self.get(Key::license_key(license_key)).await?;
        item.as_ref().map(read_license_key).transpose()
    }

    /// Gives `keys` (1 to [`Store::transaction_keys_max`], each as it was read) away, all or none, and takes them out
    /// of the stock; with a `recording`, the claim is finished by the same write.
    /// For one key 1 write unit and 1 of the index; for n keys, or with a recording, in one transaction, 2n and n,
    /// and 2 for each KB of the record.
    ///
    /// The same write is repeated until it is known what became of it: only a condition that does not hold says
    /// that the keys are not to be had. Repeated, it recognises its own assignment. When the last word is an
    /// error all the same, a second write finds out whether they were given away after all, and if not, sees to it
    /// that they will not be.
    pub async fn assign(
        &self,
        keys: &[StockedKey],
        assignment: &Assignment,
        recording: Option<Recording<'_>>,
    ) -> Result<AssignOutcome, StoreError> {
        let Some(first) = keys.first() else { return Ok(AssignOutcome::Assigned) };
        let write = async {
            match (keys, recording) {
                ([key], None) => self.assign_one(key, assignment).await,
                _ => self.assign_all(keys, assignment, recording).await,
            }
        };
        // On the heap: it is hardly ever needed, and large.
        let find_out = Box::pin(self.with_retries(|| self.fence_off(first, assignment)));
        self.settled(Box::pin(write), find_out).await
    }

    /// Moves the version of a key on. Whatever was sent to give it away, and is still under way, will find another
    /// version than it asks for; in a transaction one such key holds up all. If the version has moved already, the
    /// answer tells why: `Some` if by this assignment.
    async fn fence_off(
        &self,
        key: &StockedKey,
        assignment: &Assignment,
    ) -> Result<Option<AssignOutcome>, StoreError> {
        match self.write_once(fence(&key.license_key, key.version)).await? {
            Written::Refused(item) if matches!(standing(item.as_ref(), assignment), Standing::Ours) => {
                Ok(Some(AssignOutcome::Assigned))
            }
            _ => Ok(None),
        }
    }

    async fn assign_one(
        &self,
        key: &StockedKey,
        assignment: &Assignment,
    ) -> Result<AssignOutcome, StoreError> {
        Ok(match self.write(sale(key, assignment)).await? {
            Written::Done => AssignOutcome::Assigned,
            Written::Refused(item) => outcome([(key, standing(item.as_ref(), assignment))]),
        })
    }

    async fn assign_all(
        &self,
        keys: &[StockedKey],
        assignment: &Assignment,
        recording: Option<Recording<'_>>,
    ) -> Result<AssignOutcome, StoreError> {
        let recorded = recording.map(Recording::writes).unwrap_or_default();
        let writes = keys.iter().map(|key| sale(key, assignment)).chain(recorded);
        let obstacles = match self.transact(writes).await? {
            Transacted::Committed => return Ok(AssignOutcome::Assigned),
            Transacted::Refused(obstacles) => obstacles,
        };
        let (of_keys, of_recording) = obstacles.split_at(keys.len());
        if let Some(recording) = recording
            && let Some(finished) = recording.obstructed(of_recording)
        {
            let ours = if finished { AssignOutcome::Assigned } else { AssignOutcome::Superseded };
            return Ok(ours);
        }
        let obstructed = keys.iter().zip(of_keys).filter(|(_, obstacle)| obstacle.is_condition());
        Ok(outcome(obstructed.map(|(key, obstacle)| (key, standing(obstacle.item(), assignment)))))
    }
}

/// Where a key stands whose condition did not hold.
enum Standing {
    /// This very assignment gave it away; the response to that was lost.
    Ours,
    /// Somebody changed it, but it is for sale.
    ForSale,
    /// It is not for sale, or not there.
    Gone,
}

fn standing(item: Option<&Item>, assignment: &Assignment) -> Standing {
    let is = |name: &str, expected: &str| is_text(item, name, expected);
    if is("assignment_id", assignment.id.as_str()) {
        Standing::Ours
    } else if is("status", Status::Available.as_str()) {
        Standing::ForSale
    } else {
        Standing::Gone
    }
}

/// Whether an item has an attribute of this text.
pub(crate) fn is_text(item: Option<&Item>, name: &str, expected: &str) -> bool {
    let value = item.and_then(|item| item.get(name)).and_then(|value| value.as_s().ok());
    value.is_some_and(|text| text == expected)
}

/// What conditions that did not hold amount to. Keys are given away all or none, so one that is ours means that
/// all of them are.
fn outcome<'a>(standings: impl IntoIterator<Item = (&'a StockedKey, Standing)>) -> AssignOutcome {
    let (mut taken, mut changed) = (Vec::new(), Vec::new());
    for (key, standing) in standings {
        match standing {
            Standing::Ours => return AssignOutcome::Assigned,
            Standing::ForSale => changed.push(key.license_key.clone()),
            Standing::Gone => taken.push(key.license_key.clone()),
        }
    }
    AssignOutcome::Missed { taken, changed }
}

/// Moves the version of a key on that is for sale and as it was seen, and nothing else.
pub(crate) fn fence(license_key: &LicenseKey, seen: u64) -> Write {
    Write::update(Key::license_key(license_key))
        .when(
            "#status = :available AND #version = :seen",
            [(":available", text(Status::Available)), (":seen", number(seen))],
        )
        .set("version", number(seen + 1))
}

/// Gives a key away that is for sale and as it was seen. Or the sale was made before and nothing has changed since:
/// then making it again changes nothing. (`assignment_id` alone would not do: a key that was blocked after it was
/// sold would be unblocked by the repetition.)
fn sale(key: &StockedKey, assignment: &Assignment) -> Write {
    const UNSOLD_OR_OURS: &str = "(#status = :available AND #version = :seen) \
        OR (#assignment_id = :mine AND #version = :next)";
    let change = Write::update(Key::license_key(&key.license_key)).when(
        UNSOLD_OR_OURS,
        [
            (":available", text(Status::Available)),
            (":seen", number(key.version)),
            (":next", number(key.version + 1)),
            (":mine", text(&assignment.id)),
        ],
    );
    // Leaving the index takes the key out of the stock.
    given_to(change.set("assignment_id", text(&assignment.id)), key.version, assignment)
        .remove(STOCK)
        .remove(DRAW)
}

/// What a key that was at version `seen` says of its owner from now on.
pub(crate) fn given_to(change: Write, seen: u64, assignment: &Assignment) -> Write {
    let field = |field: &Option<OwnerField>| field.as_ref().map(|field| text(field.as_str()));
    change
        .set("status", text(Status::Assigned))
        .set("version", number(seen + 1))
        .set("assigned_at", text(assignment.at))
        .set("updated_at", text(assignment.at))
        // A key may have been stored with an owner; it is the buyer's now.
        .set_or_remove("owner_name", field(&assignment.owner.name))
        .set_or_remove("owner_email", field(&assignment.owner.email))
}
