//! How values become markup.

use std::fmt;
use std::fmt::Write as _;
use std::time::SystemTime;

use crate::admin::overview::Overview;
use crate::admin::time;

/// Text that cannot become markup, neither between tags nor in a quoted attribute.
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // Marks that turn the direction of text could make it read as something else.
                letter if letter.is_control() || turns(letter) => {
                    f.write_char(char::REPLACEMENT_CHARACTER)?;
                }
                _ => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

/// Unicode's bidirectional controls.
fn turns(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A sentence of ours, in which names stand between backticks.
pub(super) struct Sentence<'a>(pub(super) &'a str);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.split('`').enumerate() {
            let part = Text(part);
            if index % 2 == 0 { write!(f, "{part}")? } else { write!(f, "<code>{part}</code>")? }
        }
        Ok(())
    }
}

/// How long ago something was, and when.
pub(super) fn ago(overview: &Overview, then: SystemTime) -> String {
    format!("<time datetime={0} title={0}>{1} ago</time>", time(then), overview.ago(then))
}
