//! What is shown and logged, and that no secret is in it.

use std::cell::Cell;
use std::error::Error as _;
use std::fmt::{Debug, Write as _};
use std::io;
use std::sync::{Mutex, Once};

use pgreach::{Error, Report};

/// Everything that this process logs: through `tracing` and, as the driver does, through `log`.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

thread_local! {
    static MUTED: Cell<bool> = const { Cell::new(false) };
}

/// Lets what this thread logs be forgotten: a minute of it at this level fills the memory.
pub(crate) fn mute() {
    MUTED.set(true);
}

struct Logger;

impl io::Write for Logger {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !MUTED.get() {
            LOG.lock().unwrap().extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        !MUTED.get()
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {} {}\n", record.level(), record.target(), record.args());
        let _ = io::Write::write(&mut Logger, line.as_bytes());
    }

    fn flush(&self) {}
}

/// Writes everything down from now on, of every crate.
pub(crate) fn listen() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(|| Logger)
            .init();
        log::set_logger(&Logger).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
}

/// Who finds no secret in a log must have looked at the right one.
fn logged() -> String {
    let log = String::from_utf8_lossy(&LOG.lock().unwrap()).into_owned();
    for target in ["pgreach", "tokio_postgres"] {
        assert!(log.contains(target), "nothing was logged of {target}");
    }
    log
}

/// What was shown, and of what.
#[derive(Default)]
pub(crate) struct Shown(Vec<(String, String)>);

impl Shown {
    pub(crate) fn text(&mut self, what: &str, text: impl Into<String>) {
        self.0.push((what.to_owned(), text.into()));
    }

    pub(crate) fn debug(&mut self, what: &str, value: &dyn Debug) {
        self.text(what, format!("{value:?}\n{value:#?}"));
    }

    /// With all that it comes from.
    pub(crate) fn error(&mut self, what: &str, error: &Error) {
        let mut text = format!("{error}\n{error:?}\n{error:#?}\n{}\n", error.hint());
        text.push_str(&serde_json::to_string(error).unwrap());
        let mut next = error.source();
        while let Some(cause) = next {
            write!(text, "\n{cause}\n{cause:?}\n{cause:#?}").unwrap();
            next = cause.source();
        }
        self.text(what, text);
    }

    pub(crate) fn report(&mut self, what: &str, report: &Report) {
        let json = serde_json::to_string(report).unwrap();
        let text = format!("{report}\n{report:?}\n{}\n{json}", report.to_markdown());
        self.text(what, text);
        if let Some(error) = report.error() {
            self.error(what, error);
        }
    }

    /// Everything in one text, the log included.
    pub(crate) fn all(self) -> String {
        let texts: Vec<_> = self.0.into_iter().map(|(_, text)| text).collect();
        format!("{}\n{}", texts.join("\n"), logged())
    }

    /// Fails if one of these, or a part of one that is a token, was shown or logged.
    pub(crate) fn assert_silent(mut self, secrets: &[String]) {
        self.text("the log", logged());
        for (what, text) in &self.0 {
            assert!(!text.is_empty(), "{what} shows nothing");
            assert_silent(what, text, secrets);
        }
    }
}

/// Fails if the text shows one of these, or the claims or the signature of one that is a token.
pub(crate) fn assert_silent(what: &str, text: &str, secrets: &[String]) {
    assert!(!secrets.is_empty(), "there is nothing to look for");
    for secret in secrets {
        // The header is the same in all tokens, and tells nothing.
        let parts = secret
            .split('.')
            .skip(usize::from(secret.matches('.').count() == 2));
        for part in parts {
            assert!(part.len() >= 8, "too short to be looked for");
            assert!(!text.contains(part), "{what} shows {part}");
        }
    }
}
