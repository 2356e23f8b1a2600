//! Records that an operator sets up and changes one by one. The transaction that creates a product, a
//! generator or an API key also writes an entry under `CATALOGUE#<kind>`. So a list needs no scan of the
//! table, which holds every key ever sold.
//!
//! An update compares every attribute in the write itself. So two operators who change the same record do not
//! overwrite each other's work, and records of any age can be changed.

use keypool_domain::{ApiKeyRecord, AuditEntry, Generator, LicenseKeyRecord, Product, RetiredKey};

use crate::dynamo::{IS_NEW, Obstacle, Query, Write, Written, contention};
use crate::record::{Catalogued, Item, Key, SK, catalogue_pk, license_key_change, number, text_of};
use crate::{Store, StoreError};

/// The result of creating a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateOutcome {
    /// It is stored.
    Created,
    /// Nothing was written: a record of that id exists.
    Exists,
}

/// The result of creating a generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewGeneratorOutcome {
    /// It is stored.
    Created {
        /// True if it became the generator of its product, which had none.
        is_default: bool,
    },
    /// Nothing was written: a generator of that id exists.
    Exists,
    /// Nothing was written: its product does not exist.
    UnknownProduct,
}

/// The result of updating a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// The record and the audit entry are written.
    Updated,
    /// Nothing was written: there is no such record.
    Unknown,
    /// Nothing was written: another writer has changed the record since it was read.
    ChangedMeanwhile,
    /// Nothing was written: the product's new generator does not exist, or makes keys of another product.
    NotItsGenerator,
}

impl From<Written> for UpdateOutcome {
    fn from(written: Written) -> Self {
        if written.is_done() { Self::Updated } else { Self::ChangedMeanwhile }
    }
}

impl Store {
    /// Stores a record and its catalogue entry, with an audit entry if there is one. 4 write units, 2 more
    /// for the audit entry.
    pub async fn create<T: Catalogued>(
        &self,
        record: &T,
        audit: Option<&AuditEntry>,
    ) -> Result<CreateOutcome, StoreError> {
        self.create_with(record, None, audit).await
    }

    /// Stores a generator as [`Store::create`] does. It becomes the generator of its product if the product
    /// has none.
    pub async fn create_generator(
        &self,
        generator: &Generator,
        audit: Option<&AuditEntry>,
    ) -> Result<NewGeneratorOutcome, StoreError> {
        let Some(product) = self.find::<Product>(generator.product_id).await? else {
            return Ok(NewGeneratorOutcome::UnknownProduct);
        };
        let is_default = product.generator_id.is_none();
        let product_has_none = Write::update(Key::new(Product::KIND, product.id))
            .when("attribute_exists(#pk) AND attribute_not_exists(#generator_id)", [])
            .set("generator_id", number(generator.id));
        let audit = audit.cloned().map(|mut audit| {
            if let Some(after) = audit.after.as_mut().filter(|_| is_default) {
                after["becomes_generator_of"] = generator.product_id.get().into();
            }
            audit
        });
        let product = is_default.then_some(product_has_none);
        Ok(match self.create_with(generator, product, audit.as_ref()).await? {
            CreateOutcome::Created => NewGeneratorOutcome::Created { is_default },
            CreateOutcome::Exists => NewGeneratorOutcome::Exists,
        })
    }

    async fn create_with<T: Catalogued>(
        &self,
        record: &T,
        also: Option<Write>,
        audit: Option<&AuditEntry>,
    ) -> Result<CreateOutcome, StoreError> {
        let [record, entry] = creation(record);
        let writes = [record, entry].into_iter().chain(also);
        match self.transact_audited(writes, audit).await? {
            Written::Done => Ok(CreateOutcome::Created),
            Written::Refused(obstacles) => match obstacles.first() {
                Some(Obstacle::Condition(_)) => Ok(CreateOutcome::Exists),
                // The product got a generator at the same moment.
                _ => Err(contention("TransactWriteItems")),
            },
        }
    }

    /// Reads all records of a kind, with every earlier write. 1 read unit for 4 KB of entries, and 1 for each
    /// record.
    pub async fn list<T: Catalogued>(&self) -> Result<Vec<T>, StoreError> {
        let key = |entry: &str| entry.parse().ok().map(|id: T::Id| Key::new(T::KIND, id));
        let items = self.listed(T::KIND, key).await?;
        let mut records = items.iter().map(T::read).collect::<Result<Vec<_>, _>>()?;
        records.sort_by(|a, b| a.position().cmp(&b.position()));
        Ok(records)
    }

    /// Reads one record, with every earlier write. 1 read unit.
    pub async fn find<T: Catalogued>(&self, id: T::Id) -> Result<Option<T>, StoreError> {
        self.get(Key::new(T::KIND, id)).await?.as_ref().map(T::read).transpose()
    }

    /// Replaces `before` with `after` (same id) and records the change in the audit trail. 1 read unit and 4
    /// write units.
    pub async fn update<T: Catalogued>(
        &self,
        before: &T,
        after: &T,
        audit: &AuditEntry,
    ) -> Result<UpdateOutcome, StoreError> {
        self.update_with(before, after, Vec::new(), audit).await
    }

    /// Replaces product `before` with `after` as [`Store::update`] does. With `retired`, the same transaction
    /// keeps the public half of the former signing key: 4 write units more. A new generator is checked: 2
    /// more.
    pub async fn update_product(
        &self,
        before: &Product,
        after: &Product,
        retired: Option<&RetiredKey>,
        audit: &AuditEntry,
    ) -> Result<UpdateOutcome, StoreError> {
        let mut also: Vec<Write> = retired.into_iter().flat_map(Self::retirement).collect();
        if let Some(generator) = after.generator_id.filter(|_| after.generator_id != before.generator_id) {
            let makes_its_keys = [(":product", number(after.id))];
            also.push(
                Write::check(Key::new(Generator::KIND, generator))
                    .when("#product_id = :product", makes_its_keys),
            );
            return Ok(match self.update_with(before, after, also, audit).await? {
                // The product is unchanged, so the check failed.
                UpdateOutcome::ChangedMeanwhile if self.find(before.id).await?.as_ref() == Some(before) => {
                    UpdateOutcome::NotItsGenerator
                }
                outcome => outcome,
            });
        }
        self.update_with(before, after, also, audit).await
    }

    /// Stores the API key `successor` and replaces its predecessor `before` with `after`, in one transaction:
    /// at every moment one of them is valid. 1 read unit and 8 write units.
    pub async fn rotate_api_key(
        &self,
        before: &ApiKeyRecord,
        after: &ApiKeyRecord,
        successor: &ApiKeyRecord,
        audit: &AuditEntry,
    ) -> Result<UpdateOutcome, StoreError> {
        self.update_with(before, after, creation(successor).into(), audit).await
    }

    async fn update_with<T: Catalogued>(
        &self,
        before: &T,
        after: &T,
        also: Vec<Write>,
        audit: &AuditEntry,
    ) -> Result<UpdateOutcome, StoreError> {
        let key = Key::new(T::KIND, before.id());
        let Some(seen) = self.get(key.clone()).await? else { return Ok(UpdateOutcome::Unknown) };
        if T::read(&seen)? != *before {
            return Ok(UpdateOutcome::ChangedMeanwhile);
        }
        let update = Write::update_record(key, &seen, &before.item(), &after.item());
        let writes = [update].into_iter().chain(also);
        Ok(match self.transact_audited(writes, Some(audit)).await? {
            Written::Done => UpdateOutcome::Updated,
            Written::Refused(obstacles) => match obstacles.first() {
                Some(Obstacle::Condition(None)) => UpdateOutcome::Unknown,
                _ => UpdateOutcome::ChangedMeanwhile,
            },
        })
    }

    /// Changes a key from `seen` to `next` and writes the audit entry, in one transaction. Its condition is
    /// the version, which rises with every change of a key. 4 write units, and 2 of the index if the key
    /// enters or leaves the stock.
    pub async fn change_key(
        &self,
        seen: &LicenseKeyRecord,
        next: &LicenseKeyRecord,
        entry: &AuditEntry,
    ) -> Result<UpdateOutcome, StoreError> {
        self.transact_audited([license_key_change(seen, next)], Some(entry)).await.map(Into::into)
    }

    /// Reads the records of all catalogue entries of a kind; `key` finds a record by its entry.
    pub(super) async fn listed(
        &self,
        kind: &'static str,
        key: impl Fn(&str) -> Option<Key>,
    ) -> Result<Vec<Item>, StoreError> {
        let entries = self.query(Query::collection(catalogue_pk(kind))).await?;
        let corrupt = StoreError::Corrupt { record: "catalogue", attribute: SK };
        let key = |entry: &Item| {
            text_of(entry, SK).and_then(&key).map(Key::into_item).ok_or_else(|| corrupt.clone())
        };
        self.get_many(entries.iter().map(key).collect::<Result<_, _>>()?, true).await
    }
}

/// A new record and its catalogue entry.
fn creation<T: Catalogued>(record: &T) -> [Write; 2] {
    let entry = Key::catalogue(T::KIND, format!("{:0>10}", record.id().to_string()));
    [Write::put(record.item()).when(IS_NEW, []), Write::put(entry.into_item())]
}
