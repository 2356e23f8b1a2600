use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args, ValueEnum};
use keypool_domain::{
    ActivationLimit, Activity, Charset, ChunkSystem, Generator, GeneratorId, Method, ProductId, Validity,
};

use crate::commands::catalogue::{self, find};
use crate::exit::Exit;
use crate::output::Output;
use crate::target::Target;

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

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true)
    .args(["prefix", "suffix", "activation_limit", "validity", "charset", "chunks", "chunk_length"]))]
pub(crate) struct Update {
    /// The generator's id
    #[arg(value_name = "ID")]
    id: GeneratorId,
    /// The text before every key
    #[arg(long, allow_hyphen_values = true)]
    prefix: Option<String>,
    /// The text after every key
    #[arg(long, allow_hyphen_values = true)]
    suffix: Option<String>,
    /// The number of times a key may be activated; 0 is unlimited
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    activation_limit: Option<ActivationLimit>,
    /// The number of days a key is valid; 0 is unlimited
    #[arg(long, value_name = "DAYS", allow_negative_numbers = true)]
    validity: Option<Validity>,
    /// chunk-system: the characters of a key
    #[arg(long)]
    charset: Option<Charset>,
    /// chunk-system: the number of chunks
    #[arg(long, value_name = "NUMBER")]
    chunks: Option<u8>,
    /// chunk-system: the number of characters in a chunk
    #[arg(long, value_name = "NUMBER")]
    chunk_length: Option<u8>,
}

impl Create {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let generator = Generator {
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
        catalogue::create(generator, self.id, target, output).await
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

impl Update {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let before: Generator = find(&target.store, self.id).await?;
        let after = self.changed(before.clone())?;
        after.check().context("invalid generator")?;
        catalogue::update("generator.update", [&before, &after], target, output).await
    }

    fn changed(&self, mut generator: Generator) -> anyhow::Result<Generator> {
        match &mut generator.method {
            Method::ChunkSystem(chunks) => {
                if let Some(charset) = &self.charset {
                    chunks.charset = charset.clone();
                }
                chunks.number_of_chunks = self.chunks.unwrap_or(chunks.number_of_chunks);
                chunks.chunk_length = self.chunk_length.unwrap_or(chunks.chunk_length);
            }
            Method::Uuid
                if self.charset.is_some() || self.chunks.is_some() || self.chunk_length.is_some() =>
            {
                bail!(
                    "generator {} makes UUIDs: --charset, --chunks and --chunk-length are for the method \
                     chunk-system",
                    generator.id
                )
            }
            Method::Uuid => {}
        }
        if let Some(prefix) = &self.prefix {
            generator.prefix.clone_from(prefix);
        }
        if let Some(suffix) = &self.suffix {
            generator.suffix.clone_from(suffix);
        }
        generator.activation_limit = self.activation_limit.unwrap_or(generator.activation_limit);
        generator.validity = self.validity.unwrap_or(generator.validity);
        Ok(generator)
    }
}
