use keypool_domain::{Product, ProductId, SigningKeyId, Timestamp};
use keypool_signing::PublicKey;
use serde_json::{Value, json};

use crate::difference::NOTHING;
use crate::exit::Exit;
use crate::moment::to_the_second;
use crate::output::{BAD, Output, Table};
use crate::target::Target;

/// A current or former signing key, of a product or global.
pub(super) struct Listed {
    pub(super) product_id: Option<ProductId>,
    pub(super) key: SigningKeyId,
    pub(super) retired_at: Option<Timestamp>,
    /// The public half, or the error on reading it.
    pub(super) public_key: anyhow::Result<PublicKey>,
}

/// Collects all signing keys: the current ones, the global key first, then the former ones.
pub(super) async fn all(target: &Target) -> anyhow::Result<Vec<Listed>> {
    let mut listed = Vec::new();
    let global = target.global_signing_key.iter().map(|key| (None, key.clone()));
    let products = target.store.list::<Product>().await?;
    let own = products.iter().filter_map(|product| Some((Some(product.id), product.signing_key_id.clone()?)));
    for (product_id, key) in global.chain(own) {
        let public_key = target.signer.public_key(&key).await.map_err(anyhow::Error::from);
        listed.push(Listed { product_id, key, retired_at: None, public_key });
    }
    for retired in target.store.retired_keys().await? {
        listed.push(Listed {
            product_id: retired.product_id,
            key: retired.signing_key_id,
            retired_at: Some(retired.retired_at),
            public_key: PublicKey::from_der(retired.public_key_der).map_err(anyhow::Error::from),
        });
    }
    Ok(listed)
}

/// Lists the current and the former signing keys.
pub(super) async fn list(target: &Target, output: Output) -> anyhow::Result<Exit> {
    let all = all(target).await?;
    let mut table = Table::new(["SIGNS FOR", "KEY", "THUMBPRINT", "RETIRED"]);
    for listed in &all {
        table.row([
            listed.product_id.map_or_else(|| "global".to_owned(), |id| format!("product {id}")),
            listed.key.to_string(),
            match &listed.public_key {
                Ok(key) => key.thumbprint(),
                Err(error) => format!("{BAD}{error}{BAD:#}"),
            },
            listed.retired_at.map_or_else(|| NOTHING.to_owned(), to_the_second),
        ]);
    }
    output.table(&table, all.iter().map(value_of).collect())?;
    if target.global_signing_key.is_none() {
        output.note("The global key is unknown: give --stack or --global-signing-key.");
    }
    // A signing key without a public half is a fault that stops sales.
    let sound = all.iter().all(|listed| listed.public_key.is_ok());
    Ok(if sound { Exit::Done } else { Exit::DoesNotHold })
}

fn value_of(listed: &Listed) -> Value {
    json!({
        "product_id": listed.product_id,
        "signing_key": listed.key.as_str(),
        "retired_at": listed.retired_at.map(|at| at.to_string()),
        "kid": listed.public_key.as_ref().ok().map(PublicKey::thumbprint),
        "fault": listed.public_key.as_ref().err().map(|error| format!("{error:#}")),
    })
}
