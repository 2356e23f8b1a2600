use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use keypool_domain::{
    ActivationLimit, Activity, Charset, ChunkSystem, Generator, GeneratorId, Method, ProductId, Validity,
};
use keypool_store::{Counter, NewGeneratorOutcome};

use crate::commands::{IDS_TRIED_MAX, next_id};
use crate::exit::Exit;
use crate::output::Output;
use crate::target::Target;
use crate::view;

/// The capital letters and digits that do not look alike.
const UNLIKE_CHARACTERS: &str = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MethodName {
    /// Version 4 UUIDs
    Uuid,
    /// Chunks of random characters, joined by hyphens
    ChunkSystem,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The product that the keys are for
    #[arg(long, value_name = "NUMBER")]
    product: ProductId,
    /// The generator's id [default: the next free one]
    #[arg(long, value_name = "NUMBER")]
    id: Option<GeneratorId>,
    /// The method that makes a key
    #[arg(long, value_enum, default_value = "uuid")]
    method: MethodName,
    /// chunk-system: the characters of a key [default: ABCDEFGHJKLMNPQRSTUVWXYZ23456789, without look-alikes]
    #[arg(long)]
    charset: Option<Charset>,
    /// chunk-system: the number of chunks [default: 4]
    #[arg(long, value_name = "NUMBER")]
    chunks: Option<u8>,
    /// chunk-system: the number of characters in a chunk [default: 4]
    #[arg(long, value_name = "NUMBER")]
    chunk_length: Option<u8>,
    /// The text before every key
    #[arg(long, default_value = "")]
    prefix: String,
    /// The text after every key
    #[arg(long, default_value = "")]
    suffix: String,
    /// The number of times a key may be activated; 0 is unlimited
    #[arg(long, value_name = "NUMBER", default_value = "0", allow_negative_numbers = true)]
    activation_limit: ActivationLimit,
    /// The number of days a key is valid; 0 is unlimited
    #[arg(long, value_name = "DAYS", default_value = "0", allow_negative_numbers = true)]
    validity: Validity,
}

impl Create {
    pub(super) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        let store = &target.store;
        let mut generator = Generator {
            id: self.id.unwrap_or(GeneratorId::MIN),
            product_id: self.product,
            activity: Activity::Active,
            method: self.method()?,
            prefix: self.prefix.clone(),
            suffix: self.suffix.clone(),
            activation_limit: self.activation_limit,
            validity: self.validity,
        };
        generator.check().context("invalid generator")?;
        for _ in 0..IDS_TRIED_MAX {
            if self.id.is_none() {
                generator.id = next_id(store, Counter::Generator).await?;
            }
            let (id, product) = (generator.id, self.product);
            let (subject, after) = (format!("generator {id}"), view::generator(&generator));
            let entry = target.entry("generator.create", &subject, None, Some(after.clone())).await?;
            match store.create_generator(&generator, Some(&entry)).await? {
                NewGeneratorOutcome::Created { is_default } => {
                    let of_product = if is_default {
                        format!("product {product} uses it now")
                    } else {
                        format!("product {product} keeps its present generator")
                    };
                    output.result(&format!("{subject} created; {of_product}"), &after)?;
                    return Ok(Exit::Done);
                }
                NewGeneratorOutcome::UnknownProduct => bail!("there is no product {product}"),
                NewGeneratorOutcome::Exists if self.id.is_some() => {
                    bail!("generator {id} already exists")
                }
                NewGeneratorOutcome::Exists => {}
            }
        }
        bail!("no free id found: choose one with --id")
    }

    fn method(&self) -> anyhow::Result<Method> {
        let has_chunks = self.charset.is_some() || self.chunks.is_some() || self.chunk_length.is_some();
        match self.method {
            MethodName::Uuid if has_chunks => {
                bail!("--charset, --chunks and --chunk-length are for --method chunk-system")
            }
            MethodName::Uuid => Ok(Method::Uuid),
            MethodName::ChunkSystem => Ok(Method::ChunkSystem(ChunkSystem {
                charset: match &self.charset {
                    Some(charset) => charset.clone(),
                    None => UNLIKE_CHARACTERS.parse()?,
                },
                number_of_chunks: self.chunks.unwrap_or(4),
                chunk_length: self.chunk_length.unwrap_or(4),
            })),
        }
    }
}
