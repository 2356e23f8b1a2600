//! Changes of what an operator has set up. Each is made only if the record is as the operator saw it: every attribute is
//! compared in the write itself. So two operators who change the same record do not undo each other's work unseen, and
//! records of any age can be changed, since nothing is counted in them.

use aws_sdk_dynamodb::types::{ConditionCheck, TransactWriteItem};
use keypool_domain::{
    ApiKeyHash, ApiKeyRecord, AuditEntry, Generator, GeneratorId, Product, ProductId, RetiredKey,
};

use crate::dynamo::change::{Change, Changed};
use crate::dynamo::transact::{Obstacle, Transacted, put};
use crate::dynamo::unbuilt;
use crate::record::{
    Item, Key, Kind, api_key_item, generator_item, number, product_item, read_api_key, read_generator,
    read_product,
};
use crate::{Store, StoreError};

/// What became of a change of a generator or an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// It is made, and noted.
    Updated,
    /// There is no such record; nothing was written.
    Unknown,
    /// The record is not as it was seen: somebody else has changed it. Nothing was written.
    ChangedMeanwhile,
}

/// What became of a change of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProductOutcome {
    /// It is made, and noted.
    Updated,
    /// There is no such product; nothing was written.
    Unknown,
    /// The product is not as it was seen: somebody else has changed it. Nothing was written.
    ChangedMeanwhile,
    /// The generator it was to have is not there, or makes keys of another product; nothing was written.
    NotItsGenerator,
}

const OPERATION: &str = "TransactWriteItems";

impl Store {
    /// A product, with all that was written to it before. 1 read unit.
    pub async fn product(&self, id: ProductId) -> Result<Option<Product>, StoreError> {
        self.read_one(Key::product(id)).await?.as_ref().map(read_product).transpose()
    }

    /// A generator, with all that was written to it before. 1 read unit.
    pub async fn generator(&self, id: GeneratorId) -> Result<Option<Generator>, StoreError> {
        self.read_one(Key::generator(id)).await?.as_ref().map(read_generator).transpose()
    }

    /// An API key's record, with all that was written to it before. 1 read unit.
    pub async fn api_key(&self, hash: ApiKeyHash) -> Result<Option<ApiKeyRecord>, StoreError> {
        self.read_one(Key::api_key(hash)).await?.as_ref().map(read_api_key).transpose()
    }

    /// Makes of the product `before` the product `after`, of the same id, and notes it. With `retired`, the public half of the
    /// signing key it had is kept by the same write. 1 read unit and 4 write units; 4 more with `retired`, 2 more
    /// with a generator.
    pub async fn update_product(
        &self,
        before: &Product,
        after: &Product,
        retired: Option<&RetiredKey>,
        audit: &AuditEntry,
    ) -> Result<ProductOutcome, StoreError> {
        let key = Key::product(before.id);
        let Some(seen) = self.read_one(key.clone()).await? else { return Ok(ProductOutcome::Unknown) };
        if read_product(&seen)? != *before {
            return Ok(ProductOutcome::ChangedMeanwhile);
        }
        let change = Change::of_record(key, &seen, &product_item(before), &product_item(after));
        let mut writes = vec![change.into_write(&self.table)?];
        if let Some(retired) = retired {
            writes.extend(self.retirement(retired)?);
        }
        let generator = after.generator_id.filter(|_| after.generator_id != before.generator_id);
        if let Some(generator) = generator {
            writes.push(self.is_generator_of(generator, after.id)?);
        }
        let Transacted::Refused(obstacles) = self.transact_audited(writes, audit).await? else {
            return Ok(ProductOutcome::Updated);
        };
        Ok(match obstacles.first() {
            Some(of_product) if of_product.is_there() => match of_product.item() {
                Some(_) => ProductOutcome::ChangedMeanwhile,
                None => ProductOutcome::Unknown,
            },
            _ if generator.is_some() => ProductOutcome::NotItsGenerator,
            // Another key was retired at the very same microsecond.
            _ => ProductOutcome::ChangedMeanwhile,
        })
    }

    /// Makes of the generator `before` the generator `after`, of the same id and product, and notes it. 1 read unit and 4 write
    /// units.
    pub async fn update_generator(
        &self,
        before: &Generator,
        after: &Generator,
        audit: &AuditEntry,
    ) -> Result<UpdateOutcome, StoreError> {
        let key = Key::generator(before.id);
        let Some(seen) = self.read_one(key.clone()).await? else { return Ok(UpdateOutcome::Unknown) };
        if read_generator(&seen)? != *before {
            return Ok(UpdateOutcome::ChangedMeanwhile);
        }
        self.update(key, &seen, [generator_item(before), generator_item(after)], audit).await
    }

    /// Makes of the API key `before` the API key `after`, of the same hash, and notes it. 1 read unit and 4 write units.
    pub async fn update_api_key(
        &self,
        before: &ApiKeyRecord,
        after: &ApiKeyRecord,
        audit: &AuditEntry,
    ) -> Result<UpdateOutcome, StoreError> {
        let key = Key::api_key(before.hash);
        let Some(seen) = self.read_one(key.clone()).await? else { return Ok(UpdateOutcome::Unknown) };
        if read_api_key(&seen)? != *before {
            return Ok(UpdateOutcome::ChangedMeanwhile);
        }
        self.update(key, &seen, [api_key_item(before), api_key_item(after)], audit).await
    }

    async fn update(
        &self,
        key: Key,
        seen: &Item,
        [before, after]: [Item; 2],
        audit: &AuditEntry,
    ) -> Result<UpdateOutcome, StoreError> {
        let change = Change::of_record(key, seen, &before, &after);
        Ok(match self.change_audited(change, audit).await? {
            Changed::Done => UpdateOutcome::Updated,
            Changed::Refused(Some(_)) => UpdateOutcome::ChangedMeanwhile,
            Changed::Refused(None) => UpdateOutcome::Unknown,
        })
    }

    /// Stores the API key `successor`, makes of the one it follows, `before`, what is to become of it, `after`, and notes it, all or
    /// none: at no moment is there neither. 1 read unit and 8 write units.
    pub async fn rotate_api_key(
        &self,
        before: &ApiKeyRecord,
        after: &ApiKeyRecord,
        successor: &ApiKeyRecord,
        audit: &AuditEntry,
    ) -> Result<UpdateOutcome, StoreError> {
        let key = Key::api_key(before.hash);
        let Some(seen) = self.read_one(key.clone()).await? else { return Ok(UpdateOutcome::Unknown) };
        if read_api_key(&seen)? != *before {
            return Ok(UpdateOutcome::ChangedMeanwhile);
        }
        let change = Change::of_record(key, &seen, &api_key_item(before), &api_key_item(after));
        let entry = Key::catalogue(Kind::ApiKey, successor.hash);
        let writes = vec![
            change.into_write(&self.table)?,
            put(&self.table, api_key_item(successor), Some("attribute_not_exists(#pk)"))?,
            put(&self.table, entry.into_item(), None)?,
        ];
        Ok(match self.transact_audited(writes, audit).await? {
            Transacted::Committed => UpdateOutcome::Updated,
            Transacted::Refused(obstacles) => match obstacles.first().and_then(Obstacle::item) {
                Some(_) => UpdateOutcome::ChangedMeanwhile,
                None => UpdateOutcome::Unknown,
            },
        })
    }

    /// The condition that a generator makes keys of that product.
    fn is_generator_of(
        &self,
        id: GeneratorId,
        product_id: ProductId,
    ) -> Result<TransactWriteItem, StoreError> {
        let check = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(Key::generator(id).into_item()))
            .condition_expression("product_id = :product")
            .expression_attribute_values(":product", number(product_id))
            .build()
            .map_err(|_| unbuilt(OPERATION))?;
        Ok(TransactWriteItem::builder().condition_check(check).build())
    }
}
