use keypool_domain::{ChunkSystem, Generator, GeneratorId, Method};

use super::{Catalogued, Item, Key, Kind, Reader, Writer};
use crate::StoreError;

impl Catalogued for Generator {
    const KIND: &'static str = Kind::Generator.name();
    type Id = GeneratorId;

    fn id(&self) -> GeneratorId {
        self.id
    }

    fn entry(id: &GeneratorId) -> String {
        format!("{:010}", id.get())
    }

    fn position(&self) -> impl Ord {
        self.id
    }

    fn item(&self) -> Item {
        let writer = Writer::at(Key::generator(self.id))
            .number("product_id", self.product_id)
            .text("status", self.activity)
            .text("method", self.method.as_str())
            .text("prefix", &self.prefix)
            .text("suffix", &self.suffix)
            .number("activation_limit", self.activation_limit)
            .number("validity", self.validity);
        match &self.method {
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

    fn read(item: &Item) -> Result<Self, StoreError> {
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
        let generator = Self {
            id: reader.id()?,
            product_id: reader.required("product_id")?,
            activity: reader.required("status")?,
            method,
            prefix: reader.required("prefix")?,
            suffix: reader.required("suffix")?,
            activation_limit: reader.required("activation_limit")?,
            validity: reader.required("validity")?,
        };
        // An edit of the table by hand must not pass the check.
        generator.check().map_err(|_| reader.corrupt("definition"))?;
        Ok(generator)
    }
}

#[cfg(test)]
mod tests {
    use keypool_domain::{Activity, ProductId};

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
            assert_eq!(Generator::read(&generator.item()), Ok(generator));
        }
    }

    #[test]
    fn a_generator_that_was_weakened_by_hand_is_refused() {
        let mut item = generator().item();
        item.insert("charset".to_owned(), text("01"));
        let corrupt = StoreError::Corrupt { record: "generator", attribute: "definition" };
        assert_eq!(Generator::read(&item), Err(corrupt));
    }
}
