//! Foreign text: characters that could steer a terminal, or make one line look like two.

/// Returns whether a character does something other than to be shown: control characters, and
/// characters that change the direction of writing, join or hide. (Source: Unicode Standard Annex
/// 9, section 2, and the blocks "General Punctuation", "Specials", "Tags".)
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns a text on one line with nothing hidden: each character that [steers] becomes a space.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if steers(c) { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_steers_nothing() {
        assert_eq!(plain("Ünïcode, 日本 (größer)"), "Ünïcode, 日本 (größer)");
        assert_eq!(
            plain("a\u{1b}[31m\r\nPhase: Done\u{202e}\u{0}\u{9b}2J\u{7}"),
            "a [31m  Phase: Done   2J "
        );
        assert_eq!(plain("\u{61c}\u{2066}\u{feff}\u{e0041}x"), "    x");
    }
}
