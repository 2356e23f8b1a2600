use std::fmt;

/// One request of a buyer or of the shop that fills the stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The content of the request.
    pub what: What,
    /// The product.
    pub product: u32,
    /// The owner of the keys, unique to this order.
    pub owner: String,
    /// The validity of the created keys, unique to this order.
    pub mark: u32,
    /// The header `Idempotency-Key`.
    pub idempotency_key: Option<String>,
}

/// The content of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Creates these keys.
    Create(Vec<String>),
    /// Generates this number of keys.
    Generate(usize),
    /// Assigns this key to the owner.
    Assign(String),
    /// Replaces this key by another for the same owner.
    Replace {
        /// The key.
        license_key: String,
        /// True if a key is generated when the stock is empty.
        generate: bool,
    },
    /// Draws keys and assigns them to the owner.
    Buy {
        /// The number of keys.
        quantity: usize,
        /// True if keys are generated when stock is short.
        generate: bool,
    },
    /// Does the same by a queued order.
    Queue {
        /// The number of keys.
        quantity: usize,
        /// True if keys are generated when stock is short.
        generate: bool,
        /// The URL of the callback.
        webhook_url: String,
    },
}

impl Order {
    /// The endpoint of the request.
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

    /// The identifier of a queued order, unique to this order.
    #[must_use]
    pub fn identifier(&self) -> String {
        self.mark.to_string()
    }

    /// The parameters. A product's generator has the product's number.
    ///
    /// # Panics
    /// Never: texts have a JSON form.
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
                write!(f, "order of {quantity} keys of product {product}, generated if stock is short,")
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
