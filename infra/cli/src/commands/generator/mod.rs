mod change;

use anyhow::bail;
use clap::{Args, Subcommand};
use keypool_domain::{Activity, AuditEntry, ChunkSystem, Generator, GeneratorId, Method};
use keypool_store::{Counter, NewGeneratorOutcome, Store};
use serde_json::{Value, json};

use crate::commands::catalogue::{Numbered, Resource, find, list, show, switch};
use crate::difference::or_nothing;
use crate::exit::Exit;
use crate::output::{Column, Output};
use crate::target::Target;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a generator; its product uses it if it has none
    #[command(after_help = "Examples:\n  \
        keypool generator create --product 42 --validity 365\n  \
        keypool generator create --product 42 --method chunk-system --chunk-length 5 --prefix OFF-\n\n\
        Costs 1 read unit, 6 write units, 2 more if the product uses it, and 1 more without --id.")]
    Create(change::Create),
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
    Update(change::Update),
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

impl Command {
    pub(crate) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        match self {
            Self::Create(create) => create.run(target, output).await,
            Self::List => list::<Generator>(target, output).await,
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
    async fn find(&self, target: &Target) -> anyhow::Result<Generator> {
        find(&target.store, self.id).await
    }
}

impl Resource for Generator {
    const NOUN: &'static str = "generator";
    const ACTION: &'static str = "generator";
    const COLUMNS: &'static [Column<Self>] = &[
        ("ID", |generator| generator.id.to_string()),
        ("PRODUCT", |generator| generator.product_id.to_string()),
        ("STATUS", |generator| generator.activity.to_string()),
        ("METHOD", |generator| generator.method.as_str().to_owned()),
        ("POSSIBLE KEYS", possible_keys),
        ("ACTIVATION LIMIT", |generator| generator.activation_limit.to_string()),
        ("VALIDITY (DAYS)", |generator| generator.validity.to_string()),
    ];

    fn activity_mut(&mut self) -> &mut Activity {
        &mut self.activity
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("generator", self.id.to_string()),
            ("product", self.product_id.to_string()),
            ("status", self.activity.to_string()),
            ("method", self.method.as_str().to_owned()),
        ];
        if let Method::ChunkSystem(chunks) = &self.method {
            let ChunkSystem { charset, number_of_chunks, chunk_length } = chunks;
            fields.push(("chunks", format!("{number_of_chunks} of {chunk_length} characters")));
            fields.push(("charset", charset.to_string()));
        }
        fields.extend([
            ("possible keys", possible_keys(self)),
            ("prefix", or_nothing(Some(&self.prefix))),
            ("suffix", or_nothing(Some(&self.suffix))),
            ("activation limit", self.activation_limit.to_string()),
            ("validity", format!("{} days", self.validity)),
        ]);
        fields
    }

    fn json(&self) -> Value {
        let mut value = json!({
            "id": self.id,
            "product_id": self.product_id,
            "status": self.activity.as_str(),
            "method": self.method.as_str(),
            "prefix": self.prefix,
            "suffix": self.suffix,
            "activation_limit": self.activation_limit,
            "validity": self.validity,
        });
        if let Method::ChunkSystem(chunks) = &self.method {
            value["charset"] = json!(chunks.charset.to_string());
            value["number_of_chunks"] = json!(chunks.number_of_chunks);
            value["chunk_length"] = json!(chunks.chunk_length);
        }
        value
    }
}

fn possible_keys(generator: &Generator) -> String {
    format!("2^{:.0}", generator.method.key_space_bits())
}

impl Numbered for Generator {
    const COUNTER: Counter = Counter::Generator;

    fn id_mut(&mut self) -> &mut GeneratorId {
        &mut self.id
    }

    async fn insert(&self, store: &Store, entry: &AuditEntry) -> anyhow::Result<Option<String>> {
        let product = self.product_id;
        match store.create_generator(self, Some(entry)).await? {
            NewGeneratorOutcome::Created { is_default: true } => {
                Ok(Some(format!("; product {product} uses it now")))
            }
            NewGeneratorOutcome::Created { is_default: false } => {
                Ok(Some(format!("; product {product} keeps its present generator")))
            }
            NewGeneratorOutcome::UnknownProduct => bail!("there is no product {product}"),
            NewGeneratorOutcome::Exists => Ok(None),
        }
    }
}
