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
