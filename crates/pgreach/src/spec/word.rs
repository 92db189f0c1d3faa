//! Words for the choices that other crates define.

/// Declares an enum with the words of a choice, which becomes the choice.
macro_rules! word {
    (
        $(#[$outer:meta])*
        $name:ident for $target:ident {
            $($(#[$inner:meta])* $variant:ident = $word:literal,)*
        }
    ) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "spec-schema", derive(schemars::JsonSchema))]
        pub(crate) enum $name {
            $($(#[$inner])* #[serde(rename = $word)] $variant,)*
        }

        impl From<$name> for $target {
            fn from(word: $name) -> Self {
                match word { $($name::$variant => Self::$variant,)* }
            }
        }
    };
}

pub(super) use word;
