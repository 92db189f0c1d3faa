//! `~/.ssh/config`, with `ssh -G` as the judge.
#![cfg(feature = "config-file")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/config.rs"]
mod config;
mod support;

use config::{ours, theirs};
use pgreach_transport_ssh::SshConfig;
use support::Bench;

#[test]
fn as_ssh_reads_it() {
    let bench = Bench::new();
    let rows: &[(&str, &[&str])] = &[
        ("", &["a", "a.example.org", "10.0.0.1"]),
        (
            "Host a\n HostName b\n User u\n Port 2222\n",
            &["a", "b", "A"],
        ),
        // The first value counts, also within a block and from before the first Host.
        (
            "User one\nUser two\nHost a\nUser three\nPort 1\nPort 2",
            &["a", "b"],
        ),
        (
            "Host a\nPort 1\nHost *\nPort 2\nHost b\nPort 3",
            &["a", "b"],
        ),
        // Patterns.
        (
            "Host *.example.org !db.example.org 10.?.0.*\nPort 1\nHost !a *\nPort 2\nHost !b\nPort 3",
            &[
                "x.example.org",
                "db.example.org",
                "10.1.0.99",
                "10.11.0.1",
                "a",
                "b",
            ],
        ),
        // Spellings.
        ("hOsT a\nPORT=7\nuser = u\nHostName=\"b\"", &["a"]),
        ("\tHost\ta\t\n\tPort\t7\t# comment\r\n", &["a"]),
        ("Host \"a\" 'b'\nUser \"with space\"", &["a", "b"]),
        (
            "# comment\n\n  # another\nHost a # comment\nPort 9",
            &["a", "comment"],
        ),
        (
            "Host A\nHostName UPPER\nMatch host UPPER\nPort 5\nMatch host upper\nPort 6",
            &["A", "UPPER", "Upper", "upper"],
        ),
        ("Host a\nHostName x#y", &["a"]),
        ("Host a\nUser a\\ b\nHost b\nUser \"a\\\"b\"", &["a", "b"]),
        // Tokens.
        ("Host a b\nHostName %h.example.org", &["a", "b"]),
        ("HostName 100%%%h", &["a"]),
        // Identity files add up, without repetition.
        (
            "Host a\nIdentityFile /k/1\nIdentityFile ~/.ssh/2\nHost *\nIdentityFile /k/3\nIdentityFile /k/1",
            &["a", "b"],
        ),
        ("IdentityFile \"/k/with space\"", &["a"]),
        ("IdentityFile none", &["a"]),
        (
            "Host a\nIdentityFile NONE\nHost b\nIdentityFile /k/1",
            &["a", "b", "c"],
        ),
        // Jumps.
        ("Host a\nProxyJump b\nHost *\nProxyJump c", &["a", "b"]),
        ("Host a\nProxyJump none\nHost *\nProxyJump c", &["a"]),
        ("ProxyJump u@b:2222,c,[::1]:22", &["a"]),
        ("ProxyJump b\nProxyCommand nc %h %p", &["a"]),
        ("ProxyCommand none\nProxyJump b", &["a"]),
        // Known hosts.
        (
            "UserKnownHostsFile /k/1 /k/2\nUserKnownHostsFile /k/3",
            &["a"],
        ),
        ("UserKnownHostsFile ~/.ssh/other", &["a"]),
        ("UserKnownHostsFile none\nUserKnownHostsFile /k", &["a"]),
        (
            "Host a\nUserKnownHostsFile NoNe\nHost *\nUserKnownHostsFile /k",
            &["a", "b"],
        ),
        // Match.
        ("Match all\nPort 1\nHost a\nPort 2", &["a"]),
        (
            "Match host a,b*\nPort 1\nMatch host !c,*\nPort 2",
            &["a", "bc", "c", "d"],
        ),
        (
            "Host a\nHostName b\nMatch host b\nPort 1\nMatch originalhost a\nUser u",
            &["a", "b"],
        ),
        (
            "Match !host a\nPort 1\nMatch host a user u\nPort 2",
            &["a", "b"],
        ),
        (
            "Host a\nUser u\nMatch user u\nPort 1\nMatch user v\nPort 2",
            &["a", "b"],
        ),
        (
            "Match user nobody-at-all exec false\nPort 1\nMatch localuser nobody-at-all\nPort 2",
            &["a"],
        ),
        ("Match canonical all\nPort 1", &["a"]),
        ("Match !canonical all\nPort 1", &["a"]),
        ("Match !canonical host a\nPort 1", &["a", "b"]),
        (
            "Match host=a\nPort 1\nMatch !host=a\nPort 2\nMatch HOST=a,b user=u\nUser v",
            &["a", "b"],
        ),
        (
            "Host a\nUser u\nMatch originalhost=a user=u\nPort 1",
            &["a", "b"],
        ),
        ("Match user=nobody-at-all exec=false\nPort 1", &["a"]),
        (
            "CheckHostIP no\nIdentityAgent none\nIdentitiesOnly yes",
            &["a"],
        ),
        // What does not matter here, and what is asked to be ignored.
        (
            "ForwardAgent yes\nServerAliveInterval 30\nSendEnv LANG LC_*\nAddKeysToAgent ask",
            &["a"],
        ),
        (
            "IgnoreUnknown Use*,Foo\nUseKeychain yes\nFoo bar\nPort 1",
            &["a"],
        ),
        (
            "StrictHostKeyChecking yes\nHost a\nStrictHostKeyChecking no",
            &["a"],
        ),
    ];
    let mut differ = Vec::new();
    for (text, aliases) in rows {
        let config = SshConfig::from_text(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        for alias in *aliases {
            let host = config
                .host(alias)
                .unwrap_or_else(|error| panic!("{text}: {error}"));
            let (ours, theirs) = (ours(&host), theirs(&bench, text, alias, &host));
            if ours != theirs {
                differ.push(format!("{text}\n-> {alias}\n{ours:#?}\n{theirs:#?}"));
            }
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n\n"));
}

#[test]
fn what_cannot_be_followed_is_refused_where_it_applies() {
    for line in [
        "ProxyCommand nc %h %p",
        "StrictHostKeyChecking no",
        "StrictHostKeyChecking accept-new",
        "HostKeyAlias b",
        "CanonicalizeHostname yes",
        "KnownHostsCommand /bin/true",
        "RevokedHostKeys /k",
        "VerifyHostKeyDNS yes",
        "GlobalKnownHostsFile /dev/null",
        "NoHostAuthenticationForLocalhost yes",
        "CertificateFile /k",
        "BindAddress 10.0.0.1",
        "AddressFamily inet6",
        "Ciphers aes256-ctr",
        "HostKeyAlgorithms +ssh-rsa",
        "NotAKeyword x",
        "HostName a b",
        "HostName %x",
        "Port 0",
        "Port x",
        "Port 65536",
        "IdentityFile ~other/key",
        "IdentityFile ${HOME}/key",
        "IdentityFile /k/%C",
        "UserKnownHostsFile /k/%k",
        "ProxyJump -oProxyCommand=x",
        "ProxyJump b,,c",
        "CheckHostIP yes",
        "Include /k/%h",
        "Include ${HOME}/x",
        "Include /k/**/x",
        "Include /k/**",
        "Include \"/k/[^a]\"",
        "User %h",
        "User ${USER}",
        "UserKnownHostsFile /k/1 none",
        "UserKnownHostsFile none /k/1",
        "IdentityAgent $SOCKET",
        "IdentityAgent ${SOCKET}",
        "IdentityAgent /%x",
        "IdentitiesOnly perhaps",
    ] {
        let config = SshConfig::from_text(&format!("Host a\n  {line}\n")).unwrap();
        let error = config.host("a").unwrap_err();
        assert_eq!(error.code().name(), "ssh-config-invalid", "{line}");
        assert!(error.message().contains("line 2"), "{line}: {error}");
        assert!(config.host("other").is_ok(), "{line}");
    }
    let keyword = SshConfig::from_text("Host a\nProxyCommand nc %h %p").unwrap();
    let error = keyword.host("a").unwrap_err();
    assert!(
        error.message().contains("ProxyCommand applies to a"),
        "{error}"
    );
    for line in [
        "Match exec true",
        "Match exec=true",
        "Match final",
        "Match !final",
        "Match final host nowhere",
        "Match host nowhere FINAL",
        "Match host=nowhere !final all",
        "Match final all",
        "Match tagged x",
        "Match localnetwork 10.0.0.0/8",
    ] {
        let config = SshConfig::from_text(&format!("Host a\n{line}\nPort 1")).unwrap();
        let error = config.host("b").unwrap_err();
        let name = if line.to_lowercase().contains("final") {
            "Match final"
        } else {
            line.split([' ', '=']).nth(1).unwrap()
        };
        assert!(error.message().contains(name), "{error}");
    }
    // What no version knows, or what not all understand alike.
    for line in [
        "Match unheard-of x",
        "Match host nowhere unheard-of x",
        "Match unheard-of=x",
        "Match host",
        "Match host=",
        "Match host= a",
        "Match host = a",
        "Match host =a",
        "Match all host a",
        "Match all=a",
        "Match canonical=a",
        "Match !",
    ] {
        let config = SshConfig::from_text(&format!("Host a\n{line}\nPort 1")).unwrap();
        let error = config.host("b").unwrap_err();
        assert!(error.message().contains("line 2"), "{line}: {error}");
    }
    for text in ["Host", "Host \"a", "\"", "=", "Port"] {
        assert!(SshConfig::from_text(text).is_err(), "{text}");
    }
    let missing = SshConfig::from_file("missing/config").unwrap_err();
    assert_eq!(missing.code().name(), "config-file");
}

#[test]
fn tokens_and_defaults() {
    let home = std::env::home_dir().unwrap();
    let config = SshConfig::from_text(
        "Host a\nHostName b\nUser u\nPort 7\nIdentityFile %d/%n-%h-%p-%r-%%\nIdentityFile none\n\
         ProxyJump %n.%h\nUserKnownHostsFile none",
    )
    .unwrap();
    let host = config.host("a").unwrap();
    assert_eq!(host.identity_files(), [home.join("a-b-7-u-%")]);
    assert_eq!(host.proxy_jump(), ["a.b"]);
    assert!(host.user_known_hosts_files().is_empty());
    let other = config.host("x").unwrap();
    assert!(!host.uses_default_keys() && other.uses_default_keys());
    assert_eq!((other.user(), other.port()), (None, 22));
    assert!(other.identity_files().is_empty());
}

#[test]
fn routes() {
    let config = SshConfig::from_text(
        "Host db\nProxyJump first,op@second:2222\nHost first\nHostName 192.0.2.1\nProxyJump zero\n\
         Host second\nHostName 192.0.2.2\nPort 1\nProxyJump never\nHost zero\nUser z\n\
         Host loop\nProxyJump pool\nHost pool\nProxyJump loop\n\
         Host behind\nProxyJump wild\nHost wild\nStrictHostKeyChecking no",
    )
    .unwrap();
    let route: Vec<_> = config
        .route("db")
        .unwrap()
        .iter()
        .map(|host| format!("{:?}@{}:{}", host.user(), host.host_name(), host.port()))
        .collect();
    assert_eq!(
        route,
        [
            "Some(\"z\")@zero:22",
            "None@192.0.2.1:22",
            "Some(\"op\")@192.0.2.2:2222",
            "None@db:22"
        ]
    );
    assert_eq!(config.route("alone").unwrap().len(), 1);
    let error = config.route("loop").unwrap_err();
    assert!(error.message().contains("no end"), "{error}");
    assert!(config.route("behind").is_err());
}

#[test]
fn noise_does_not_panic() {
    let words = [
        "Host",
        "Match",
        "Include",
        "Port",
        "\"",
        "'",
        "\\",
        "=",
        "#",
        "%",
        "%h",
        "*",
        "!",
        "a",
        ",",
        " ",
        "\t",
        "\n",
        "\r",
        "~",
        "~/",
        "ProxyJump",
        "IdentityFile",
        "HostName",
        "all",
        "host",
        "\u{0}",
        "é",
        "@",
        ":",
        "[",
        "]",
        "none",
        "${",
    ];
    let mut state = 0x5eed_u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..30 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let index = usize::try_from(state >> 33).unwrap() % words.len();
            text.push_str(words[index]);
        }
        // Without what would read files.
        if let Ok(config) = SshConfig::from_text(&text.replace("Include", "User")) {
            drop(config.route("a"));
        }
    }
}
