use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};
use keypool_domain::{ActivationLimit, Charset, Generator, GeneratorId, Method, Validity};
use keypool_store::UpdateOutcome;

use super::find;
use crate::commands::change;
use crate::exit::Exit;
use crate::output::Output;
use crate::target::Target;
use crate::view;

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

impl Update {
    pub(super) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        let before = find(&target.store, self.id).await?;
        let after = self.changed(before.clone())?;
        after.check().context("invalid generator")?;
        apply("generator.update", [&before, &after], target, output).await
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

/// Replaces `before` with `after` and reports the change.
pub(super) async fn apply(
    action: &str,
    [before, after]: [&Generator; 2],
    target: &Target,
    output: Output,
) -> anyhow::Result<Exit> {
    let subject = format!("generator {}", before.id);
    let (old, new) = (view::generator(before), view::generator(after));
    if before == after {
        return change::nothing(&subject, &new, output);
    }
    let entry = target.entry(action, &subject, Some(old.clone()), Some(new.clone())).await?;
    match target.store.update(before, after, &entry).await? {
        UpdateOutcome::Updated => change::done(&subject, &old, &new, output),
        UpdateOutcome::Unknown => bail!("there is no {subject}"),
        UpdateOutcome::ChangedMeanwhile | UpdateOutcome::NotItsGenerator => Err(change::meanwhile(&subject)),
    }
}
