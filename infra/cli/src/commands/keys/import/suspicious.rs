//! License keys that are valid, but that a buyer could hardly type. The import accepts them, and warns.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher as _;

use icu_normalizer::ComposingNormalizerBorrowed;
use keypool_domain::LicenseKey;
use serde_json::{Value, json};

/// The reason why a key is suspicious.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    ByteOrderMark,
    ZeroWidth,
    Bidirectional,
    WordJoiner,
    SoftHyphen,
    /// An earlier line has the same text in another Unicode normalization.
    Twin,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::ByteOrderMark,
        Self::ZeroWidth,
        Self::Bidirectional,
        Self::WordJoiner,
        Self::SoftHyphen,
        Self::Twin,
    ];

    const fn of_character(character: char) -> Option<Self> {
        match character {
            '\u{feff}' => Some(Self::ByteOrderMark),
            '\u{200b}'..='\u{200f}' => Some(Self::ZeroWidth),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Some(Self::Bidirectional),
            '\u{2060}'..='\u{2064}' => Some(Self::WordJoiner),
            '\u{ad}' => Some(Self::SoftHyphen),
            _ => None,
        }
    }

    /// The name for programs.
    const fn name(self) -> &'static str {
        match self {
            Self::ByteOrderMark => "byte_order_mark",
            Self::ZeroWidth => "zero_width",
            Self::Bidirectional => "bidirectional",
            Self::WordJoiner => "word_joiner",
            Self::SoftHyphen => "soft_hyphen",
            Self::Twin => "twin",
        }
    }

    /// The text for people, after a number of keys.
    const fn words(self) -> &'static str {
        match self {
            Self::ByteOrderMark => "with an invisible byte order mark (U+FEFF)",
            Self::ZeroWidth => "with an invisible character (U+200B to U+200F)",
            Self::Bidirectional => {
                "with an invisible change of direction (U+202A to U+202E, U+2066 to U+2069)"
            }
            Self::WordJoiner => "with an invisible character (U+2060 to U+2064)",
            Self::SoftHyphen => "with an invisible soft hyphen (U+00AD)",
            Self::Twin => "in another Unicode normalization than an earlier key that looks the same",
        }
    }
}

/// The keys of one kind.
#[derive(Debug, Default)]
struct Found {
    count: u64,
    /// The first of their lines.
    lines: Vec<u64>,
    /// Of twins, the lines of the keys they look like.
    of_lines: Vec<u64>,
}

/// The number of lines that are listed for each kind.
const LINES_NAMED_MAX: usize = 5;
/// The number of keys that are remembered to find twins. ASCII keys have no twins and are not remembered.
const REMEMBERED_MAX: usize = 100_000;

/// The suspicious keys of a file so far.
#[derive(Debug, Default)]
pub(super) struct Suspicious {
    found: [Found; Kind::ALL.len()],
    hasher: RandomState,
    /// Maps the hash of a key in NFC to the hash of its first original text, and its line.
    remembered: HashMap<u64, (u64, u64)>,
}

impl Suspicious {
    /// Examines the key of a line. Ignores texts that are not valid keys.
    pub(super) fn note(&mut self, text: &str, line: u64) {
        if text.is_ascii() {
            return;
        }
        let Ok(key) = text.parse::<LicenseKey>() else { return };
        let mut noted = [false; Kind::ALL.len()];
        for kind in key.as_str().chars().filter_map(Kind::of_character) {
            if let Some(noted) = noted.get_mut(kind as usize)
                && !std::mem::replace(noted, true)
            {
                self.count(kind, line, None);
            }
        }
        if let Some(earlier) = self.twin(key.as_str(), line) {
            self.count(Kind::Twin, line, Some(earlier));
        }
    }

    /// The earlier line whose key is different, but equal in NFC.
    fn twin(&mut self, key: &str, line: u64) -> Option<u64> {
        let composed = ComposingNormalizerBorrowed::new_nfc().normalize(key);
        let (composed, written) = (self.hasher.hash_one(&composed), self.hasher.hash_one(key));
        let room = self.remembered.len() < REMEMBERED_MAX;
        match self.remembered.entry(composed) {
            Entry::Occupied(earlier) => {
                let (earlier, earlier_line) = *earlier.get();
                (earlier != written).then_some(earlier_line)
            }
            Entry::Vacant(place) => {
                if room {
                    place.insert((written, line));
                }
                None
            }
        }
    }

    fn count(&mut self, kind: Kind, line: u64, of_line: Option<u64>) {
        let Some(found) = self.found.get_mut(kind as usize) else { return };
        found.count += 1;
        if found.lines.len() < LINES_NAMED_MAX {
            found.lines.push(line);
            found.of_lines.extend(of_line);
        }
    }

    fn kinds(&self) -> impl Iterator<Item = (Kind, &Found)> {
        Kind::ALL.into_iter().zip(&self.found).filter(|(_, found)| found.count > 0)
    }

    /// A sentence for each kind that occurs, for people.
    pub(super) fn sentences(&self) -> Vec<String> {
        self.kinds().map(|(kind, found)| sentence(kind, found)).collect()
    }

    /// An object for each kind that occurs, for programs.
    pub(super) fn to_json(&self) -> Value {
        let kinds = self.kinds().map(|(kind, found)| {
            let mut value = json!({ "kind": kind.name(), "count": found.count, "lines": found.lines });
            if kind == Kind::Twin {
                value["of_lines"] = json!(found.of_lines);
            }
            value
        });
        kinds.collect()
    }
}

fn sentence(kind: Kind, found: &Found) -> String {
    let mut lines: Vec<String> = found.lines.iter().map(u64::to_string).collect();
    for (line, of_line) in lines.iter_mut().zip(&found.of_lines) {
        *line = format!("{line} (as {of_line})");
    }
    let more = if found.count > LINES_NAMED_MAX as u64 { ", …" } else { "" };
    let (keys, in_lines) = if found.count == 1 { ("key", "line") } else { ("keys", "lines") };
    format!("{} {keys} {}: {in_lines} {}{more}", found.count, kind.words(), lines.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(keys: &[&str]) -> Suspicious {
        let mut suspicious = Suspicious::default();
        keys.iter().zip(1..).for_each(|(key, line)| suspicious.note(key, line));
        suspicious
    }

    #[test]
    fn each_invisible_character_has_a_kind() {
        for (range, kind) in [
            ('\u{feff}'..='\u{feff}', Kind::ByteOrderMark),
            ('\u{200b}'..='\u{200f}', Kind::ZeroWidth),
            ('\u{202a}'..='\u{202e}', Kind::Bidirectional),
            ('\u{2060}'..='\u{2064}', Kind::WordJoiner),
            ('\u{2066}'..='\u{2069}', Kind::Bidirectional),
            ('\u{ad}'..='\u{ad}', Kind::SoftHyphen),
        ] {
            for character in range {
                let found = of(&["A", &format!("A{character}{character}B")]).to_json();
                assert_eq!(found, json!([{ "kind": kind.name(), "count": 1, "lines": [2] }]));
            }
        }
        assert_eq!(of(&["ключ-🔑", "Ä 1", "A\u{a0}B", "\u{2028}A"]).to_json(), json!([]));
    }

    #[test]
    fn a_kind_has_a_full_count_and_its_first_lines() {
        let keys: Vec<String> = (0..7).map(|n| format!("\u{feff}N{n}\u{ad}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        assert_eq!(
            of(&keys).sentences(),
            [
                "7 keys with an invisible byte order mark (U+FEFF): lines 1, 2, 3, 4, 5, …",
                "7 keys with an invisible soft hyphen (U+00AD): lines 1, 2, 3, 4, 5, …",
            ]
        );
        assert_eq!(
            of(&["A", "B\u{200b}"]).sentences(),
            ["1 key with an invisible character (U+200B to U+200F): line 2"]
        );
    }

    #[test]
    fn twins_differ_only_by_normalization() {
        let (composed, decomposed) = ("\u{c4}-1", "A\u{308}-1");
        let found = of(&[composed, "\u{c4}-2", decomposed, composed, "a\u{308}-1", decomposed]);
        assert_eq!(
            found.to_json(),
            json!([{ "kind": "twin", "count": 2, "lines": [3, 6], "of_lines": [1, 1] }])
        );
        assert_eq!(
            found.sentences(),
            [
                "2 keys in another Unicode normalization than an earlier key that looks the same: lines 3 (as 1), 6 (as 1)"
            ]
        );
        assert_eq!(of(&[decomposed, decomposed]).to_json(), json!([]), "a duplicate is not a twin");
    }

    #[test]
    fn memory_is_bounded() {
        let mut suspicious = Suspicious::default();
        let lines = 1..=u64::try_from(REMEMBERED_MAX).unwrap() + 10;
        lines.for_each(|line| suspicious.note(&format!("\u{c4}{line}"), line));
        assert_eq!(suspicious.remembered.len(), REMEMBERED_MAX);
        suspicious.note("A\u{308}7", 1_000_000);
        assert_eq!(suspicious.to_json()[0]["of_lines"], json!([7]));
    }

    #[test]
    fn invalid_keys_are_ignored() {
        let long = "\u{feff}".repeat(256);
        assert_eq!(of(&[&long, "\u{feff}\n\u{feff}"]).to_json(), json!([]));
    }
}
