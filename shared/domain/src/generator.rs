use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::limits::{InvalidNumber, integer_within, number};
use crate::{ActivationLimit, Activity, InvalidLicenseKey, LicenseKey, ProductId, Randomness, Validity};

number! {
    /// The id of a generator.
    GeneratorId, u32, 1, u32::MAX
}

/// The least key space of a generator, as a power of two. With a smaller one, an attacker who tries 1,000
/// keys a second finds one of 1,000 sold keys within two weeks.
pub const KEY_SPACE_BITS_MIN: f64 = 40.0;

/// The characters of a chunk: 2 to 256, each once, no white space and no control character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charset(Vec<char>);

impl Charset {
    /// Draws one character, each equally likely.
    fn draw(&self, randomness: &(impl Randomness + ?Sized)) -> char {
        // The constructor refuses an empty charset.
        self.0.get(randomness.below(self.0.len())).copied().unwrap_or_default()
    }
}

impl fmt::Display for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|character| fmt::Write::write_char(f, *character))
    }
}

impl FromStr for Charset {
    type Err = InvalidGenerator;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let characters: Vec<char> = text.chars().collect();
        let mut distinct = characters.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let plain = characters.iter().all(|character| !character.is_whitespace() && !character.is_control());
        // A repeated character would be drawn twice as often.
        if plain && distinct.len() == characters.len() && (2..=256).contains(&characters.len()) {
            Ok(Self(characters))
        } else {
            Err(InvalidGenerator::Charset)
        }
    }
}

/// `number_of_chunks` × `chunk_length` characters of `charset`, joined by `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkSystem {
    /// The characters of the chunks.
    pub charset: Charset,
    /// The number of chunks.
    pub number_of_chunks: u8,
    /// The number of characters in each chunk.
    pub chunk_length: u8,
}

/// The way in which a generator makes a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// A version 4 UUID (RFC 9562): 122 random bits.
    Uuid,
    /// Chunks of random characters.
    ChunkSystem(ChunkSystem),
}

impl Method {
    /// The contract's word for it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::ChunkSystem(_) => "chunk-system",
        }
    }

    /// The number of possible keys, as a power of two.
    #[must_use]
    pub fn key_space_bits(&self) -> f64 {
        match self {
            Self::Uuid => 122.0,
            Self::ChunkSystem(ChunkSystem { charset, number_of_chunks, chunk_length }) => {
                let characters = f64::from(*number_of_chunks) * f64::from(*chunk_length);
                let kinds = u32::try_from(charset.0.len()).map_or(0.0, f64::from);
                characters * kinds.log2()
            }
        }
    }
}

/// The reason why a generator is invalid.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum InvalidGenerator {
    /// See [`Charset`].
    #[error("the charset must have 2 to 256 characters, each once, none white space or a control character")]
    Charset,
    /// No chunk, or chunks of no length.
    #[error("a generator needs at least one chunk of at least one character")]
    NoChunk,
    /// White space around a key would not survive the trimming that every license key goes through.
    #[error("prefix and suffix must not have control characters, nor white space at the outer end")]
    Affix,
    /// See [`LicenseKey::CHARACTERS_MAX`].
    #[error(
        "keys of this generator would have {characters} characters; a license key has at most {}",
        LicenseKey::CHARACTERS_MAX
    )]
    TooLong {
        /// The length of its keys.
        characters: usize,
    },
    /// See [`KEY_SPACE_BITS_MIN`].
    #[error(
        "its keys could be guessed: this generator has 2^{bits:.1} possible keys, and at least \
         2^{KEY_SPACE_BITS_MIN} are needed; use more chunks, longer chunks or a larger charset"
    )]
    KeySpaceTooSmall {
        /// The size of its key space, as a power of two.
        bits: f64,
    },
}

/// A generator: the form of a product's new keys, and their limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generator {
    /// Its id.
    pub id: GeneratorId,
    /// The product whose keys it makes.
    pub product_id: ProductId,
    /// The activity. An inactive generator does not exist for callers.
    pub activity: Activity,
    /// The way in which it makes a key.
    pub method: Method,
    /// The text before every key.
    pub prefix: String,
    /// The text after every key.
    pub suffix: String,
    /// The activation limit of its keys.
    pub activation_limit: ActivationLimit,
    /// The validity of its keys, in days.
    pub validity: Validity,
}

impl Generator {
    /// Checks that every key it makes is a valid license key that cannot be guessed. Call it before you store
    /// a generator.
    pub fn check(&self) -> Result<(), InvalidGenerator> {
        if let Method::ChunkSystem(chunks) = &self.method
            && (chunks.number_of_chunks == 0 || chunks.chunk_length == 0)
        {
            return Err(InvalidGenerator::NoChunk);
        }
        let affixes_hold = self.prefix.trim_start() == self.prefix && self.suffix.trim_end() == self.suffix;
        if !affixes_hold || self.prefix.chars().chain(self.suffix.chars()).any(char::is_control) {
            return Err(InvalidGenerator::Affix);
        }
        let characters = self.key_characters();
        if characters > LicenseKey::CHARACTERS_MAX {
            return Err(InvalidGenerator::TooLong { characters });
        }
        let bits = self.method.key_space_bits();
        if bits < KEY_SPACE_BITS_MIN {
            return Err(InvalidGenerator::KeySpaceTooSmall { bits });
        }
        Ok(())
    }

    /// The number of characters of its keys.
    fn key_characters(&self) -> usize {
        let body = match &self.method {
            Method::Uuid => 36,
            Method::ChunkSystem(chunks) => {
                let (number, length) =
                    (usize::from(chunks.number_of_chunks), usize::from(chunks.chunk_length));
                (number * (length + 1)).saturating_sub(1)
            }
        };
        self.prefix.chars().count() + body + self.suffix.chars().count()
    }

    /// Returns true if it is in use.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.activity == Activity::Active
    }

    /// Makes `count` distinct keys. Fails only for a generator that [`Generator::check`] refuses.
    pub fn make_distinct(
        &self,
        count: usize,
        randomness: &(impl Randomness + ?Sized),
    ) -> Result<Vec<LicenseKey>, InvalidLicenseKey> {
        // With 2^40 possible keys or more, a thousand of them rarely contain a duplicate.
        let mut made = HashSet::with_capacity(count);
        let mut keys = Vec::with_capacity(count);
        while keys.len() < count {
            let key = self.make(randomness)?;
            if made.insert(key.clone()) {
                keys.push(key);
            }
        }
        Ok(keys)
    }

    /// Makes one key. Fails only for a generator that [`Generator::check`] refuses.
    pub fn make(&self, randomness: &(impl Randomness + ?Sized)) -> Result<LicenseKey, InvalidLicenseKey> {
        let body = match &self.method {
            Method::Uuid => {
                let mut bytes = [0; 16];
                randomness.fill(&mut bytes);
                uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
            }
            Method::ChunkSystem(chunks) => (0..chunks.number_of_chunks)
                .map(|_| {
                    (0..chunks.chunk_length).map(|_| chunks.charset.draw(randomness)).collect::<String>()
                })
                .collect::<Vec<_>>()
                .join("-"),
        };
        format!("{}{body}{}", self.prefix, self.suffix).parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::OperatingSystemRandomness;

    fn generator(method: Method) -> Generator {
        Generator {
            id: GeneratorId::MIN,
            product_id: ProductId::MIN,
            activity: Activity::Active,
            method,
            prefix: String::new(),
            suffix: String::new(),
            activation_limit: ActivationLimit::MIN,
            validity: Validity::MIN,
        }
    }

    fn chunks(charset: &str, number_of_chunks: u8, chunk_length: u8) -> Method {
        Method::ChunkSystem(ChunkSystem { charset: charset.parse().unwrap(), number_of_chunks, chunk_length })
    }

    #[test]
    fn a_uuid_key_is_of_version_4() {
        let key = generator(Method::Uuid).make(&OperatingSystemRandomness).unwrap();
        let uuid: uuid::Uuid = key.as_str().parse().unwrap();
        assert_eq!(uuid.get_version_num(), 4);
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
        assert_eq!(key.as_str(), uuid.to_string());
    }

    #[test]
    fn a_chunk_key_has_its_chunks_between_prefix_and_suffix() {
        let mut generator = generator(chunks("0123456789ABCDEF", 4, 4));
        generator.prefix = "KP_".to_owned();
        generator.suffix = "_X".to_owned();
        let key = generator.make(&OperatingSystemRandomness).unwrap();
        let body = key.as_str().strip_prefix("KP_").unwrap().strip_suffix("_X").unwrap();
        let chunks: Vec<&str> = body.split('-').collect();
        assert_eq!(chunks.len(), 4);
        for chunk in chunks {
            assert_eq!(chunk.len(), 4);
            assert!(chunk.bytes().all(|byte| b"0123456789ABCDEF".contains(&byte)));
        }
    }

    #[test]
    fn every_character_comes_up_equally_often() {
        // 3 characters do not divide 2^64, so a plain remainder would be slightly biased.
        let generator = generator(chunks("abc", 1, 254));
        let mut seen = [0_f64; 3];
        for _ in 0..400 {
            for byte in generator.make(&OperatingSystemRandomness).unwrap().as_str().bytes() {
                seen[usize::from(byte - b'a')] += 1.0;
            }
        }
        let expected = seen.iter().sum::<f64>() / 3.0;
        let chi_square: f64 = seen.iter().map(|count| (count - expected).powi(2) / expected).sum();
        // 2 degrees of freedom: beyond 40 once in 5 * 10^8 runs.
        assert!(chi_square < 40.0, "chi-square {chi_square}, counts {seen:?}");
    }

    #[test]
    fn a_guessable_generator_is_refused_with_an_explanation() {
        let refusal = generator(chunks("0123456789", 3, 4)).check().unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "its keys could be guessed: this generator has 2^39.9 possible keys, and at least 2^40 are \
             needed; use more chunks, longer chunks or a larger charset"
        );
        assert_eq!(generator(chunks("01", 5, 8)).check(), Ok(()), "2^40 exactly is enough");
        assert_eq!(generator(chunks("0123456789ABCDEF", 4, 4)).check(), Ok(()));
        assert_eq!(generator(Method::Uuid).check(), Ok(()));
    }

    #[test]
    fn a_faulty_generator_is_refused() {
        assert_eq!("A".parse::<Charset>(), Err(InvalidGenerator::Charset));
        assert_eq!("ABA".parse::<Charset>(), Err(InvalidGenerator::Charset));
        assert_eq!("A B".parse::<Charset>(), Err(InvalidGenerator::Charset));
        assert_eq!(generator(chunks("01", 0, 8)).check(), Err(InvalidGenerator::NoChunk));
        assert_eq!(
            generator(chunks("01", 16, 16)).check(),
            Err(InvalidGenerator::TooLong { characters: 271 })
        );
        let mut spaced = generator(Method::Uuid);
        spaced.suffix = "x ".to_owned();
        assert_eq!(spaced.check(), Err(InvalidGenerator::Affix));
    }

    proptest! {
        #[test]
        fn a_generator_that_passes_the_check_makes_valid_keys(
            number_of_chunks in 0_u8..20,
            chunk_length in 0_u8..40,
            prefix in "\\PC{0,20}",
            suffix in "\\PC{0,20}",
        ) {
            let mut generator = generator(chunks("0123456789ABCDEF", number_of_chunks, chunk_length));
            generator.prefix = prefix;
            generator.suffix = suffix;
            if generator.check().is_ok() {
                let key = generator.make(&OperatingSystemRandomness).unwrap();
                prop_assert_eq!(key.as_str().chars().count(), generator.key_characters());
            }
        }
    }
}
