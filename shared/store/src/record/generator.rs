use keypool_domain::{ChunkSystem, Generator, Method};

use super::{Item, Key, Reader, Writer};
use crate::StoreError;

pub(crate) fn generator_item(generator: &Generator) -> Item {
    let writer = Writer::at(Key::generator(generator.id))
        .number("product_id", generator.product_id)
        .text("status", generator.activity)
        .text("method", generator.method.as_str())
        .text("prefix", &generator.prefix)
        .text("suffix", &generator.suffix)
        .number("activation_limit", generator.activation_limit)
        .number("validity", generator.validity);
    match &generator.method {
        Method::Uuid => writer.0,
        Method::ChunkSystem(chunks) => {
            writer
                .text("charset", &chunks.charset)
                .number("number_of_chunks", chunks.number_of_chunks)
                .number("chunk_length", chunks.chunk_length)
                .0
        }
    }
}

pub(crate) fn read_generator(item: &Item) -> Result<Generator, StoreError> {
    let reader = Reader { item, record: "generator" };
    let method = match reader.raw("method")? {
        "uuid" => Method::Uuid,
        "chunk-system" => Method::ChunkSystem(ChunkSystem {
            charset: reader.required("charset")?,
            number_of_chunks: reader.required("number_of_chunks")?,
            chunk_length: reader.required("chunk_length")?,
        }),
        _ => return Err(reader.corrupt("method")),
    };
    let generator = Generator {
        id: reader.id()?,
        product_id: reader.required("product_id")?,
        activity: reader.required("status")?,
        method,
        prefix: reader.required("prefix")?,
        suffix: reader.required("suffix")?,
        activation_limit: reader.required("activation_limit")?,
        validity: reader.required("validity")?,
    };
    // Whoever edits the table by hand must not get a generator past the check.
    generator.check().map_err(|_| reader.corrupt("definition"))?;
    Ok(generator)
}

#[cfg(test)]
mod tests {
    use keypool_domain::{Activity, GeneratorId, ProductId};

    use super::*;
    use crate::record::text;

    fn generator() -> Generator {
        Generator {
            id: GeneratorId::MAX,
            product_id: ProductId::MIN,
            activity: Activity::Active,
            method: Method::ChunkSystem(ChunkSystem {
                charset: "0123456789ABCDEF".parse().unwrap(),
                number_of_chunks: 4,
                chunk_length: 4,
            }),
            prefix: "KP ".to_owned(),
            suffix: String::new(),
            activation_limit: "1".parse().unwrap(),
            validity: "0".parse().unwrap(),
        }
    }

    #[test]
    fn a_generator_reads_back() {
        let uuid = Generator { method: Method::Uuid, ..generator() };
        for generator in [generator(), uuid] {
            assert_eq!(read_generator(&generator_item(&generator)), Ok(generator));
        }
    }

    #[test]
    fn a_generator_that_was_weakened_by_hand_is_refused() {
        let mut item = generator_item(&generator());
        item.insert("charset".to_owned(), text("01"));
        let corrupt = StoreError::Corrupt { record: "generator", attribute: "definition" };
        assert_eq!(read_generator(&item), Err(corrupt));
    }
}
