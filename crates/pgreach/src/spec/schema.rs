//! The JSON Schema of the documents.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::ConnectionSpec;
use super::document::Document;
use super::secret::{SecretSource, TextSource};
use super::value::{Network, Timeout};

impl ConnectionSpec {
    /// The JSON Schema (draft 2020-12) of the documents, as in `docs/schema/connection-spec.json`.
    ///
    /// It knows each field and its values, and not every contradiction between fields:
    /// [`from_json`](Self::from_json) does.
    #[must_use]
    pub fn json_schema() -> Value {
        let mut schema = schemars::schema_for!(Document).to_value();
        finish(&mut schema);
        schema
    }
}

impl JsonSchema for ConnectionSpec {
    fn schema_name() -> Cow<'static, str> {
        "ConnectionSpec".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Document::json_schema(generator)
    }
}

/// What programs that make forms look for, in each part of `schema`.
fn finish(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            // Comments of several lines.
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            let kind = fields.get("properties").and_then(|own| own.get("type"));
            if let Some(kind) = kind.and_then(|kind| kind.get("const")).cloned() {
                fields.insert("title".to_owned(), kind);
            }
            let secret = serde_json::json!({ "$ref": "#/$defs/Secret" });
            let kinds = fields.get("anyOf").and_then(Value::as_array);
            if kinds.is_some_and(|kinds| kinds.contains(&secret)) {
                fields.insert("writeOnly".to_owned(), Value::Bool(true));
            }
            fields.values_mut().for_each(finish);
        }
        Value::Array(parts) => parts.iter_mut().for_each(finish),
        _ => {}
    }
}

fn reference(field: &str, what: &str, value: Value) -> Value {
    let mut properties = serde_json::Map::new();
    properties.insert(field.to_owned(), value);
    serde_json::json!({
        "type": "object",
        "description": what,
        "properties": properties,
        "required": [field],
        "additionalProperties": false,
    })
}

fn sources(text: &str) -> Value {
    serde_json::json!([
        { "type": "string", "minLength": 1, "description": text },
        reference(
            "env",
            "In an environment variable.",
            serde_json::json!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" }),
        ),
        reference(
            "file",
            "In a file.",
            serde_json::json!({ "type": "string", "minLength": 1 }),
        ),
        reference(
            "command",
            "Printed by a program: the program and its arguments.",
            serde_json::json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 }),
        ),
    ])
}

impl JsonSchema for SecretSource {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A secret, or where it is kept. It is never written out.",
            "writeOnly": true,
            "anyOf": sources("The secret itself."),
        })
    }
}

impl JsonSchema for TextSource {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A text, or where it is kept.",
            "anyOf": sources("The text itself."),
        })
    }
}

impl JsonSchema for Timeout {
    fn schema_name() -> Cow<'static, str> {
        "Timeout".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of seconds, or a text such as 30s, 1500ms or 2m; at most an hour.",
            "anyOf": [
                { "type": "integer", "minimum": 1, "maximum": 3600 },
                { "type": "string", "pattern": "^[0-9]+(ms|s|m)$" },
            ],
        })
    }
}

impl JsonSchema for Network {
    fn schema_name() -> Cow<'static, str> {
        "Network".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A network in CIDR notation, such as 10.1.0.0/16.",
            "type": "string",
        })
    }
}
