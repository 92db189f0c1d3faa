//! What was measured, beside what was to be reached.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// Which values are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// One row.
#[derive(Debug)]
pub(crate) struct Figure {
    name: String,
    ours: f64,
    peer: f64,
    unit: &'static str,
    better: Better,
    /// The least ratio that is good enough.
    bound: f64,
    /// Something went wrong that the value does not show.
    failed: bool,
    notes: Vec<String>,
}

impl Figure {
    pub(crate) fn new(name: &str, unit: &'static str, better: Better, bound: f64) -> Self {
        Self {
            name: name.to_owned(),
            ours: 0.0,
            peer: 0.0,
            unit,
            better,
            bound,
            failed: false,
            notes: Vec::new(),
        }
    }

    /// Without a peer: what is not to be exceeded takes its place, and the least ratio is 1.
    pub(crate) fn limit(name: &str, ours: f64, limit: f64, unit: &'static str) -> Self {
        Self::new(name, unit, Better::Lower, 1.0).with(ours, limit)
    }

    pub(crate) fn with(mut self, ours: f64, peer: f64) -> Self {
        (self.ours, self.peer) = (ours, peer);
        self
    }

    pub(crate) fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    pub(crate) fn with_failure(mut self, note: impl Into<String>) -> Self {
        self.failed = true;
        self.with_note(note)
    }

    fn is_reached(&self) -> bool {
        !self.failed && self.ratio() >= self.bound
    }

    /// Above 1, ours is better.
    fn ratio(&self) -> f64 {
        match self.better {
            Better::Higher => self.ours / self.peer,
            Better::Lower => self.peer / self.ours.max(f64::MIN_POSITIVE),
        }
    }
}

/// `{"<name>": {"ours", "peer", "unit", "ratio"}}`; a ratio above 1 means that ours is better.
pub(crate) fn to_json(figures: &[Figure]) -> Map<String, Value> {
    let rows = figures.iter().map(|figure| {
        let value = json!({
            "ours": round(figure.ours),
            "peer": round(figure.peer),
            "unit": figure.unit,
            "ratio": round(figure.ratio()),
        });
        (figure.name.clone(), value)
    });
    rows.collect()
}

/// The rows as a table for people, and their notes.
pub(crate) fn to_table(figures: &[Figure]) -> String {
    let mut out = String::from(
        "| | ours | peer | ratio (above 1: ours is better) | bound | |\n\
         | --- | ---: | ---: | ---: | ---: | --- |",
    );
    for figure in figures {
        let (ratio, unit) = (figure.ratio(), figure.unit);
        out.push_str(&format!(
            "\n| {} | {} {unit} | {} {unit} | {ratio:.2} | bound {} | {} |",
            figure.name,
            short(figure.ours),
            short(figure.peer),
            figure.bound,
            if figure.is_reached() { "" } else { "MISSED" },
        ));
    }
    for figure in figures {
        for note in &figure.notes {
            out.push_str(&format!("\n{}: {note}", figure.name));
        }
    }
    out
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.3}"),
    }
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
