//! How late the deadline is kept: `cargo xtask bench deadline`.
//!
//! A real server stands behind a proxy that falls silent after N bytes, for N over the whole way to
//! a session with TLS and SCRAM; what is measured is how long after its deadline `connect` returns.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pgreach::prelude::*;
use pgreach_testkit::{Direction, Fault, FaultProxy, Pki, Postgres};
use serde_json::json;

type Failure = Box<dyn Error + Send + Sync>;

const DEADLINE: Duration = Duration::from_millis(200);
const STEP: usize = 61;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let json: Option<PathBuf> = match args.as_slice() {
        [] => None,
        [flag, file] if flag == "--json" => Some(file.into()),
        _ => return Err("usage: deadline [--json FILE]".into()),
    };
    let pki = Pki::generate()?;
    let certificate = pki.server("localhost").issue()?;
    let server = Postgres::builder()
        .with_tls(certificate.chain_pem(), certificate.key_pem())
        .with_hba(["hostssl all all 127.0.0.1/32 scram-sha-256"])
        .with_sql("create role app login password 'a password'")
        .start()?;
    let proxy = FaultProxy::start(server.addr()).await?;
    let connector = PgConnector::builder()
        .with_transport(TcpTransport::new())
        .with_endpoint(Endpoint::tcp("localhost", proxy.port()).with_hostaddr([127, 0, 0, 1]))
        .with_tls(
            NativeTls::builder()
                .with_roots(Roots::from_pem(pki.root_pem()))
                .build()?,
        )
        .with_credentials(FixedPassword::new("a password"))
        .with_user("app")
        .with_database("postgres")
        .with_connect_timeout(DEADLINE)
        .build()?;
    connector.connect().await?.close().await?;
    let whole = proxy.bytes(Direction::ToClient);

    let mut late = Vec::new();
    for n in (0..whole.saturating_sub(120)).step_by(STEP) {
        proxy.set(Direction::ToClient, Fault::StopAfter(n));
        let began = Instant::now();
        match connector.connect().await {
            Ok(_) => return Err(format!("it connected after {n} of {whole} bytes").into()),
            Err(error) if error.kind() == ErrorKind::Timeout => {
                late.push(began.elapsed().saturating_sub(DEADLINE));
            }
            Err(error) => return Err(error.into()),
        }
    }
    late.sort_unstable();
    let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
    let (median, worst) = (ms(late.get(late.len() / 2)), ms(late.last()));
    let text = format!(
        "{} stalls over {whole} bytes: median {median:.1} ms late, worst {worst:.1} ms late (bound: 250 ms)\n",
        late.len()
    );
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes())?;
    if let Some(file) = json {
        let out = json!({ "deadline": { "ours": worst, "peer": 250, "unit": "ms", "ratio": 250.0 / worst.max(0.001) } });
        std::fs::write(file, format!("{out:#}\n"))?;
    }
    Ok(())
}
