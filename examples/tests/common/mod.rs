//! How the tests run the built programs; each of them uses a part.
#![allow(dead_code)]

pub(crate) mod ssh;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// Cargo builds the examples of a package beside its tests.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let path = profile
        .join("examples")
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.is_file(),
        "{} is missing: run the tests with `cargo test -p pgreach-examples`, which builds it",
        path.display()
    );
    path
}

/// A run with an environment, home and working directory of its own.
pub(crate) struct Run {
    pub(crate) command: Command,
    home: tempfile::TempDir,
    /// What no output may hold.
    secrets: Vec<String>,
}

impl Run {
    pub(crate) fn new<S: AsRef<str>>(args: &[S]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(program("connect"));
        command
            .args(args.iter().map(AsRef::as_ref))
            .env_clear()
            .env("HOME", home.path())
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self {
            command,
            home,
            secrets: Vec::new(),
        }
    }

    pub(crate) fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.command.env(name, value.to_string());
        self
    }

    /// A variable whose value no output may hold.
    pub(crate) fn secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.push(value.to_owned());
        self.env(name, value)
    }

    /// A file of which no output may hold a line.
    pub(crate) fn secret_file(mut self, name: &str, text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('-'));
        self.secrets.extend(lines.map(str::to_owned));
        self.file(name, text)
    }

    /// A file in the home and working directory, for the owner alone.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        self
    }

    pub(crate) fn output(mut self) -> (bool, String, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command.output().unwrap();
        let stdout = String::from_utf8(stdout).unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        for secret in &self.secrets {
            assert!(
                !stdout.contains(secret) && !stderr.contains(secret),
                "a secret is shown: {stdout}{stderr}"
            );
        }
        let succeeded = match status.code() {
            Some(0) => true,
            Some(1) => false,
            _ => panic!("it ended with {status}: {stderr}"),
        };
        (succeeded, stdout, stderr)
    }

    /// The one JSON object on standard output, which says whether it succeeded.
    pub(crate) fn json(self) -> Value {
        let (succeeded, stdout, stderr) = self.output();
        assert_eq!(stderr, "");
        assert_eq!(stdout.lines().count(), 1, "{stdout}");
        assert!(!stdout.trim_end().contains(char::is_control), "{stdout:?}");
        let json: Value = serde_json::from_str(&stdout).unwrap();
        assert!(json.is_object(), "{stdout}");
        if let Some(ok) = json.get("ok") {
            assert_eq!(ok, &json!(succeeded), "{stdout}");
        }
        json
    }

    /// The error of a run that must fail.
    pub(crate) fn error(self) -> Value {
        let json = self.json();
        assert_eq!(json["ok"], json!(false), "{json}");
        let error = &json["error"];
        for field in ["kind", "stage", "message", "hint", "code"] {
            assert!(
                error[field].as_str().is_some_and(|text| !text.is_empty()),
                "{field}: {json}"
            );
        }
        let retry = error["retry"].as_str().unwrap();
        assert!(
            ["never", "safe", "refresh-credential", "backoff"].contains(&retry),
            "{json}"
        );
        assert!(
            error.as_object().unwrap().contains_key("sqlstate"),
            "{json}"
        );
        error.clone()
    }
}
