//! A client that knows as much of HTTP as the tests need.

use std::io;

use native_tls::{Certificate, TlsConnector};
use pgreach_testkit::FakeEntra;
use pgreach_testkit::entra::Principal;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const SCOPE: &str = "https://ossrdbms-aad.database.windows.net/.default";

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// The body before it was understood.
    pub(crate) text: String,
}

impl Reply {
    /// A member of the body that is a text.
    #[track_caller]
    pub(crate) fn text(&self, name: &str) -> &str {
        self.body[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub(crate) fn token(&self) -> &str {
        self.text("access_token")
    }
}

/// A request in the making.
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'a str, String)>,
    pub(crate) body: String,
}

/// Sends a request and reads the answer to its end.
pub(crate) async fn ask(entra: &FakeEntra, ask: Ask<'_>) -> io::Result<Reply> {
    let (scheme, rest) = ask.url.split_once("://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut text = format!(
        "{} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n",
        ask.method,
        ask.body.len()
    );
    for (name, value) in &ask.headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("\r\n{}", ask.body);
    let stream = TcpStream::connect(host).await?;
    match scheme {
        "https" => exchange(encrypted(entra.root_pem(), stream).await?, &text).await,
        _ => exchange(stream, &text).await,
    }
}

/// TLS to the authority, trusting this root alone.
pub(crate) async fn encrypted(
    root_pem: &str,
    stream: TcpStream,
) -> io::Result<tokio_native_tls::TlsStream<TcpStream>> {
    let connector = TlsConnector::builder()
        .disable_built_in_roots(true)
        .add_root_certificate(Certificate::from_pem(root_pem.as_bytes()).unwrap())
        .build()
        .unwrap();
    tokio_native_tls::TlsConnector::from(connector)
        .connect("localhost", stream)
        .await
        .map_err(io::Error::other)
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    text: &str,
) -> io::Result<Reply> {
    stream.write_all(text.as_bytes()).await?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await?;
    let received = String::from_utf8(received).unwrap();
    let Some((head, text)) = received.split_once("\r\n\r\n") else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    Ok(Reply {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        body: serde_json::from_str(text).unwrap(),
        text: text.to_owned(),
    })
}

/// A form or query string.
pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    let encoded = |text: &str| {
        let byte = |byte: u8| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        text.bytes().map(byte).collect::<String>()
    };
    let pairs = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Asks the token endpoint with a form.
pub(crate) async fn post(entra: &FakeEntra, pairs: &[(&str, &str)]) -> io::Result<Reply> {
    let request = Ask {
        method: "POST",
        url: entra.token_endpoint(),
        headers: Vec::new(),
        body: form(pairs),
    };
    ask(entra, request).await
}

/// Asks the token endpoint as an application with a secret.
pub(crate) async fn with_secret(
    entra: &FakeEntra,
    app: &Principal,
    secret: &str,
) -> io::Result<Reply> {
    let pairs = [
        ("grant_type", "client_credentials"),
        ("client_id", app.client_id()),
        ("client_secret", secret),
        ("scope", SCOPE),
    ];
    post(entra, &pairs).await
}

/// Asks the token endpoint as an application with an assertion.
pub(crate) async fn with_assertion(entra: &FakeEntra, app: &Principal, assertion: &str) -> Reply {
    let pairs = [
        ("grant_type", "client_credentials"),
        ("client_id", app.client_id()),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", assertion),
        ("scope", SCOPE),
    ];
    post(entra, &pairs).await.unwrap()
}

/// Gets with headers.
pub(crate) async fn get(entra: &FakeEntra, url: String, headers: &[(&'static str, &str)]) -> Reply {
    let headers = headers.iter();
    let request = Ask {
        method: "GET",
        url,
        headers: headers
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        body: String::new(),
    };
    ask(entra, request).await.unwrap()
}
