mod create;
mod update;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use keypool_domain::{Activity, Generator as DomainGenerator, GeneratorId, Method};
use keypool_store::Store;

use self::update::apply;
use crate::difference::NOTHING;
use crate::exit::Exit;
use crate::output::{Output, Table};
use crate::target::Target;
use crate::view;

#[derive(Debug, Subcommand)]
pub(crate) enum Generator {
    /// Create a generator; its product uses it if it has none
    #[command(after_help = "Examples:\n  \
        keypool generator create --product 42 --validity 365\n  \
        keypool generator create --product 42 --method chunk-system --chunk-length 5 --prefix OFF-\n\n\
        Costs 1 read unit, 6 write units, 2 more if the product uses it, and 1 more without --id.")]
    Create(create::Create),
    /// List all generators
    #[command(after_help = "Examples:\n  \
        keypool generator list\n  \
        keypool generator list --json | jq '.[] | select(.product_id == 42)'\n\n\
        Costs a read unit for each generator.")]
    List,
    /// Show a generator
    #[command(after_help = "Example:\n  keypool generator show 7\n\nCosts 1 read unit.")]
    Show(Which),
    /// Change a generator; keys that it made before do not change
    #[command(after_help = "Examples:\n  \
        keypool generator update 7 --validity 730\n  \
        keypool generator update 7 --prefix OFF27- --chunk-length 6\n  \
        keypool generator update 7 --suffix \"\"    # none\n\n\
        Warm functions may use the old data for up to 60 seconds.\n\
        Costs 1 read unit and 4 write units.")]
    Update(update::Update),
    /// Enable a generator again
    #[command(after_help = "Example:\n  \
        keypool generator enable 7\n\n\
        Warm functions may treat it as disabled for up to 60 more seconds.\n\
        Costs 1 read unit and 4 write units.")]
    Enable(Which),
    /// Disable a generator: to shops it does not exist, and its product sells only keys in stock
    #[command(after_help = "Example:\n  \
        keypool generator disable 7\n\n\
        Warm functions may still use it for up to 60 seconds.\n\
        Costs 1 read unit and 4 write units.")]
    Disable(Which),
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The generator's id
    #[arg(value_name = "ID")]
    id: GeneratorId,
}

impl Generator {
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

/// Reads the current generator with this id.
async fn find(store: &Store, id: GeneratorId) -> anyhow::Result<DomainGenerator> {
    store.find::<DomainGenerator>(id).await?.with_context(|| format!("there is no generator {id}"))
}

async fn switch(id: GeneratorId, to: Activity, target: &Target, output: Output) -> anyhow::Result<Exit> {
    let before = find(&target.store, id).await?;
    let after = DomainGenerator { activity: to, ..before.clone() };
    let action = if after.is_active() { "generator.enable" } else { "generator.disable" };
    apply(action, [&before, &after], target, output).await
}

fn show(generator: &DomainGenerator, output: Output) -> anyhow::Result<Exit> {
    let or_nothing = |text: &str| if text.is_empty() { NOTHING.to_owned() } else { text.to_owned() };
    let chunks = match &generator.method {
        Method::Uuid => String::new(),
        Method::ChunkSystem(chunks) => format!(
            "\nchunks            {} of {} characters\ncharset           {}",
            chunks.number_of_chunks, chunks.chunk_length, chunks.charset
        ),
    };
    let text = format!(
        "generator         {}\nproduct           {}\nstatus            {}\nmethod            {}{chunks}\n\
         possible keys     2^{:.0}\nprefix            {}\nsuffix            {}\nactivation limit  {}\n\
         validity          {} days",
        generator.id,
        generator.product_id,
        generator.activity,
        generator.method.as_str(),
        generator.method.key_space_bits(),
        or_nothing(&generator.prefix),
        or_nothing(&generator.suffix),
        generator.activation_limit,
        generator.validity,
    );
    output.result(&text, &view::generator(generator))?;
    Ok(Exit::Done)
}

async fn list(store: &Store, output: Output) -> anyhow::Result<Exit> {
    let row = |generator: &DomainGenerator| {
        [
            generator.id.to_string(),
            generator.product_id.to_string(),
            generator.activity.to_string(),
            generator.method.as_str().to_owned(),
            format!("2^{:.0}", generator.method.key_space_bits()),
            generator.activation_limit.to_string(),
            generator.validity.to_string(),
        ]
    };
    let generators = store.list::<DomainGenerator>().await?;
    let mut table = Table::new([
        "ID",
        "PRODUCT",
        "STATUS",
        "METHOD",
        "POSSIBLE KEYS",
        "ACTIVATION LIMIT",
        "VALIDITY (DAYS)",
    ]);
    for generator in &generators {
        table.row(row(generator));
    }
    output.table(&table, generators.iter().map(view::generator).collect())?;
    Ok(Exit::Done)
}
