//! The lines of a `known_hosts` file that are about one host.

use super::base64;
use super::host::HostNames;
use super::key::Blob;
use super::pattern::Hosts;

/// What a line says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// It is the host's.
    Host,
    /// It signs the certificates of the host.
    Authority,
    /// It must not be accepted.
    Revoked,
}

/// A line about the host.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) marker: Marker,
    pub(super) blob: Blob,
    /// Which of the policy's sources it is from.
    pub(super) source: usize,
    /// Counted from one.
    pub(super) line: usize,
    /// Whether it is about the host with its port; else it is about the host alone, whose records
    /// count when there are none with the port.
    pub(super) exact: bool,
}

/// The records about the host in `text`, in their order. A line that OpenSSH skips is skipped.
pub(super) fn records(text: &[u8], names: &HostNames, source: usize) -> Vec<Record> {
    text.split(|byte| *byte == b'\n')
        .enumerate()
        .filter_map(|(index, line)| {
            let (marker, exact, blob) = parse(line, names)?;
            Some(Record {
                marker,
                blob,
                source,
                line: index + 1,
                exact,
            })
        })
        .collect()
}

fn parse(line: &[u8], names: &HostNames) -> Option<(Marker, bool, Blob)> {
    // OpenSSH takes a line for a C string.
    let line = line.split(|byte| *byte == 0).next()?;
    let line = skip_blanks(line);
    if line.is_empty() || line.starts_with(b"#") {
        return None;
    }
    let (marker, line) = marker(line)?;
    let (hosts, line) = word(line);
    let hosts = Hosts::parse(hosts)?;
    let exact = hosts.matches(&names.recorded);
    let is_about_it = exact || names.has_port() && hosts.matches(&names.host);
    if !is_about_it {
        return None;
    }
    let (label, line) = word(line);
    let (blob, _comment) = word(line);
    let blob = Blob::parse(label, &base64::decode(blob)?)?;
    Some((marker, exact, blob))
}

/// The marker, and what follows it; `None` where OpenSSH skips the line.
fn marker(line: &[u8]) -> Option<(Marker, &[u8])> {
    if !line.starts_with(b"@") {
        return Some((Marker::Host, line));
    }
    let (name, rest) = word(line);
    let marker = match name {
        // OpenSSH overlooks a marker that ends with a tab when there is a space further on. A
        // revocation counts all the same; more trust than OpenSSH has is not given.
        b"@revoked" => Marker::Revoked,
        b"@cert-authority" if line.get(name.len()) == Some(&b' ') || !rest.contains(&b' ') => {
            Marker::Authority
        }
        _ => return None,
    };
    (!rest.starts_with(b"@")).then_some((marker, rest))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| is_blank(**byte)).count();
    text.get(blanks..).unwrap_or_default()
}

/// The text up to the next blank, and what follows the blanks.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let len = text.iter().take_while(|byte| !is_blank(**byte)).count();
    let (word, rest) = text.split_at(len);
    (word, skip_blanks(rest))
}
