//! Documents that are wrong: which code, which path, and never a value.

mod conflicts;
mod fields;

use pgreach::{ConnectionSpec, ErrorKind};
use serde_json::{Value, json};

/// What stands in the place of values and must not be repeated.
const MARKER: &str = "hunter2";

fn with(path: &str, value: Value) -> Value {
    let mut document = json!({
        "name": "orders",
        "endpoint": { "host": "db.example.com" },
        "credentials": { "type": "password", "user": "app", "password": MARKER },
    });
    *document.pointer_mut(path).unwrap_or(&mut Value::Null) = Value::Null;
    let (parent, field) = path.rsplit_once('/').unwrap();
    let mut place = &mut document;
    for name in parent.split('/').skip(1) {
        place = place
            .as_object_mut()
            .unwrap()
            .entry(name)
            .or_insert_with(|| json!({}));
    }
    place[field] = value;
    document
}

fn assert_refused(document: &Value, code: &str, path: &str) {
    let json = document.to_string();
    let mut errors = vec![ConnectionSpec::from_json(&json).map(drop).unwrap_err()];
    // The same words from TOML, which has no null.
    if !json.contains("null") {
        let toml = toml::to_string(&document).unwrap();
        errors.push(ConnectionSpec::from_toml(&toml).map(drop).unwrap_err());
        assert_eq!(errors[0].to_string(), errors[1].to_string());
    }
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert_eq!(error.code().name(), code, "{json}: {error}");
        let message = error.to_string();
        assert!(
            message.starts_with(&format!("{path}: ")),
            "{json}: {message}, not {path}"
        );
        assert!(
            !format!("{error:?} {message}").contains(MARKER),
            "{error:?}"
        );
    }
    // Other deserialisers repeat no value, either.
    let error = serde_json::from_value::<ConnectionSpec>(document.clone()).unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with(&format!("{path}: ")), "{message}");
    assert!(
        !message.contains(MARKER) && !message.contains(char::is_control),
        "{message}"
    );
}

#[test]
fn an_unknown_type_lists_the_known_ones() {
    let document = with("/transport", json!({ "type": "privateEndpoint" }));
    let error = ConnectionSpec::from_json(&document.to_string()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "transport.type: must be one of tcp, unix, ssh"
    );
    let document = with("/limits", json!({ "conectTimeout": 1 }));
    let error = ConnectionSpec::from_json(&document.to_string()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "limits.conectTimeout: there is no such field; there are connectTimeout, maxMessageSize"
    );
}

#[test]
fn fields_that_are_given_twice() {
    for (text, path) in [
        (r#"{"name":"a","name":"b"}"#, "name"),
        (
            r#"{"name":"a","limits":{"connectTimeout":1,"connect_timeout":2}}"#,
            "limits.connectTimeout",
        ),
        (
            r#"{"name":"a","session":{"parameters":{"a":"1","a":"2"}}}"#,
            "session.parameters.a",
        ),
    ] {
        let error = ConnectionSpec::from_json(text).unwrap_err();
        assert_eq!(error.to_string(), format!("{path}: is given twice"));
    }
}

#[test]
fn what_is_no_document_is_told_with_its_place() {
    for (text, place) in [
        ("", "line 1 column 0"),
        ("{", "line 1 column 1"),
        ("{\n  \"name\": \"hunter2\",\n}", "line 3 column 1"),
        ("{\"name\": hunter2}", "line 1 column 10"),
        ("{\"name\": \"hunter2\\x\"}", "line 1 column 19"),
    ] {
        let error = ConnectionSpec::from_json(text).unwrap_err();
        assert_eq!(error.code().name(), "spec-syntax");
        assert!(error.to_string().ends_with(place), "{error}");
        assert!(!format!("{error:?}").contains(MARKER), "{error:?}");
    }
    for (text, place) in [
        ("name = ", "line 1 column 8"),
        ("name = 'a'\npassword = hunter2", "line 2 column 12"),
        ("name = 'hunter2", "line 1 column 16"),
        ("[a]\n[a]\n", "line 2 column 2"),
    ] {
        let error = ConnectionSpec::from_toml(text).unwrap_err();
        assert_eq!(error.code().name(), "spec-syntax");
        assert!(error.to_string().ends_with(place), "{error}");
        assert!(!format!("{error:?}").contains(MARKER), "{error:?}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in [deep.clone(), format!("{{\"name\":{deep}}}")] {
        assert!(ConnectionSpec::from_json(&text).is_err());
        assert!(ConnectionSpec::from_toml(&format!("name = {text}")).is_err());
    }
    let error = ConnectionSpec::from_toml("name = 1979-05-27").unwrap_err();
    assert!(
        error.to_string().starts_with("name: must be a text"),
        "{error}"
    );
}
