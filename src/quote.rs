//! Text from outside, in sentences of ours.

/// The beginning of a text from outside, at most so many characters: on one line, and with nothing in it that steers a
/// terminal or forges a line of a log.
pub fn shown(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for character in text.chars().take(most) {
        if character == ' ' || character.is_ascii_graphic() {
            shown.push(character);
        } else {
            shown.extend(character.escape_default());
        }
    }
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}
