use clap::{ArgGroup, Args, Subcommand};
use keypool_domain::{Activity, AuditEntry, GeneratorId, Name, Product, ProductId, SigningKeyId};
use keypool_store::{Counter, CreateOutcome, Store};
use serde_json::{Value, json};

use crate::commands::catalogue::{self, Numbered, Resource, find, list, show, switch};
use crate::commands::signing_key;
use crate::difference::or_nothing;
use crate::exit::Exit;
use crate::output::{Column, Output};
use crate::target::Target;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a product
    #[command(after_help = "Examples:\n  \
        keypool product create --name \"Office 2026\" --id 42\n  \
        keypool product create --name \"Office 2026\" --json | jq .id\n\n\
        Costs 6 write units, and 1 more without --id.")]
    Create(Create),
    /// List all products
    #[command(after_help = "Examples:\n  \
        keypool product list\n  \
        keypool product list --json | jq -r '.[] | select(.status == \"active\") | .id'\n\n\
        Costs a read unit for each product.")]
    List,
    /// Show a product
    #[command(after_help = "Example:\n  keypool product show 42\n\nCosts 1 read unit.")]
    Show(Which),
    /// Change a product's name, its generator or its signing key
    #[command(after_help = "Examples:\n  \
        keypool product update 42 --name \"Office 2027\"\n  \
        keypool product update 42 --generator 7\n  \
        keypool product update 42 --no-signing-key    # the global key signs again\n\n\
        Warm functions may use the old data for up to 60 seconds.\n\
        Costs 1 read unit and 4 write units, 6 more if the generator or the signing key changes.")]
    Update(Update),
    /// Put a product back on sale
    #[command(after_help = "Example:\n  \
        keypool product enable 42\n\n\
        Warm functions may refuse it for up to 60 more seconds.\n\
        Costs 1 read unit and 4 write units.")]
    Enable(Which),
    /// Take a product off sale: to shops it does not exist; its stock stays
    #[command(after_help = "Example:\n  \
        keypool product disable 42\n\n\
        Warm functions may still sell it for up to 60 seconds.\n\
        Costs 1 read unit and 4 write units.")]
    Disable(Which),
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The product's id in the shop
    #[arg(value_name = "ID")]
    id: ProductId,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The name of the product
    #[arg(long)]
    name: Name,
    /// The product's id in the shop [default: the next free one]
    #[arg(long, value_name = "NUMBER")]
    id: Option<ProductId>,
    /// The product's own KMS key (id, ARN or alias; `RSA_2048`, `SIGN_VERIFY`) [default: the global key]
    #[arg(long, value_name = "KEY")]
    signing_key: Option<SigningKeyId>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true)
    .args(["name", "generator", "no_generator", "signing_key", "no_signing_key"]))]
pub(crate) struct Update {
    /// The product's id in the shop
    #[arg(value_name = "ID")]
    id: ProductId,
    /// The name of the product
    #[arg(long)]
    name: Option<Name>,
    /// The generator for an empty stock; it must belong to this product
    #[arg(long, value_name = "ID", conflicts_with = "no_generator")]
    generator: Option<GeneratorId>,
    /// Remove the generator: with an empty stock the product is sold out
    #[arg(long)]
    no_generator: bool,
    /// The KMS key that signs for the product; the public half of the former key is kept
    #[arg(long, value_name = "KEY", conflicts_with = "no_signing_key")]
    signing_key: Option<SigningKeyId>,
    /// Remove the product's own signing key: the global key signs
    #[arg(long)]
    no_signing_key: bool,
}

impl Command {
    pub(crate) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        match self {
            Self::Create(create) => create.run(target, output).await,
            Self::List => list::<Product>(target, output).await,
            Self::Show(which) => show(&which.find(target).await?, output),
            Self::Update(update) => update.run(target, output).await,
            Self::Enable(which) => switch(which.find(target).await?, Activity::Active, target, output).await,
            Self::Disable(which) => {
                switch(which.find(target).await?, Activity::Inactive, target, output).await
            }
        }
    }
}

impl Which {
    async fn find(&self, target: &Target) -> anyhow::Result<Product> {
        find(&target.store, self.id).await
    }
}

impl Create {
    async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        if let Some(key) = &self.signing_key {
            signing_key::fit(target, key).await?;
        }
        let product = Product {
            id: self.id.unwrap_or(ProductId::MIN),
            name: self.name.clone(),
            activity: Activity::Active,
            generator_id: None,
            signing_key_id: self.signing_key.clone(),
        };
        catalogue::create(product, self.id, target, output).await
    }
}

impl Update {
    async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        if let Some(key) = &self.signing_key {
            signing_key::fit(target, key).await?;
        }
        let before: Product = find(&target.store, self.id).await?;
        let after = self.changed(before.clone());
        let retired = signing_key::retired(target, &before, &after).await?;
        catalogue::update_product("product.update", [&before, &after], retired.as_ref(), target, output).await
    }

    fn changed(&self, mut product: Product) -> Product {
        if let Some(name) = &self.name {
            product.name = name.clone();
        }
        if self.generator.is_some() || self.no_generator {
            product.generator_id = self.generator;
        }
        if self.signing_key.is_some() || self.no_signing_key {
            product.signing_key_id.clone_from(&self.signing_key);
        }
        product
    }
}

impl Resource for Product {
    const NOUN: &'static str = "product";
    const ACTION: &'static str = "product";
    const COLUMNS: &'static [Column<Self>] = &[
        ("ID", |product| product.id.to_string()),
        ("NAME", |product| product.name.as_str().to_owned()),
        ("STATUS", |product| product.activity.to_string()),
        ("GENERATOR", |product| or_nothing(product.generator_id)),
        ("SIGNING KEY", |product| signed_by(product, "global")),
    ];

    fn activity_mut(&mut self) -> &mut Activity {
        &mut self.activity
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        vec![
            ("product", self.id.to_string()),
            ("name", self.name.as_str().to_owned()),
            ("status", self.activity.to_string()),
            ("generator", or_nothing(self.generator_id)),
            ("signing key", signed_by(self, "the global one")),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name.as_str(),
            "status": self.activity.as_str(),
            "generator_id": self.generator_id,
            "signing_key": self.signing_key_id.as_ref().map(ToString::to_string),
        })
    }
}

fn signed_by(product: &Product, global: &str) -> String {
    product.signing_key_id.as_ref().map_or_else(|| global.to_owned(), ToString::to_string)
}

impl Numbered for Product {
    const COUNTER: Counter = Counter::Product;

    fn id_mut(&mut self) -> &mut ProductId {
        &mut self.id
    }

    async fn insert(&self, store: &Store, entry: &AuditEntry) -> anyhow::Result<Option<String>> {
        let created = store.create(self, Some(entry)).await?;
        Ok((created == CreateOutcome::Created).then(String::new))
    }
}
