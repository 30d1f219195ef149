//! One declaration per key: name, what the section holds, how it is written, default, meaning.

/// A table of the configuration.
///
/// `key: Type as Kind = default,` or, where the type is its own kind, `key: Type = default,`. From
/// it come the struct, its `Default`, the known keys with their shapes, the reader and the writer.
/// Behind them, `=> name: Type,` is no key but what the checks make of several.
macro_rules! section {
    (
        $(#[$about:meta])*
        pub struct $section:ident {
            $( $(#[$means:meta])* $key:ident: $value:ty $(as $kind:ty)? = $default:expr, )+
            $( => $(#[$says:meta])* $made:ident: $what:ty, )?
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $section {
            $( $(#[$means])* pub $key: $value, )+
            $( $(#[$says])* pub $made: $what, )?
        }

        impl Default for $section {
            fn default() -> Self {
                Self { $( $key: $default, )+ $( $made: <$what>::default(), )? }
            }
        }

        impl $section {
            /// As an operator would write it, every key.
            pub fn to_table(&self) -> toml::Table {
                let values = [$( (stringify!($key), <kind!($value $(, $kind)?)>::write(&self.$key)), )+];
                values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            }
        }

        impl Kind for $section {
            type Value = Self;

            fn shape() -> Shape {
                Shape::Table(vec![
                    $( Key { name: stringify!($key), shape: <kind!($value $(, $kind)?)>::shape() }, )+
                ])
            }

            fn read(node: &Node, key: &str, reader: &mut Reader<'_>) -> Option<Self> {
                let written = reader.table(node, key, &Self::shape())?;
                let mut section = Self::default();
                $( if let Some(node) = written.get(stringify!($key)) {
                    let key = joined(key, stringify!($key));
                    let value = <kind!($value $(, $kind)?)>::read(node, &key, reader);
                    section.$key = value.unwrap_or(section.$key);
                } )+
                Some(section)
            }

            fn write(value: &Self) -> toml::Value {
                toml::Value::Table(value.to_table())
            }
        }
    };
}

/// The kind of a key: its own, or else its type.
macro_rules! kind {
    ($value:ty) => {
        $value
    };
    ($value:ty, $kind:ty) => {
        $kind
    };
}

pub(super) use {kind, section};
