//! The users who may log in to a server.

use std::fmt;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::Error;
use crate::account::Account;

/// The first id for users; Debian gives people ids from 1000 on.
const FIRST_UID: u32 = 3000;

/// The name of a user that was given none, where it can be chosen.
const USUAL_NAME: &str = "tunnel";

/// Names that the servers themselves need.
const RESERVED: &[&str] = &["root", "sshd", "nobody"];

#[derive(Clone, Default)]
enum Password {
    #[default]
    None,
    Locked,
    Set(String),
}

/// A user of a server.
#[derive(Clone)]
#[must_use]
pub struct SshUser {
    name: Option<String>,
    authorized_keys: Vec<String>,
    password: Password,
    home_mode: Option<u32>,
    shell: String,
    postgres: bool,
}

impl fmt::Debug for SshUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshUser")
            .field("name", &self.name)
            .field("authorized_keys", &self.authorized_keys)
            .finish_non_exhaustive()
    }
}

impl Default for SshUser {
    /// The user `tunnel`, or the one that the server runs under where it can be no other.
    fn default() -> Self {
        Self {
            name: None,
            authorized_keys: Vec::new(),
            password: Password::None,
            home_mode: None,
            shell: "/bin/sh".to_owned(),
            postgres: false,
        }
    }
}

impl SshUser {
    /// A user of this name, without password or keys.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..Self::default()
        }
    }

    /// A line of `~/.ssh/authorized_keys`, with options where there are to be any.
    pub fn with_authorized_key(mut self, line: impl Into<String>) -> Self {
        self.authorized_keys.push(line.into());
        self
    }

    /// The password.
    pub fn with_password(mut self, password: impl Into<String>) -> Self {
        self.password = Password::Set(password.into());
        self
    }

    /// Locks the account, as `useradd` leaves it: without PAM, keys are refused too then.
    pub fn with_locked_password(mut self) -> Self {
        self.password = Password::Locked;
        self
    }

    /// The mode of the home folder. Default: 0755. One that others may write to, such as 0777,
    /// makes sshd ignore the keys in it.
    pub fn with_home_mode(mut self, mode: u32) -> Self {
        self.home_mode = Some(mode);
        self
    }

    /// The shell. Default: `/bin/sh`. Forwarding works with `/usr/sbin/nologin` too.
    pub fn with_shell(mut self, shell: impl Into<String>) -> Self {
        self.shell = shell.into();
        self
    }

    /// Gives this user the id that the kit's PostgreSQL servers run under. Only then can it reach
    /// their Unix sockets, whose folders are closed to all others.
    pub fn with_account_of_postgres(mut self) -> Self {
        self.postgres = true;
        self
    }

    /// What becomes of the users in a namespace of their own.
    pub(super) fn settle(users: &[Self], postgres: &Account) -> Result<Vec<Settled>, Error> {
        let usual = [Self::default()];
        let users = if users.is_empty() { &usual } else { users };
        let mut settled: Vec<Settled> = Vec::new();
        for (uid, user) in (FIRST_UID..).zip(users) {
            let name = user.name.as_deref().unwrap_or(USUAL_NAME);
            if !is_name(name) || RESERVED.contains(&name) {
                return Err(Error::State(format!("no test user can be called {name:?}")));
            }
            if settled.iter().any(|other| other.name == name) {
                return Err(Error::State(format!("there are two users {name:?}")));
            }
            settled.push(Settled {
                name: name.to_owned(),
                ids: match user.postgres {
                    true => postgres.ids(),
                    false => (uid, uid),
                },
                shell: user.shell.clone(),
                home_mode: user.home_mode.unwrap_or(0o755),
                authorized_keys: user.authorized_keys.clone(),
                // `*` is no hash, and yet not locked.
                shadow: match &user.password {
                    Password::None => "*".to_owned(),
                    Password::Locked => "!".to_owned(),
                    Password::Set(password) => hash(password)?,
                },
                has_password: matches!(user.password, Password::Set(_)),
            });
        }
        Ok(settled)
    }

    /// What becomes of them where the server runs under `account` and knows no other.
    pub(super) fn settle_plain(users: &[Self], account: &Account) -> Result<Vec<Settled>, Error> {
        let refuse = |what: &str| {
            Err(Error::State(format!(
                "{what}: that needs root and a mount namespace; here sshd runs as the user {} \
                 and takes its keys only",
                account.name()
            )))
        };
        let usual = [Self::default()];
        let users = if users.is_empty() { &usual } else { users };
        if users.len() > 1 {
            return refuse("several users");
        }
        let mut settled = Vec::new();
        for user in users {
            let name = user.name.as_deref().unwrap_or(account.name());
            if name != account.name() {
                return refuse(&format!("the user {name:?}"));
            }
            match user.password {
                Password::None => {}
                Password::Locked => return refuse("a locked account"),
                Password::Set(_) => return refuse("a password"),
            }
            if user.home_mode.is_some() {
                return refuse("the mode of a home folder");
            }
            settled.push(Settled {
                name: name.to_owned(),
                ids: account.ids(),
                shell: user.shell.clone(),
                home_mode: 0o755,
                authorized_keys: user.authorized_keys.clone(),
                shadow: "*".to_owned(),
                has_password: false,
            });
        }
        Ok(settled)
    }
}

/// A user with everything decided.
#[derive(Clone)]
pub(super) struct Settled {
    pub(super) name: String,
    /// User and group.
    pub(super) ids: (u32, u32),
    pub(super) shell: String,
    pub(super) home_mode: u32,
    pub(super) authorized_keys: Vec<String>,
    /// The password's field of `/etc/shadow`.
    pub(super) shadow: String,
    pub(super) has_password: bool,
}

impl fmt::Debug for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Settled").field(&self.name).finish()
    }
}

/// What is a path's part, a field of `/etc/passwd` and one word of a configuration.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    name.len() <= 32
        && name.chars().all(plain)
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// The password as `/etc/shadow` has it, by whichever program this machine has for that.
fn hash(password: &str) -> Result<String, Error> {
    // Debian's smallest systems have no openssl, and always a perl.
    const PERL: &str = r#"chomp($p = <STDIN>); print crypt($p, '$6$pgreachtestkit$')"#;
    let programs: [&[&str]; 2] = [
        &["openssl", "passwd", "-6", "-stdin"],
        &["perl", "-e", PERL],
    ];
    for program in programs {
        let Ok(mut child) = Command::new(program[0])
            .args(&program[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
        else {
            continue;
        };
        if let Some(mut input) = child.stdin.take() {
            // One that ends without reading has said nothing either, which is seen below.
            let _ = writeln!(input, "{password}");
        }
        let output = child
            .wait_with_output()
            .map_err(Error::file("wait for", program[0]))?;
        let hash = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if hash.starts_with("$6$") {
            return Ok(hash);
        }
    }
    Err(Error::State(
        "a password needs `openssl` or `perl`, to be hashed for /etc/shadow".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words() {
        for (name, plain) in [
            ("tunnel", true),
            ("_a-b.c9", true),
            ("", false),
            ("../etc", false),
            ("a:b", false),
            ("a b", false),
            ("a\n", false),
        ] {
            assert_eq!(is_name(name), plain, "{name:?}");
        }
    }

    #[test]
    fn a_password_is_hashed_and_not_shown() {
        let user = SshUser::new("app").with_password("open sesame");
        assert!(!format!("{user:?}").contains("sesame"));
        let settled = SshUser::settle(&[user], &Account::current().unwrap()).unwrap();
        assert!(settled[0].shadow.starts_with("$6$"), "{settled:?}");
        assert!(settled[0].has_password);
    }
}
