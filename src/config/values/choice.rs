//! One of a few words.

/// An enum each of whose variants is a word.
macro_rules! choice {
    (
        $(#[$about:meta])*
        pub enum $name:ident {
            $( $(#[$means:meta])* $variant:ident = $word:literal, )+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $( $(#[$means])* $variant, )+
        }

        impl $name {
            /// As the configuration has it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )+
                }
            }
        }

        impl $crate::config::values::Scalar for $name {
            type Value = Self;

            fn shape() -> $crate::config::keys::Shape {
                $crate::config::keys::Shape::Choice(&[$( $word, )+])
            }

            fn read(written: &toml::Value) -> Result<Self, $crate::config::values::Fault> {
                match written.as_str() {
                    $( Some($word) => Ok(Self::$variant), )+
                    _ => Err($crate::config::values::Fault::Unlike),
                }
            }

            fn write(value: &Self) -> toml::Value {
                value.as_str().into()
            }
        }
    };
}

pub(in crate::config) use choice;
