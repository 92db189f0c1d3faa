//! Which files `~/.ssh/config` includes, how often they are read, and who may write to them.
#![cfg(feature = "config-file")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/config.rs"]
mod config;
mod support;

use std::process::Command;

use config::{ours, theirs};
use pgreach_transport_ssh::SshConfig;
use support::Bench;

#[test]
fn includes() {
    let bench = Bench::new();
    let dir = bench.path("");
    let dir = dir.display();
    bench.write("inner", "Port 5\nHost b\nUser inner\nHost *\nUser any");
    bench.write("part-1", "Host c\nPort 1");
    bench.write("part-2", "Host *\nPort 2");
    // Names before and after a slash, in the order of their bytes, and hidden ones.
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        let name = std::ffi::OsStr::from_bytes(b"no-text-\xff");
        // Some file systems have no such names.
        let _ = std::fs::write(bench.path("").join(name), "");
    }
    for (name, port) in [
        ("tree/.hidden", 11),
        ("tree/b", 12),
        ("tree/a", 13),
        ("tree/B", 14),
        ("tree-x/a", 15),
        ("tree/\u{e4}", 16),
        (".tree/a", 17),
    ] {
        let path = bench.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        bench.write(name, &format!("Port {port}\nIdentityFile /k/{port}\n"));
    }
    let rows = [
        (format!("Include {dir}/inner\nUser outer"), vec!["a", "b"]),
        // Within a block only for its hosts, and the block goes on behind.
        (
            format!("Host a\nInclude {dir}/inner\nHostName x\nHost *\nPort 7\nUser u"),
            vec!["a", "b", "c"],
        ),
        (
            format!("Host b\nPort 1\nInclude {dir}/inner"),
            vec!["a", "b"],
        ),
        (format!("Include {dir}/part-*\nUser u"), vec!["a", "c"]),
        (format!("Include {dir}/part-2 {dir}/part-1"), vec!["a", "c"]),
        (format!("Include {dir}/none {dir}/none*\nPort 3"), vec!["a"]),
        (format!("Include {dir}/tree/*"), vec!["a"]),
        (format!("Include {dir}/tree*/*"), vec!["a"]),
        (format!("Include {dir}/tree*/a"), vec!["a"]),
        (format!("Include {dir}/*/a"), vec!["a"]),
        (
            format!("Include {dir}/?tree/a {dir}/tree/?hidden"),
            vec!["a"],
        ),
        (format!("Include {dir}/.tree/a {dir}/tree/.h*"), vec!["a"]),
        (format!("Include {dir}/tree/[!b]*"), vec!["a"]),
        (format!("Include {dir}/tree {dir}/t*"), vec!["a"]),
    ];
    for (text, aliases) in &rows {
        let outer = bench.write("outer", text);
        let config = SshConfig::from_file(outer).unwrap();
        for alias in aliases {
            let host = config.host(alias).unwrap();
            assert_eq!(
                ours(&host),
                theirs(&bench, text, alias, &host),
                "{text}\n{alias}"
            );
        }
    }
    let own = bench.write("own", &format!("Include {dir}/own"));
    let error = SshConfig::from_file(own).unwrap_err();
    assert!(error.message().contains("include each other"), "{error}");
    // Four to the power of sixteen lines, if nobody counted.
    let four = format!("Include {dir}/four\n").repeat(4);
    let four = bench.write("four", &four);
    assert!(SshConfig::from_file(four).is_err());
}

/// `Match final` has `ssh` read the files again, wherever it stands: `Host` lines are then about the
/// name in `HostName`. This is what `ssh` does, and why it is refused here.
#[test]
fn a_second_reading_of_the_files_is_refused() {
    let bench = Bench::new();
    let hidden = bench.write("hidden", "Match final host nowhere\nUser u\n");
    let rest = "Host a\nHostName b\n";
    for text in [
        format!("Host b\nPort 7\nMatch final\nUser u\n{rest}"),
        format!("Host b\nPort 7\nMatch !final\nUser u\n{rest}"),
        format!("Host b\nPort 7\nMatch host nowhere final\nUser u\n{rest}"),
        format!(
            "Host b\nPort 7\nHost nowhere\nInclude {}\n{rest}",
            hidden.display()
        ),
    ] {
        let file = bench.write("config", &text);
        let mut command = Command::new("ssh");
        let theirs = support::run(command.args(["-G", "-F"]).arg(&file).arg("a"));
        assert!(theirs.contains("\nport 7\n"), "{text}");
        let error = SshConfig::from_file(&file).unwrap().host("a").unwrap_err();
        assert!(error.message().contains("Match final"), "{text}: {error}");
    }
    // A word that only looks like it.
    let config = SshConfig::from_text("Match host final\nPort 1").unwrap();
    assert_eq!(config.host("final").unwrap().port(), 1);
}

/// As `ssh` does for included files, and for `~/.ssh/config`.
#[cfg(unix)]
#[test]
fn files_that_others_could_change_are_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    let inner = bench.write("inner", "Port 5\n");
    let outer = bench.write("outer", &format!("Include {}\n", inner.display()));
    let ssh = || {
        let mut command = Command::new("ssh");
        let command = command.args(["-G", "-F"]).arg(&outer).arg("a");
        command.output().unwrap().status.success()
    };
    let set = |file: &std::path::Path, mode| {
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for (mode, fit) in [(0o600, true), (0o644, true), (0o664, false), (0o602, false)] {
        set(&inner, mode);
        assert_eq!(SshConfig::from_file(&outer).is_ok(), fit, "{mode:o}");
        // Debian's ssh lets the group write if nobody else is in it.
        if mode & 0o020 == 0 {
            assert_eq!(ssh(), fit, "{mode:o}");
        }
        set(&inner, 0o600);
        set(&outer, mode);
        assert_eq!(SshConfig::from_file(&outer).is_ok(), fit, "{mode:o}");
        set(&outer, 0o600);
    }
    set(&inner, 0o664);
    let error = SshConfig::from_file(&outer).unwrap_err();
    assert_eq!(error.code().name(), "config-file");
    assert!(error.message().contains("may write to it"), "{error}");
    set(&inner, 0o600);
    // Only root can give files away.
    if std::os::unix::fs::chown(&inner, Some(65534), None).is_ok() {
        let error = SshConfig::from_file(&outer).unwrap_err();
        assert!(error.message().contains("another user"), "{error}");
        assert!(!ssh());
    }
}

/// A pipe in place of a file must not hold up the program.
#[cfg(unix)]
#[test]
fn pipes_are_no_files() {
    let bench = Bench::new();
    let pipe = bench.path("pipe");
    support::run(Command::new("mkfifo").arg(&pipe));
    assert!(SshConfig::from_file(&pipe).is_err());
    assert!(SshConfig::from_text(&format!("Include {}", pipe.display())).is_err());
}
