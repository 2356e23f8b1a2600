use keypool_domain::requests::RandomAssignLicenseKeys;
use keypool_domain::{Assignment, AssignmentId, Product, Reply, StockedKey};
use keypool_function::{FunctionError, Invocation, SignedReply};
use keypool_store::{Claim, OpenOrder, Recording, Store};

/// One request for a number of keys.
pub(crate) struct Sale<'a> {
    pub(crate) invocation: &'a Invocation,
    pub(crate) asked: RandomAssignLicenseKeys,
    pub(crate) product: Product,
    pub(crate) claim: Option<Claim>,
}

/// What became of an attempt to take keys out of the stock.
pub(crate) enum Outcome {
    /// They are the owner's.
    Assigned(SignedReply),
    /// There are fewer.
    TooFew { available: usize },
}

impl Sale<'_> {
    pub(crate) fn store(&self) -> &Store {
        self.invocation.desk().store()
    }

    pub(crate) fn quantity(&self) -> usize {
        usize::from(self.asked.quantity.get())
    }

    /// Whether it takes more keys than one transaction gives away.
    pub(crate) fn is_large(&self) -> bool {
        self.quantity() > self.store().transaction_keys_max()
    }

    /// A fresh assignment to the owner, now.
    pub(crate) fn assignment(&self) -> Assignment {
        Assignment {
            id: AssignmentId::random(self.invocation.desk().randomness()),
            owner: self.asked.owner.clone(),
            at: self.invocation.now(),
        }
    }

    /// Signs a reply about the product.
    pub(crate) async fn sign_reply(&self, reply: &Reply) -> Result<SignedReply, FunctionError> {
        self.invocation.sign_reply(reply, self.product.signing_key_id.as_ref()).await
    }

    /// Signs the reply that hands the keys over.
    pub(crate) async fn sign_rows(
        &self,
        keys: &[StockedKey],
        assignment: &Assignment,
    ) -> Result<SignedReply, FunctionError> {
        let rows = keys.iter().map(|key| key.row(assignment)).collect();
        self.sign_reply(&Reply::LicenseKeysAssigned(rows)).await
    }

    /// What finishes the claim, if there is one.
    pub(crate) fn recording<'a>(&'a self, answer: &'a SignedReply) -> Option<Recording<'a>> {
        answer.recording(self.claim.as_ref())
    }

    /// Brings those of the orders to their end that were given up.
    pub(crate) async fn recover(&self, orders: &[OpenOrder]) -> Result<(), FunctionError> {
        let now = self.invocation.now();
        for order in orders.iter().filter(|order| order.is_given_up(now)) {
            self.store().recover(order, now).await?;
        }
        Ok(())
    }
}
