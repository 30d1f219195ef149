//! The two languages KooDrive's tools are written for.

/// In which language findings are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    #[default]
    English,
    Chinese,
}

impl Language {
    /// From the value of a `language` header: `zh-CN`, `zh_cn` and any other `zh…` are Chinese,
    /// all else is English.
    pub fn of(value: &str) -> Self {
        match value.trim_start().as_bytes() {
            [b'z' | b'Z', b'h' | b'H', ..] => Self::Chinese,
            _ => Self::English,
        }
    }
}

/// The same in English and in Chinese.
#[derive(Clone, Copy)]
pub(super) struct Words(pub(super) &'static str, pub(super) &'static str);

impl Words {
    pub(super) fn of(self, language: Language) -> &'static str {
        match language {
            Language::English => self.0,
            Language::Chinese => self.1,
        }
    }

    /// The words with each `{}` replaced by the next part.
    pub(super) fn fill(self, language: Language, parts: &[&str]) -> String {
        let mut pieces = self.of(language).split("{}");
        let mut filled = pieces.next().unwrap_or_default().to_owned();
        for (piece, part) in pieces.zip(parts) {
            filled.push_str(part);
            filled.push_str(piece);
        }
        filled
    }
}
