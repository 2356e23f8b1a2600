//! The demo data that the first run of the embedded stack sets up.

use std::collections::BTreeSet;

use keypool_aws::FailedCall;
use keypool_domain::{
    ActivationLimit, Activity, ApiKey, ApiKeyRecord, ApiKeySettings, Charset, ChunkSystem, Endpoint,
    Generator, GeneratorId, Method, Product, ProductId, SigningKeyId, Validity,
};
use keypool_signing::Signer;
use keypool_store::{Store, StoreError};

/// The demo's API key, which the contract's samples use. It opens all endpoints.
pub const API_KEY: &str = "2964c3c9-0b5d-4d89-b3ac-4668f30bc492";
/// The alias of the global signing key.
pub const GLOBAL_SIGNING_KEY: &str = "alias/keypool";
/// The alias of product 2's own signing key.
pub const PRODUCT_SIGNING_KEY: &str = "alias/keypool-product-2";

/// The error for a demo that could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// KMS failed.
    #[error(transparent)]
    Signing(#[from] FailedCall),
    /// A part of the demo is not valid.
    #[error("a part of the demo is not valid: {0}")]
    Invalid(String),
}

/// Reads one of the demo's own texts.
fn read<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, DemoError> {
    text.parse().map_err(|error| DemoError::Invalid(format!("{text}: {error}")))
}

/// The global signing key's id.
pub fn global_signing_key() -> Result<SigningKeyId, DemoError> {
    read(GLOBAL_SIGNING_KEY)
}

/// Creates the signing keys and the demo. Existing records do not change, so that every start can
/// repeat it, also after an interruption.
pub async fn provision(store: &Store, signer: &Signer) -> Result<(), DemoError> {
    for (alias, description) in [
        (GLOBAL_SIGNING_KEY, "keypool: signs for every product without a key of its own"),
        (PRODUCT_SIGNING_KEY, "keypool: signs for product 2"),
    ] {
        signer.ensure_alias(&read(alias)?, description).await?;
    }
    for (id, name, signing_key_id) in [
        ("1", "Demo", None),
        ("2", "Demo with a signing key of its own", Some(read(PRODUCT_SIGNING_KEY)?)),
        ("3", "Demo without a generator", None),
    ] {
        let product = Product {
            id: read(id)?,
            name: read(name)?,
            activity: Activity::Active,
            generator_id: None,
            signing_key_id,
        };
        store.create(&product, None).await?;
    }
    store.create_generator(&generator("1", "1", Method::Uuid)?, None).await?;
    let chunks =
        ChunkSystem { charset: read::<Charset>("0123456789ABCDEF")?, number_of_chunks: 4, chunk_length: 4 };
    store.create_generator(&generator("2", "2", Method::ChunkSystem(chunks))?, None).await?;
    let api_key = ApiKeyRecord {
        hash: read::<ApiKey>(API_KEY)?.hash(),
        name: read("demo")?,
        activity: Activity::Active,
        capabilities: BTreeSet::from(Endpoint::ALL),
        networks: vec![],
        valid_until: None,
        settings: ApiKeySettings::default(),
    };
    store.create(&api_key, None).await?;
    Ok(())
}

fn generator(id: &str, product_id: &str, method: Method) -> Result<Generator, DemoError> {
    let generator = Generator {
        id: read::<GeneratorId>(id)?,
        product_id: read::<ProductId>(product_id)?,
        activity: Activity::Active,
        method,
        prefix: String::new(),
        suffix: String::new(),
        activation_limit: read::<ActivationLimit>("1")?,
        validity: read::<Validity>("365")?,
    };
    generator.check().map_err(|error| DemoError::Invalid(error.to_string()))?;
    Ok(generator)
}
