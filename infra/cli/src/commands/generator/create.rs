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

/// Capital letters and digits without those that look alike.
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
    /// The product whose keys it makes
    #[arg(long, value_name = "NUMBER")]
    product: ProductId,
    /// Its id; without it, the next free one
    #[arg(long, value_name = "NUMBER")]
    id: Option<GeneratorId>,
    /// How it makes a key
    #[arg(long, value_enum, default_value = "uuid")]
    method: MethodName,
    /// chunk-system: the characters of a key [default: ABCDEFGHJKLMNPQRSTUVWXYZ23456789, none of which look alike]
    #[arg(long)]
    charset: Option<Charset>,
    /// chunk-system: how many chunks [default: 4]
    #[arg(long, value_name = "NUMBER")]
    chunks: Option<u8>,
    /// chunk-system: how many characters in each chunk [default: 4]
    #[arg(long, value_name = "NUMBER")]
    chunk_length: Option<u8>,
    /// Put before every key
    #[arg(long, default_value = "")]
    prefix: String,
    /// Put after every key
    #[arg(long, default_value = "")]
    suffix: String,
    /// How many times a key may be activated; 0 is unlimited
    #[arg(long, value_name = "NUMBER", default_value = "0", allow_negative_numbers = true)]
    activation_limit: ActivationLimit,
    /// How many days a key is valid; 0 is unlimited
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
        generator.check().context("this generator is refused")?;
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
                        format!("now the one of product {product}")
                    } else {
                        format!("product {product} keeps the one it has")
                    };
                    output.result(&format!("{subject} created; {of_product}"), &after)?;
                    return Ok(Exit::Done);
                }
                NewGeneratorOutcome::UnknownProduct => bail!("there is no product {product}"),
                NewGeneratorOutcome::Exists if self.id.is_some() => {
                    bail!("there is a generator {id} already")
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
