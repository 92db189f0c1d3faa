//! No secret in what is shown, logged or serialised.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fmt::{Debug, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};

use pgreach_auth_password::{
    CommandPassword, EnvPassword, FilePassword, FixedPassword, PassfilePassword, codes,
};
use pgreach_core::{CredentialProvider, ErrorKind, Stage, Trace};
use support::{MARKER, ask, write};
use tracing::field::{Field, Visit};
use tracing::span;

/// Everything that is logged, fields and all.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = writeln!(self.0.lock().unwrap(), "{field}={value:?}");
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        attributes.record(&mut self.clone());
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn sources(dir: &Path) -> Vec<Box<dyn CredentialProvider>> {
    let file = |name: &str, content: &[u8]| {
        let path = dir.join(name);
        write(&path, content);
        path
    };
    let shell = |script: &str| CommandPassword::new("sh").with_args(["-c", script, MARKER]);
    vec![
        Box::new(FixedPassword::new(MARKER)),
        Box::new(EnvPassword::new("PGREACH_TEST_NOT_SET")),
        Box::new(FilePassword::new(file("good", MARKER.as_bytes()))),
        Box::new(FilePassword::new(file("binary", b"m4rker-s3cret\xff"))),
        Box::new(FilePassword::new(file("zero", b"m4rker-s3cret\0"))),
        Box::new(PassfilePassword::named(file(
            "passfile",
            b"# m4rker-s3cret\n*:*:*:*:m4rker-s3cret\nm4rker-s3cret\n",
        ))),
        Box::new(shell("echo m4rker-s3cret").with_cache(std::time::Duration::from_secs(60))),
        Box::new(shell("printf 'm4rker-s3cret\\377'")),
        Box::new(shell("echo m4rker-s3cret; echo m4rker-s3cret >&2; exit 1")),
        Box::new(shell("yes m4rker-s3cret")),
        Box::new(CommandPassword::new(dir.join("missing")).with_args([MARKER])),
    ]
}

#[tokio::test]
async fn the_marker_is_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::default();
    // For this thread, which is the only one of this test's runtime that logs.
    let _guard = tracing::subscriber::set_default(log.clone());
    let mut shown = String::new();
    for source in sources(dir.path()) {
        let trace = Trace::new();
        for _ in 0..2 {
            match trace
                .enter(Stage::CREDENTIAL)
                .end(ask(source.as_ref()).await)
            {
                Ok(credential) => {
                    let _ = writeln!(shown, "{credential:?}\n{credential:#?}");
                    source.invalidate(&credential);
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Credential);
                    let json = serde_json::to_string(&error).unwrap();
                    let _ = writeln!(shown, "{error}\n{error:?}\n{error:#?}\n{json}");
                    let mut cause: Option<&dyn std::error::Error> = Some(&error);
                    while let Some(error) = cause {
                        let _ = writeln!(shown, "{error}\n{error:?}");
                        cause = error.source();
                    }
                }
            }
            let records = serde_json::to_string(&trace.records()).unwrap();
            let _ = writeln!(shown, "{source:?}\n{source:#?}\n{trace:?}\n{records}");
        }
    }
    let logged = log.0.lock().unwrap().clone();
    // The log is really of these failures, or its silence would prove nothing.
    for code in [
        "password-file-content",
        "password-command-failed",
        "passfile",
    ] {
        assert!(logged.contains(code), "{logged}");
    }
    for text in [shown, logged] {
        assert!(!text.contains(MARKER), "{text}");
        // As a list of bytes, which is how `Debug` shows a vector.
        let bytes = format!("{:?}", MARKER.as_bytes());
        assert!(!text.contains(bytes.trim_matches(['[', ']'])), "{text}");
    }
}

#[test]
fn codes_are_whole_and_unique() {
    let mut names: Vec<_> = codes::ALL.iter().map(|code| code.name()).collect();
    names.extend(pgreach_core::codes::ALL.iter().map(|code| code.name()));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a name is used twice");
    for code in codes::ALL {
        assert_eq!(code.kind(), ErrorKind::Credential);
        for sentence in [code.meaning(), code.remedy()] {
            assert!(
                sentence.ends_with('.') && !sentence.contains(". "),
                "{sentence}"
            );
        }
    }
}

#[test]
fn sources_are_shared_between_tasks() {
    fn check<T: CredentialProvider + Clone + Send + Sync + 'static>() {}
    check::<FixedPassword>();
    check::<EnvPassword>();
    check::<FilePassword>();
    check::<PassfilePassword>();
    check::<CommandPassword>();
}
