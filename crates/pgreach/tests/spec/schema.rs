//! The JSON Schema is what the code says.

use std::path::Path;

use pgreach::ConnectionSpec;
use serde_json::{Value, json};

#[test]
fn the_file_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema/connection-spec.json");
    let mut schema = serde_json::to_string_pretty(&ConnectionSpec::json_schema()).unwrap();
    schema.push('\n');
    if std::env::var_os("PGREACH_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &schema).unwrap();
    }
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        file == schema,
        "docs/schema/connection-spec.json is not what the code says; \
         PGREACH_BLESS=1 cargo test -p pgreach --features spec-schema --test spec writes it anew"
    );
}

/// All schemas in a schema, with where they stand.
fn parts<'a>(path: &str, value: &'a Value, found: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(fields) => {
            found.push((path.to_owned(), value));
            for (name, value) in fields {
                parts(&format!("{path}/{name}"), value, found);
            }
        }
        Value::Array(values) => {
            for (i, value) in values.iter().enumerate() {
                parts(&format!("{path}/{i}"), value, found);
            }
        }
        _ => {}
    }
}

#[test]
fn it_says_what_a_form_needs() {
    let schema = ConnectionSpec::json_schema();
    assert_eq!(schema["title"], json!("ConnectionSpec"));
    let fields = &schema["properties"];
    assert_eq!(
        (&fields["name"]["minLength"], &fields["name"]["maxLength"]),
        (&json!(1), &json!(128))
    );
    assert_eq!(fields["description"]["maxLength"], json!(256));
    assert_eq!(schema["required"], json!(["name", "credentials"]));
    assert_eq!(schema["$defs"]["Secret"]["writeOnly"], json!(true));
    // On the field, where a program that makes a form looks for it.
    let password = &schema["$defs"]["CredentialsSpec"]["oneOf"][1]["properties"]["password"];
    assert_eq!(password["writeOnly"], json!(true), "{password}");
    let types = schema["$defs"]["TransportSpec"]["oneOf"]
        .as_array()
        .unwrap();
    let titles: Vec<_> = types.iter().map(|kind| &kind["title"]).collect();
    assert_eq!(titles, [&json!("tcp"), &json!("unix"), &json!("ssh")]);
    assert!(!schema.to_string().contains("\\n"));
    let mut found = Vec::new();
    parts("", &schema, &mut found);
    for (path, part) in found {
        // What can be typed wrong is refused, and what can be filled in is described.
        if part["type"] == json!("object") && path != "/$defs/SessionSpec/properties/parameters" {
            let closed = &part["additionalProperties"];
            assert!(closed == &json!(false), "{path} takes any field");
            for (name, field) in part["properties"].as_object().into_iter().flatten() {
                let tag = field.get("const").is_some();
                let said = field.get("description").or(part.get("description"));
                assert!(tag || said.is_some(), "{path}/{name} has no description");
            }
        }
    }
}
