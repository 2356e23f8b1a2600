use std::fmt;

/// One request of a buyer, or of whoever fills the stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What is asked for.
    pub what: What,
    /// The product it is about.
    pub product: u32,
    /// To whom keys are to be given: no two orders have the same.
    pub owner: String,
    /// The validity that created keys are to have: no two orders have the same.
    pub mark: u32,
    /// The header `Idempotency-Key`.
    pub idempotency_key: Option<String>,
}

/// What an order asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// These keys are to be created.
    Create(Vec<String>),
    /// So many are to be made.
    Generate(usize),
    /// This key is to be given to the owner.
    Assign(String),
    /// The owner of this key is to get another one in its place.
    Replace {
        /// The key.
        license_key: String,
        /// Whether the other one is to be made if there is none in stock.
        generate: bool,
    },
    /// So many are to be drawn and given to the owner.
    Buy {
        /// How many.
        quantity: usize,
        /// Whether they are to be made if there are not enough.
        generate: bool,
    },
    /// The same, by a queued order.
    Queue {
        /// How many.
        quantity: usize,
        /// Whether they are to be made if there are not enough.
        generate: bool,
        /// Where the callback goes.
        webhook_url: String,
    },
}

impl Order {
    /// The endpoint it goes to.
    #[must_use]
    pub fn endpoint(&self) -> &'static str {
        match self.what {
            What::Create(_) => "create-license-keys",
            What::Generate(_) => "generate",
            What::Assign(_) => "assign-license-key",
            What::Replace { .. } => "replace-license-key",
            What::Buy { .. } => "random-assign-license-keys",
            What::Queue { .. } => "random-assign-license-keys-queued",
        }
    }

    /// What a queued order calls itself: no two orders have the same.
    #[must_use]
    pub fn identifier(&self) -> String {
        self.mark.to_string()
    }

    /// Its parameters. A product's generator has the product's number.
    ///
    /// # Panics
    /// Never: texts can be written as JSON.
    #[must_use]
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let product = ("product_id", self.product.to_string());
        let owner = ("owner_name", self.owner.clone());
        match &self.what {
            What::Create(keys) => vec![
                ("license_keys", serde_json::to_string(keys).unwrap()),
                product,
                ("activation_limit", "1".to_owned()),
                ("validity", self.mark.to_string()),
                ("status", "available".to_owned()),
            ],
            What::Generate(quantity) => {
                vec![("generator_id", self.product.to_string()), ("quantity", quantity.to_string())]
            }
            What::Assign(license_key) => vec![("license_key", license_key.clone()), owner],
            What::Replace { license_key, generate } => vec![
                ("license_key", license_key.clone()),
                ("reason", "does not activate".to_owned()),
                ("generate", u8::from(*generate).to_string()),
            ],
            What::Buy { quantity, generate } => vec![
                product,
                ("quantity", quantity.to_string()),
                ("generate", u8::from(*generate).to_string()),
                owner,
            ],
            What::Queue { quantity, generate, webhook_url } => vec![
                product,
                ("quantity", quantity.to_string()),
                ("generate", u8::from(*generate).to_string()),
                owner,
                ("identifier", self.identifier()),
                ("webhook_url", webhook_url.clone()),
            ],
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { product, owner, .. } = self;
        match &self.what {
            What::Create(keys) => write!(f, "creation of {} keys of product {product}", keys.len()),
            What::Generate(quantity) => write!(f, "generation of {quantity} keys of product {product}"),
            What::Assign(license_key) => write!(f, "assignment of {license_key}"),
            What::Replace { license_key, generate } => {
                write!(f, "replacement of {license_key}, generate {generate},")
            }
            What::Buy { quantity, generate: false } => {
                write!(f, "order of {quantity} keys of product {product}")
            }
            What::Buy { quantity, generate: true } => {
                write!(f, "order of {quantity} keys of product {product}, made if need be,")
            }
            What::Queue { quantity, generate, .. } => {
                write!(f, "queued order of {quantity} keys of product {product}, generate {generate},")
            }
        }?;
        write!(f, " by {owner}")?;
        match &self.idempotency_key {
            Some(key) => write!(f, " (Idempotency-Key {key})"),
            None => Ok(()),
        }
    }
}
