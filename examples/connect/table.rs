//! What a server answered, and how it looks to a person.

use pgreach::Error;
use pgreach::text::escape_control;
use pgreach::tokio_postgres::SimpleQueryMessage;

/// The longest text that a cell shows, in characters.
const WIDEST: usize = 80;

/// What one statement gave.
#[derive(Default)]
pub(crate) struct Statement<'a> {
    /// `None`: the statement has no rows to give.
    pub(crate) columns: Option<Vec<&'a str>>,
    pub(crate) rows: Vec<Vec<Option<&'a str>>>,
    /// How many rows it returned or changed.
    count: u64,
}

/// The messages, by statement.
pub(crate) fn results(messages: &[SimpleQueryMessage]) -> Result<Vec<Statement<'_>>, Error> {
    let mut results = Vec::new();
    let mut current = Statement::default();
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                current.columns = Some(columns.iter().map(|column| column.name()).collect());
            }
            SimpleQueryMessage::Row(row) => {
                // `get` would panic at a value that is not UTF-8.
                let cells: Result<_, _> = (0..row.len()).map(|i| row.try_get(i)).collect();
                current.rows.push(cells?);
            }
            SimpleQueryMessage::CommandComplete(count) => {
                current.count = *count;
                results.push(std::mem::take(&mut current));
            }
            _ => {}
        }
    }
    Ok(results)
}

/// A table for each statement.
pub(crate) fn draw(results: &[Statement<'_>]) -> String {
    let tables: Vec<String> = results.iter().map(draw_one).collect();
    tables.join("\n\n")
}

fn draw_one(statement: &Statement<'_>) -> String {
    let count = statement.count;
    let count = format!("({count} {})", if count == 1 { "row" } else { "rows" });
    let Some(columns) = &statement.columns else {
        return count;
    };
    let head: Vec<String> = columns.iter().map(|name| shown(name)).collect();
    let body: Vec<Vec<String>> = statement
        .rows
        .iter()
        .map(|row| {
            row.iter()
                .map(|cell| shown(cell.unwrap_or("NULL")))
                .collect()
        })
        .collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|i| {
            let cells = body.iter().chain([&head]).filter_map(|row| row.get(i));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &Vec<String>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        padded.join(" | ").trim_end().to_owned()
    };
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut lines = vec![line(&head), rule.join("-+-")];
    lines.extend(body.iter().map(line));
    lines.push(count);
    lines.join("\n")
}

/// `text` without control characters, cut where it is too long.
fn shown(text: &str) -> String {
    match text.char_indices().nth(WIDEST) {
        None => escape_control(text),
        Some((end, _)) => format!("{}…", escape_control(&text[..end])),
    }
}
