//! Makes foreign text, such as a buyer's name, safe for a terminal.

/// The replacement for an unsafe character.
const INSTEAD: char = '\u{fffd}';

/// The escape sequences of this command's own styles, without the escape character.
const STYLES: [&str; 6] = ["[0m", "[1m", "[2m", "[31m", "[32m", "[33m"];

/// Replaces every unsafe character, line breaks included.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if is_command(c) { INSTEAD } else { c }).collect()
}

/// Replaces unsafe characters, but keeps styles.
pub(super) fn printable_cell(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let mut printed = parts.next().map(printable).unwrap_or_default();
    for part in parts {
        let style = STYLES.into_iter().find(|style| part.starts_with(style));
        printed.push(if style.is_some() { '\x1b' } else { INSTEAD });
        printed.push_str(&printable(part));
    }
    printed
}

/// Replaces unsafe characters, but keeps styles and line breaks.
pub(super) fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable_cell).collect::<Vec<_>>().join("\n")
}

/// Returns true for control characters, and for those that change the reading direction.
fn is_command(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::super::BAD;
    use super::*;

    #[test]
    fn a_text_cannot_control_a_terminal() {
        assert_eq!(printable("Ada\r\n\x1b[2J\u{202e}é"), "Ada\u{fffd}\u{fffd}\u{fffd}[2J\u{fffd}é");
        assert_eq!(printable_cell("a\x1b]0;title\x07b\nc"), "a\u{fffd}]0;title\u{fffd}b\u{fffd}c");
        let styled = format!("{BAD}no{BAD:#}, not at all");
        assert_eq!(printable_cell(&styled), styled);
        assert_eq!(printable_lines(&format!("{styled}\n\rx")), format!("{styled}\n\u{fffd}x"));
    }
}
