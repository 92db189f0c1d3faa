//! A document as a tree, between its text and its fields.
//!
//! Text is taken apart into a [`Node`] first, so that JSON, TOML and whatever else serde reads give the
//! same errors: what is no JSON or TOML is told with its line, everything else with the path of its field.

use std::fmt;

use pgreach_core::{Error, Secret, Stage};
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::codes;
use super::fault::{Fault, join};

/// A value of a document. Every text is a secret until it is known to be none.
pub(crate) enum Node {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(Secret),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// # Errors
    /// `spec-syntax`, with line and column.
    pub(crate) fn from_json(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|error| {
            // Only the place and the rule: what serde_json says names no value.
            Error::new(
                &codes::SPEC_SYNTAX,
                Stage::CONFIG,
                format!("the document is not valid JSON: {error}"),
            )
        })
    }

    /// # Errors
    /// `spec-syntax`, with line and column.
    pub(crate) fn from_toml(text: &str) -> Result<Self, Error> {
        toml::from_str(text).map_err(|error| {
            // Not its `Display`, which shows the line, with the secret that may stand there.
            let place = match error.span() {
                Some(span) => {
                    let before = text.get(..span.start).unwrap_or(text);
                    let line = before.matches('\n').count() + 1;
                    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
                    format!(" at line {line} column {column}")
                }
                None => String::new(),
            };
            let message = format!("the document is not valid TOML: {}{place}", error.message());
            Error::new(&codes::SPEC_SYNTAX, Stage::CONFIG, message)
        })
    }

    /// # Errors
    /// What is wrong, with its path.
    pub(crate) fn read<T: DeserializeOwned>(self) -> Result<T, Fault> {
        serde_path_to_error::deserialize(self).map_err(|error| {
            let path = error.path().iter().fold(String::new(), |path, segment| {
                // Not the whole of it: a text in the wrong place may be long.
                let segment: String = segment.to_string().chars().take(40).collect();
                join(&path, &segment)
            });
            error.into_inner().below(&path)
        })
    }

    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Self::Null => Unexpected::Unit,
            Self::Bool(value) => Unexpected::Bool(*value),
            Self::Unsigned(value) => Unexpected::Unsigned(*value),
            Self::Signed(value) => Unexpected::Signed(*value),
            Self::Float(value) => Unexpected::Float(*value),
            Self::Text(_) => Unexpected::Str(""),
            Self::List(_) => Unexpected::Seq,
            Self::Object(_) => Unexpected::Map,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Node, D::Error> {
        Node::deserialize(inner)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(u64::try_from(value).map_or(Node::Signed(value), Node::Unsigned))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(Secret::new(text)))
    }

    fn visit_string<E>(self, text: String) -> Result<Node, E> {
        Ok(Node::Text(Secret::new(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Node::Object(fields))
    }
}

/// `snake_case` as the document has it: `snakeCase`.
fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                out.extend(c.to_uppercase());
                upper = false;
            }
            c => out.push(c),
        }
    }
    out
}

/// The known spelling of `name`.
fn known(name: String, names: &[&str]) -> String {
    if names.contains(&name.as_str()) {
        return name;
    }
    let spelled = camel(&name);
    match names.contains(&spelled.as_str()) {
        true => spelled,
        false => name,
    }
}

/// A name that two fields have.
fn twice(fields: &[(String, Node)]) -> Option<&str> {
    let mut names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.windows(2).find_map(|two| match two {
        [a, b] if a == b => Some(*a),
        _ => None,
    })
}

impl<'de> Deserializer<'de> for Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Unsigned(value) => visitor.visit_u64(value),
            Self::Signed(value) => visitor.visit_i64(value),
            Self::Float(value) => visitor.visit_f64(value),
            Self::Text(text) => visitor.visit_str(text.expose()),
            Self::List(nodes) => visitor.visit_seq(SeqDeserializer::new(nodes.into_iter())),
            Self::Object(fields) => {
                // What is read like this may be a secret, names included.
                match twice(&fields) {
                    Some(_) => Err(Fault::field("", "has a field twice")),
                    None => visitor.visit_map(MapDeserializer::new(fields.into_iter())),
                }
            }
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if let Self::Object(fields) = &self
            && let Some(name) = twice(fields)
        {
            // The last one would win.
            let name: String = name.chars().take(40).collect();
            return Err(Fault::field(name, "is given twice"));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Self::Null => visitor.visit_none(),
            node => visitor.visit_some(node),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self {
            Self::Object(fields) => {
                let fields = fields
                    .into_iter()
                    .map(|(name, node)| (known(name, names), node));
                Self::Object(fields.collect()).deserialize_map(visitor)
            }
            // A list would be taken for the fields in order.
            node => Err(serde::de::Error::invalid_type(node.unexpected(), &visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self {
            Self::Text(text) => {
                let name = known(text.expose().to_owned(), variants);
                visitor.visit_enum(name.into_deserializer())
            }
            node => {
                let expected = format!("one of {}", variants.join(", "));
                Err(serde::de::Error::invalid_type(
                    node.unexpected(),
                    &expected.as_str(),
                ))
            }
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct identifier ignored_any
    }
}

impl IntoDeserializer<'_, Fault> for Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// The path of an element.
pub(crate) fn at(list: &str, index: usize) -> String {
    join(list, &format!("[{index}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spells_names_as_the_document_does() {
        let cases = [
            ("connect_timeout", "connectTimeout"),
            ("connectTimeout", "connectTimeout"),
            ("connecttimeout", "connecttimeout"),
            ("$schema", "$schema"),
            ("__proto__", "__proto__"),
        ];
        for (given, spelled) in cases {
            let names = ["connectTimeout", "$schema"];
            assert_eq!(known(given.to_owned(), &names), spelled);
        }
    }

    #[test]
    fn places_in_toml_are_counted_in_characters() {
        let error = Node::from_toml("a = 'ü'\nb = 'ü' c").err().unwrap();
        assert!(error.to_string().ends_with("line 2 column 9"), "{error}");
    }
}
