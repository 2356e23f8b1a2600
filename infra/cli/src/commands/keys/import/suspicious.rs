//! License keys that are valid, but that a buyer could hardly type. The import accepts them, and warns.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::fmt;
use std::hash::BuildHasher as _;

use icu_normalizer::ComposingNormalizerBorrowed;
use keypool_domain::LicenseKey;
use serde::Serialize;

/// The kinds of keys with invisible characters: the name for programs, the text for people after a number of
/// keys, and the characters.
const INVISIBLE: [(&str, &str, &str); 5] = [
    ("byte_order_mark", "with an invisible byte order mark (U+FEFF)", "\u{feff}"),
    (
        "zero_width",
        "with an invisible character (U+200B to U+200F)",
        "\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}",
    ),
    (
        "bidirectional",
        "with an invisible change of direction (U+202A to U+202E, U+2066 to U+2069)",
        "\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}",
    ),
    (
        "word_joiner",
        "with an invisible character (U+2060 to U+2064)",
        "\u{2060}\u{2061}\u{2062}\u{2063}\u{2064}",
    ),
    ("soft_hyphen", "with an invisible soft hyphen (U+00AD)", "\u{ad}"),
];

/// The number of lines that are listed for each kind.
const LINES_NAMED_MAX: usize = 5;
/// The number of keys that are remembered to find twins. ASCII keys have no twins and are not remembered.
const REMEMBERED_MAX: usize = 100_000;

/// The keys of one kind.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    kind: &'static str,
    #[serde(skip)]
    words: &'static str,
    count: u64,
    /// The first of their lines.
    lines: Vec<u64>,
    /// Of twins, the lines of the keys they look like.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    of_lines: Vec<u64>,
}

impl Found {
    const fn none(kind: &'static str, words: &'static str) -> Self {
        Self { kind, words, count: 0, lines: Vec::new(), of_lines: Vec::new() }
    }

    fn add(&mut self, line: u64, of_line: Option<u64>) {
        self.count += 1;
        if self.lines.len() < LINES_NAMED_MAX {
            self.lines.push(line);
            self.of_lines.extend(of_line);
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<String> = self.lines.iter().map(u64::to_string).collect();
        for (line, of_line) in lines.iter_mut().zip(&self.of_lines) {
            *line = format!("{line} (as {of_line})");
        }
        let more = if self.count > LINES_NAMED_MAX as u64 { ", …" } else { "" };
        let (keys, in_lines) = if self.count == 1 { ("key", "line") } else { ("keys", "lines") };
        write!(f, "{} {keys} {}: {in_lines} {}{more}", self.count, self.words, lines.join(", "))
    }
}

/// The suspicious keys of a file so far.
#[derive(Debug)]
pub(super) struct Suspicious {
    invisible: [Found; INVISIBLE.len()],
    /// Keys that have the text of an earlier line in another Unicode normalization.
    twins: Found,
    hasher: RandomState,
    /// Maps the hash of a key in NFC to the hash of its first original text, and its line.
    remembered: HashMap<u64, (u64, u64)>,
}

impl Suspicious {
    pub(super) fn new() -> Self {
        let twins = "in another Unicode normalization than an earlier key that looks the same";
        Self {
            invisible: INVISIBLE.map(|(kind, words, _)| Found::none(kind, words)),
            twins: Found::none("twin", twins),
            hasher: RandomState::new(),
            remembered: HashMap::new(),
        }
    }

    /// Examines the key of a line. Ignores texts that are not valid keys.
    pub(super) fn note(&mut self, text: &str, line: u64) {
        if text.is_ascii() {
            return;
        }
        let Ok(key) = text.parse::<LicenseKey>() else { return };
        for ((.., characters), found) in INVISIBLE.iter().zip(&mut self.invisible) {
            if key.as_str().contains(|character: char| characters.contains(character)) {
                found.add(line, None);
            }
        }
        if let Some(earlier) = self.twin(key.as_str(), line) {
            self.twins.add(line, Some(earlier));
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

    /// The kinds of keys that occur.
    pub(super) fn found(&self) -> Vec<&Found> {
        self.invisible.iter().chain([&self.twins]).filter(|found| found.count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(keys: &[&str]) -> Suspicious {
        let mut suspicious = Suspicious::new();
        keys.iter().zip(1..).for_each(|(key, line)| suspicious.note(key, line));
        suspicious
    }

    fn to_json(suspicious: &Suspicious) -> Value {
        json!(suspicious.found())
    }

    fn sentences(suspicious: &Suspicious) -> Vec<String> {
        suspicious.found().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_invisible_character_has_a_kind() {
        for (range, kind) in [
            ('\u{feff}'..='\u{feff}', "byte_order_mark"),
            ('\u{200b}'..='\u{200f}', "zero_width"),
            ('\u{202a}'..='\u{202e}', "bidirectional"),
            ('\u{2060}'..='\u{2064}', "word_joiner"),
            ('\u{2066}'..='\u{2069}', "bidirectional"),
            ('\u{ad}'..='\u{ad}', "soft_hyphen"),
        ] {
            for character in range {
                let found = to_json(&of(&["A", &format!("A{character}{character}B")]));
                assert_eq!(found, json!([{ "kind": kind, "count": 1, "lines": [2] }]));
            }
        }
        assert_eq!(to_json(&of(&["ключ-🔑", "Ä 1", "A\u{a0}B", "\u{2028}A"])), json!([]));
    }

    #[test]
    fn a_kind_has_a_full_count_and_its_first_lines() {
        let keys: Vec<String> = (0..7).map(|n| format!("\u{feff}N{n}\u{ad}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        assert_eq!(
            sentences(&of(&keys)),
            [
                "7 keys with an invisible byte order mark (U+FEFF): lines 1, 2, 3, 4, 5, …",
                "7 keys with an invisible soft hyphen (U+00AD): lines 1, 2, 3, 4, 5, …",
            ]
        );
        assert_eq!(
            sentences(&of(&["A", "B\u{200b}"])),
            ["1 key with an invisible character (U+200B to U+200F): line 2"]
        );
    }

    #[test]
    fn twins_differ_only_by_normalization() {
        let (composed, decomposed) = ("\u{c4}-1", "A\u{308}-1");
        let found = of(&[composed, "\u{c4}-2", decomposed, composed, "a\u{308}-1", decomposed]);
        assert_eq!(
            to_json(&found),
            json!([{ "kind": "twin", "count": 2, "lines": [3, 6], "of_lines": [1, 1] }])
        );
        assert_eq!(
            sentences(&found),
            [
                "2 keys in another Unicode normalization than an earlier key that looks the same: lines 3 (as 1), 6 (as 1)"
            ]
        );
        assert_eq!(to_json(&of(&[decomposed, decomposed])), json!([]), "a duplicate is not a twin");
    }

    #[test]
    fn memory_is_bounded() {
        let mut suspicious = Suspicious::new();
        let lines = 1..=u64::try_from(REMEMBERED_MAX).unwrap() + 10;
        lines.for_each(|line| suspicious.note(&format!("\u{c4}{line}"), line));
        assert_eq!(suspicious.remembered.len(), REMEMBERED_MAX);
        suspicious.note("A\u{308}7", 1_000_000);
        assert_eq!(to_json(&suspicious)[0]["of_lines"], json!([7]));
    }

    #[test]
    fn invalid_keys_are_ignored() {
        let long = "\u{feff}".repeat(256);
        assert_eq!(to_json(&of(&[&long, "\u{feff}\n\u{feff}"])), json!([]));
    }
}
