//! What this crate and `ssh -G` find in a configuration file.

use std::process::Command;

use pgreach_transport_ssh::SshConfigHost;

use crate::support::{self, Bench};

/// What both must agree on, as lines of `ssh -G`.
pub(crate) fn ours(host: &SshConfigHost) -> Vec<String> {
    let mut lines = vec![
        format!("hostname {}", host.host_name()),
        format!("port {}", host.port()),
    ];
    if let Some(user) = host.user() {
        lines.push(format!("user {user}"));
    }
    for file in host.identity_files() {
        lines.push(format!("identityfile {}", file.display()));
    }
    if host.identity_files().is_empty() && !host.uses_default_keys() {
        lines.push("identityfile none".to_owned());
    }
    if !host.proxy_jump().is_empty() {
        lines.push(format!("proxyjump {}", host.proxy_jump().join(",")));
    }
    let files: Vec<_> = host
        .user_known_hosts_files()
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let files = match files.as_slice() {
        [] => "none".to_owned(),
        files => files.join(" "),
    };
    lines.push(format!("userknownhostsfile {files}"));
    lines.sort();
    lines
}

pub(crate) fn theirs(bench: &Bench, text: &str, alias: &str, ours: &SshConfigHost) -> Vec<String> {
    let file = bench.write("config", text);
    let mut command = Command::new("ssh");
    let output = support::run(command.args(["-G", "-F"]).arg(&file).arg(alias));
    let home = std::env::home_dir().unwrap();
    let mut lines: Vec<String> = output
        .lines()
        .filter(|line| match line.split(' ').next().unwrap() {
            "hostname" | "port" | "proxyjump" | "userknownhostsfile" => true,
            // Without one ssh shows its defaults, which are left to the program here.
            "identityfile" => !ours.uses_default_keys(),
            "user" => ours.user().is_some(),
            _ => false,
        })
        // ssh replaces these after it has printed them.
        .map(|line| line.replace("~/", &format!("{}/", home.display())))
        .map(|line| match line.to_ascii_lowercase().as_str() {
            none @ ("identityfile none" | "userknownhostsfile none") => none.to_owned(),
            _ => line,
        })
        .collect();
    lines.sort();
    lines
}
