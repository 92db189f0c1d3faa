//! Documents with client certificates and Entra tokens, on real servers.

#[cfg(feature = "azure-client-certificate")]
mod entra;
mod ssh;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::PKey;
use openssl::symm::Cipher;
use openssl::x509::X509;
use pgreach::prelude::*;
use pgreach::{ConnectionSpec, Connector, Stage};
use pgreach_testkit::pki::Certificate;
use pgreach_testkit::{Pki, Postgres};
use serde_json::{Value, json};

use crate::common::{Fixture, text};

const PHRASE: &str = "open it";

/// Variables cannot be set in a running program without `unsafe`, so such cases run this binary again.
const CASE: &str = "PGREACH_TEST_CASE";
const DOCUMENT: &str = "PGREACH_TEST_DOCUMENT";

static PKI: LazyLock<Pki> = LazyLock::new(|| Pki::generate().unwrap());
static CERTIFIED: LazyLock<Certificate> =
    LazyLock::new(|| PKI.client("certified").issue().unwrap());

static DATABASE: LazyLock<Fixture> = LazyLock::new(|| {
    let postgres = Postgres::builder()
        .with_client_ca(PKI.root_pem())
        .with_hba([
            "local all all trust",
            "hostssl all certified,renewed 127.0.0.1/32 cert",
            // The gateway's way.
            "hostnossl all service 127.0.0.1/32 trust",
            "hostssl all own 127.0.0.1/32 scram-sha-256 clientcert=verify-full",
        ])
        .with_sql(
            "create role certified login; create role renewed login; create role service login",
        )
        .with_sql("create role own login password 'a password'");
    Fixture::start(&PKI, postgres)
});

fn document(mut credentials: Value) -> Value {
    credentials["type"] = json!("certificate");
    json!({
        "name": "test",
        "database": "postgres",
        "endpoint": { "host": "db.internal", "hostaddr": "127.0.0.1", "port": DATABASE.server.port() },
        "tls": { "roots": { "pem": PKI.root_pem() } },
        "credentials": credentials,
    })
}

fn spec(credentials: Value) -> ConnectionSpec {
    ConnectionSpec::from_json(&document(credentials).to_string()).unwrap()
}

async fn user(connector: &PgConnector) -> Result<String, Error> {
    let connection = connector.connect().await?;
    Ok(text(&connection, "select current_user").await)
}

/// Files of one test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// For the owner alone, put in place in one step.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        self.write_as(name, content, 0o600)
    }

    fn write_as(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.0.path().join(name);
        let draft = path.with_extension("draft");
        fs::write(&draft, content).unwrap();
        fs::set_permissions(&draft, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(&draft, &path).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn cat(path: &Path) -> Value {
    json!({ "command": ["cat", path] })
}

fn file(path: &Path) -> Value {
    json!({ "file": path })
}

fn archive(certificate: &Certificate, phrase: &str) -> Vec<u8> {
    let key = PKey::private_key_from_pem(certificate.key_pem().as_bytes()).unwrap();
    let certificate = X509::from_pem(certificate.cert_pem().as_bytes()).unwrap();
    let mut builder = Pkcs12::builder();
    builder.pkey(&key).cert(&certificate);
    builder.build2(phrase).unwrap().to_der().unwrap()
}

/// As `base64` writes it.
fn in_lines(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(76)
        .map(|line| String::from_utf8_lossy(line).into_owned() + "\n")
        .collect();
    lines.concat()
}

fn locked_key(certificate: &Certificate) -> String {
    let key = PKey::private_key_from_pem(certificate.key_pem().as_bytes()).unwrap();
    let pem = key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), PHRASE.as_bytes());
    String::from_utf8(pem.unwrap()).unwrap()
}

#[tokio::test]
async fn certificates_wherever_they_are_kept() {
    let folder = Folder::new();
    let own = &*CERTIFIED;
    let (chain, key, locked) = (own.chain_pem(), own.key_pem(), locked_key(own));
    // A certificate is public, as its file may be.
    let chain_file = folder.write_as("chain.pem", chain, 0o644);
    let der_file = folder.write_as("own.der", own.der(), 0o644);
    let key_file = folder.write("key.pem", key);
    let locked_file = folder.write("locked.pem", &locked);
    let phrase_file = folder.write("phrase", format!("{PHRASE}\n"));
    let der = archive(own, PHRASE);
    let archive_file = folder.write("own.p12", &der);
    let lines_file = folder.write("own.base64", in_lines(&der));
    let padded = format!("{key}{}", "# a comment\n".repeat(8 * 1024));
    let padded_file = folder.write("padded.pem", padded);
    let cases = [
        json!({ "certificate": chain, "privateKey": key }),
        json!({ "certificate": chain, "privateKey": key, "user": "certified" }),
        json!({ "certificate": file(&chain_file), "privateKey": file(&key_file) }),
        json!({ "certificate": cat(&chain_file), "privateKey": cat(&key_file) }),
        // Mixed.
        json!({ "certificate": file(&chain_file), "privateKey": key }),
        json!({ "certificate": file(&der_file), "privateKey": key }),
        json!({ "certificate": chain, "privateKey": file(&key_file) }),
        json!({ "certificate": chain, "privateKey": file(&padded_file) }),
        json!({ "certificate": file(&chain_file), "privateKey": cat(&padded_file) }),
        // Encrypted.
        json!({ "certificate": chain, "privateKey": locked, "passphrase": PHRASE }),
        json!({ "certificate": chain, "privateKey": locked, "passphrase": file(&phrase_file) }),
        json!({ "certificate": file(&chain_file), "privateKey": file(&locked_file),
            "passphrase": cat(&phrase_file) }),
        // Archives.
        json!({ "pkcs12": STANDARD.encode(&der), "passphrase": PHRASE }),
        json!({ "pkcs12": in_lines(&der), "passphrase": PHRASE }),
        json!({ "pkcs12": in_lines(&der), "passphrase": file(&phrase_file) }),
        json!({ "pkcs12": file(&archive_file), "passphrase": PHRASE }),
        json!({ "pkcs12": file(&archive_file), "passphrase": file(&phrase_file) }),
        json!({ "pkcs12": cat(&lines_file), "passphrase": cat(&phrase_file) }),
    ];
    let mut wrong = Vec::new();
    for case in cases {
        let connector = spec(case.clone()).build();
        let outcome = match &connector {
            Ok(connector) => user(connector).await,
            Err(error) => Err(error.repeat()),
        };
        if outcome.as_deref().ok() != Some("certified") {
            wrong.push(format!("{case}: {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_certificate_and_a_password() {
    let folder = Folder::new();
    let own = PKI.client("own").issue().unwrap();
    let phrase = folder.write("password", "a password\n");
    for password in [json!("a password"), file(&phrase), cat(&phrase)] {
        for key in [json!(own.key_pem()), file(own.key_file())] {
            let both =
                json!({ "certificate": own.chain_pem(), "privateKey": key, "password": password });
            assert_eq!(user(&spec(both).build().unwrap()).await.unwrap(), "own");
        }
    }
    let alone = json!({ "certificate": own.chain_pem(), "privateKey": own.key_pem() });
    let error = user(&spec(alone).build().unwrap()).await.unwrap_err();
    assert_eq!(error.code().name(), "auth-no-password");
}

/// The same connector, whose user is the subject's.
#[tokio::test]
async fn what_was_renewed_is_used_by_the_next_connection() {
    let renewed = PKI.client("renewed").issue().unwrap();
    let put = |folder: &Folder, own: &Certificate| {
        folder.write("chain.pem", own.chain_pem());
        folder.write("key.pem", own.key_pem());
        folder.write("own.base64", in_lines(&archive(own, PHRASE)));
    };
    let folder = Folder::new();
    put(&folder, &CERTIFIED);
    let path = |name| folder.path(name);
    let files =
        json!({ "certificate": file(&path("chain.pem")), "privateKey": file(&path("key.pem")) });
    let commands =
        json!({ "certificate": cat(&path("chain.pem")), "privateKey": cat(&path("key.pem")) });
    let archive = json!({ "pkcs12": cat(&path("own.base64")), "passphrase": PHRASE });
    let connectors =
        [files, commands, archive].map(|credentials| spec(credentials).build().unwrap());
    for own in [&*CERTIFIED, &renewed, &*CERTIFIED] {
        put(&folder, own);
        for connector in &connectors {
            assert_eq!(user(connector).await.unwrap(), own.name());
        }
    }
}

/// As after a renewal that the server was told of first.
#[tokio::test]
async fn what_was_refused_is_looked_up_again() {
    let folder = Folder::new();
    let other = PKI.client("own").issue().unwrap();
    for (name, own) in [
        ("1", &other),
        ("2", &*CERTIFIED),
        ("3", &other),
        ("4", &other),
    ] {
        folder.write(name, in_lines(&archive(own, PHRASE)));
    }
    let runs = folder.path("runs");
    let script = "cd \"$0\"; echo run >> runs; cat $(grep -c run runs)";
    let command = json!({ "command": ["sh", "-c", script, folder.0.path()] });
    let credentials = json!({ "user": "certified", "pkcs12": command, "passphrase": PHRASE });
    let connector = spec(credentials).build().unwrap();
    assert_eq!(user(&connector).await.unwrap(), "certified");
    let count = || fs::read_to_string(&runs).unwrap().lines().count();
    assert_eq!(count(), 2);
    // The same again is not tried again.
    let error = user(&connector).await.unwrap_err();
    assert_eq!(error.code().name(), "auth-refused");
    assert_eq!(count(), 4);
}

/// What is wrong is told in the same words, whether the field is a text or a reference to it.
#[tokio::test]
async fn errors_begin_with_the_path() {
    let folder = Folder::new();
    let own = &*CERTIFIED;
    let chain = own.chain_pem();
    let locked = locked_key(own);
    let (wrong, archive) = ("wrong", STANDARD.encode(archive(own, PHRASE)));
    let cases = [
        (
            json!({ "certificate": chain }),
            "privateKey",
            "not a key",
            "credentials: ",
        ),
        (
            json!({ "certificate": chain, "passphrase": wrong }),
            "privateKey",
            &locked,
            "credentials: ",
        ),
        (
            json!({ "certificate": chain, "privateKey": locked }),
            "passphrase",
            wrong,
            "credentials: ",
        ),
        (
            json!({ "passphrase": PHRASE }),
            "pkcs12",
            "%",
            "credentials.pkcs12: is not base64",
        ),
        (
            json!({ "passphrase": wrong }),
            "pkcs12",
            &archive,
            "credentials: ",
        ),
    ];
    for (mut credentials, field, secret, start) in cases {
        credentials[field] = json!(secret);
        let given = spec(credentials.clone()).build().unwrap_err();
        assert!(given.to_string().starts_with(start), "{given}");
        assert_eq!(
            given.to_string().matches("credentials").count(),
            1,
            "{given}"
        );
        assert_eq!(given.stage(), Stage::CONFIG, "{given}");
        credentials[field] = cat(&folder.write("secret", secret));
        let found = user(&spec(credentials).build().unwrap()).await.unwrap_err();
        assert_eq!(found.to_string(), given.to_string());
        assert_eq!((found.code(), found.stage()), (given.code(), given.stage()));
    }
    // What cannot be looked up.
    let open = folder.write_as("open.pem", own.key_pem(), 0o644);
    let latin = folder.write("latin", b"caf\xe9");
    let none = folder.path("none");
    for (key, words) in [
        (file(&open), "is open to others than its owner"),
        (file(&none), "none"),
        (cat(&none), "command cat failed"),
        (cat(&latin), "is not UTF-8"),
        (
            json!({ "env": "PGREACH_TEST_NOT_SET" }),
            "PGREACH_TEST_NOT_SET",
        ),
    ] {
        let credentials = json!({ "certificate": chain, "privateKey": key });
        let error = user(&spec(credentials).build().unwrap()).await.unwrap_err();
        let shown = error.to_string();
        assert!(shown.starts_with("credentials.privateKey: "), "{shown}");
        assert!(
            shown.contains(words) && !shown.contains("password"),
            "{shown}"
        );
        assert_eq!(error.stage(), Stage::CREDENTIAL, "{shown}");
    }
}

fn child(case: &str, variables: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "identities::as_a_child", "--nocapture"])
        .env(CASE, case)
        .envs(variables.iter().copied());
    for name in ["HTTPS_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"] {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{case}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn as_a_child() {
    match std::env::var(CASE).as_deref() {
        Ok("certificate") => {
            let document = std::env::var(DOCUMENT).unwrap();
            let spec = ConnectionSpec::from_json(&document).unwrap();
            assert_eq!(user(&spec.build().unwrap()).await.unwrap(), "certified");
        }
        #[cfg(feature = "azure-client-certificate")]
        Ok("entra") => entra::tokens().await,
        _ => {}
    }
}

#[test]
fn certificates_in_variables() {
    let own = &*CERTIFIED;
    let locked = locked_key(own);
    let lines = in_lines(&archive(own, PHRASE));
    let env = |name: &str| json!({ "env": name });
    let variables = [
        ("TEST_CHAIN", own.chain_pem()),
        ("TEST_KEY", &locked),
        ("TEST_PHRASE", PHRASE),
        ("TEST_ARCHIVE", &lines),
    ];
    for credentials in [
        json!({ "certificate": env("TEST_CHAIN"), "privateKey": env("TEST_KEY"), "passphrase": env("TEST_PHRASE") }),
        json!({ "pkcs12": env("TEST_ARCHIVE"), "passphrase": env("TEST_PHRASE") }),
    ] {
        let document = document(credentials).to_string();
        let document = [(DOCUMENT, document.as_str())];
        child("certificate", &[&variables[..], &document[..]].concat());
    }
}
