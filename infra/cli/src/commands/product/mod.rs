mod create;
mod update;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use keypool_domain::{Activity, Product as DomainProduct, ProductId};
use keypool_store::Store;

pub(super) use self::update::apply;
use crate::difference::NOTHING;
use crate::exit::Exit;
use crate::output::{Output, Table};
use crate::target::Target;
use crate::view;

#[derive(Debug, Subcommand)]
pub(crate) enum Product {
    /// Create a product
    #[command(after_help = "Examples:\n  \
        keypool product create --name \"Office 2026\" --id 42\n  \
        keypool product create --name \"Office 2026\" --json | jq .id\n\n\
        Costs 6 write units, and 1 more without --id.")]
    Create(create::Create),
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
    Update(update::Update),
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

impl Product {
    pub(crate) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        match self {
            Self::Create(create) => create.run(target, output).await,
            Self::List => list(&target.store, output).await,
            Self::Show(which) => show(&find(&target.store, which.id).await?, output),
            Self::Update(update) => update.run(target, output).await,
            Self::Enable(which) => switch(which.id, Activity::Active, target, output).await,
            Self::Disable(which) => switch(which.id, Activity::Inactive, target, output).await,
        }
    }
}

/// Reads the current product with this id.
pub(super) async fn find(store: &Store, id: ProductId) -> anyhow::Result<DomainProduct> {
    store.find::<DomainProduct>(id).await?.with_context(|| format!("there is no product {id}"))
}

async fn switch(id: ProductId, to: Activity, target: &Target, output: Output) -> anyhow::Result<Exit> {
    let before = find(&target.store, id).await?;
    let after = DomainProduct { activity: to, ..before.clone() };
    let action = if after.is_active() { "product.enable" } else { "product.disable" };
    apply(action, [&before, &after], None, target, output).await
}

fn show(product: &DomainProduct, output: Output) -> anyhow::Result<Exit> {
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
    let signed_by = product.signing_key_id.as_ref();
    let text = format!(
        "product      {}\nname         {}\nstatus       {}\ngenerator    {}\nsigning key  {}",
        product.id,
        product.name.as_str(),
        product.activity,
        or_nothing(product.generator_id.map(|id| id.to_string())),
        signed_by.map_or_else(|| "the global one".to_owned(), ToString::to_string),
    );
    output.result(&text, &view::product(product))?;
    Ok(Exit::Done)
}

async fn list(store: &Store, output: Output) -> anyhow::Result<Exit> {
    let row = |product: &DomainProduct| {
        [
            product.id.to_string(),
            product.name.as_str().to_owned(),
            product.activity.to_string(),
            product.generator_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            product.signing_key_id.as_ref().map_or_else(|| "global".to_owned(), ToString::to_string),
        ]
    };
    let products = store.list::<DomainProduct>().await?;
    let mut table = Table::new(["ID", "NAME", "STATUS", "GENERATOR", "SIGNING KEY"]);
    for product in &products {
        table.row(row(product));
    }
    output.table(&table, products.iter().map(view::product).collect())?;
    Ok(Exit::Done)
}
