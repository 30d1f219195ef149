//! Finite sets of words, each spelled once: metric labels, span attributes, log fields and pages
//! all say the same.
//!
//! A room declares the words of its own facts; `rejection` and `telemetry` only read them.

/// Declares an enum whose variants have one spelling each.
macro_rules! words {
    ($(#[$doc:meta])* $vis:vis enum $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)?
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// All of them in order of declaration: the one at `i` is `i` as a number.
            $vis const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as it stands in labels, attributes and log fields.
            $vis const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

pub(crate) use words;
