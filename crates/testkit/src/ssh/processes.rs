//! Which processes belong to a server.
//!
//! Each session of sshd is a process group and a session of its own, so that a signal to the
//! listener's group reaches none of them. Those of one mount namespace are told by that; others by
//! whose children they are.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::command::run;

/// A process, which another one of the same id is not mistaken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// The time of its start, in units of the system; 0 where there is no /proc.
    started: u64,
}

/// A line of the list of processes.
struct Entry {
    process: Process,
    parent: u32,
    state: char,
}

impl Process {
    /// Sends a signal, unless the process is gone.
    pub(super) fn signal(self, signal: Signal) {
        if self.is_alive()
            && let Ok(pid) = i32::try_from(self.pid)
        {
            // It may end in this moment, which is what most signals are sent for.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    pub(super) fn is_alive(self) -> bool {
        entry(self.pid).is_some_and(|entry| entry.process == self && entry.state != 'Z')
    }

    pub(super) fn is_stopped(self) -> bool {
        entry(self.pid).is_none_or(|entry| entry.process != self || "TtZ".contains(entry.state))
    }
}

/// The processes in the mount namespace of `holder`, but for this one.
pub(super) fn in_namespace_of(holder: u32) -> BTreeSet<Process> {
    let namespace = |pid: u32| {
        let meta = fs::metadata(format!("/proc/{pid}/ns/mnt")).ok()?;
        Some((meta.dev(), meta.ino()))
    };
    let Some(ours) = namespace(holder) else {
        return BTreeSet::new();
    };
    all()
        .into_iter()
        .map(|entry| entry.process)
        .filter(|process| process.pid != holder && namespace(process.pid) == Some(ours))
        .collect()
}

/// A process, its children, theirs and so on.
pub(super) fn family_of(root: u32) -> BTreeSet<Process> {
    let all = all();
    let mut family = BTreeSet::new();
    let mut open = vec![root];
    while let Some(next) = open.pop() {
        for entry in &all {
            let related = entry.parent == next || entry.process.pid == root;
            if related && entry.state != 'Z' && family.insert(entry.process) {
                open.push(entry.process.pid);
            }
        }
    }
    family
}

/// How many children a process has.
pub(super) fn children_of(parent: u32) -> usize {
    all()
        .iter()
        .filter(|entry| entry.parent == parent && entry.state != 'Z')
        .count()
}

fn all() -> Vec<Entry> {
    if !Path::new("/proc/self/stat").exists() {
        return listed();
    }
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|found| found.file_name().to_str()?.parse().ok())
        .filter_map(entry)
        .collect()
}

fn entry(pid: u32) -> Option<Entry> {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => parse_stat(pid, &stat),
        Err(_) if Path::new("/proc/self/stat").exists() => None,
        Err(_) => listed().into_iter().find(|entry| entry.process.pid == pid),
    }
}

/// Where there is no /proc, as on macOS.
fn listed() -> Vec<Entry> {
    let list = run(Command::new("ps").args(["-axo", "pid=,ppid=,state="])).unwrap_or_default();
    list.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some(Entry {
                process: Process {
                    pid: words.next()?.parse().ok()?,
                    started: 0,
                },
                parent: words.next()?.parse().ok()?,
                state: words.next()?.chars().next()?,
            })
        })
        .collect()
}

/// The second field is the program's name in parentheses, which may hold any character.
fn parse_stat(pid: u32, stat: &str) -> Option<Entry> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some(Entry {
        process: Process {
            pid,
            // The 22nd of all fields.
            started: fields.get(19)?.parse().ok()?,
        },
        parent: fields.get(1)?.parse().ok()?,
        state: fields.first()?.chars().next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_with_its_child() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let family = family_of(std::process::id());
        let found = family.iter().find(|process| process.pid == child.id());
        let found = *found.expect("the child is in the list");
        assert!(found.is_alive());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!found.is_alive());
    }

    #[test]
    fn names_with_parentheses_do_not_confuse() {
        let mut stat = "7 (a) b) S 5".to_owned();
        for field in 5..=22 {
            stat.push_str(&format!(" {field}"));
        }
        let entry = parse_stat(7, &stat).unwrap();
        assert_eq!(
            (entry.parent, entry.state, entry.process.started),
            (5, 'S', 22)
        );
    }
}
