//! `SshTransport` beside `ssh -L`, with the same sshd and the same PostgreSQL: `cargo xtask bench ssh`.
//!
//! Ours is `PgConnector` over `SshTransport`; the peer is tokio-postgres through a port that OpenSSH's
//! client forwards, with that client's defaults. Both run in turn. The way of 100 ms is a proxy in
//! front of sshd that delays each direction by 50 ms, for both. A row that says "bound" is to be reached
//! with that ratio; where there is no peer, a limit is in its place.

mod connects;
mod copy;
mod crowd;
mod figure;
mod memory;
mod peer;
mod queries;
mod stalled;
mod world;

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Map, Value};

use figure::{Figure, to_json, to_table};
use world::World;

type Failure = Box<dyn Error + Send + Sync>;

const USAGE: &str = "usage: ssh [--rounds N] [--only ROW] [--ssh-option OPTION] [--json FILE]\n\
    ROW: copy, copy-100ms, unprepared, prepared, warm, cold-100ms, crowd, stalled\n\
    OPTION: as in ssh -o OPTION, for the peer";

const ROWS: [&str; 8] = [
    "copy",
    "copy-100ms",
    "unprepared",
    "prepared",
    "warm",
    "cold-100ms",
    "crowd",
    "stalled",
];

struct Options {
    rounds: usize,
    ssh_options: Vec<String>,
}

// One thread for both clients: the machine also runs both servers and the peer's `ssh`.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut options = Options {
        rounds: 7,
        ssh_options: Vec::new(),
    };
    let mut only: Option<String> = None;
    let mut json: Option<PathBuf> = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or(USAGE)?;
        match arg.as_str() {
            "--rounds" => options.rounds = value.parse()?,
            "--only" if ROWS.contains(&value.as_str()) => only = Some(value),
            "--ssh-option" => options.ssh_options.push(value),
            "--json" => json = Some(value.into()),
            _ => return Err(USAGE.into()),
        }
    }
    let (text, values) = match only {
        Some(row) => measure(&row, options).await?,
        None => all(&options)?,
    };
    std::io::stdout().write_all(format!("{text}\n").as_bytes())?;
    if let Some(file) = json {
        std::fs::write(file, format!("{:#}\n", Value::Object(values)))?;
    }
    Ok(())
}

/// One of [`ROWS`], which may be several figures.
async fn measure(row: &str, options: Options) -> Result<(String, Map<String, Value>), Failure> {
    let rounds = options.rounds;
    let world = World::start(options.ssh_options).await?;
    let about = world.describe().await?;
    let figures: Vec<Figure> = match row {
        "copy" => copy::loopback(&world, rounds).await?,
        "copy-100ms" => copy::far(&world, rounds.div_ceil(2)).await?,
        "unprepared" => queries::unprepared(&world, rounds).await?,
        "prepared" => queries::prepared(&world, rounds).await?,
        "warm" => connects::warm(&world, rounds).await?,
        "cold-100ms" => connects::cold(&world, rounds).await?,
        "crowd" => crowd::cold_connects(&world).await?,
        _ => stalled::neighbours(&world, rounds).await?,
    };
    Ok((
        format!("{about}\n{}", to_table(&figures)),
        to_json(&figures),
    ))
}

/// Each row in a process and with servers of its own: what one leaves behind in the allocator would
/// hide what another one needs.
fn all(options: &Options) -> Result<(String, Map<String, Value>), Failure> {
    let file = tempfile::NamedTempFile::new()?;
    let mut values = Map::new();
    // What is said of all rows, the table and the notes below it.
    let (mut about, mut table, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for row in ROWS {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--only", row, "--rounds", &options.rounds.to_string()]);
        for option in &options.ssh_options {
            command.args(["--ssh-option", option]);
        }
        command.arg("--json").arg(file.path());
        let output = command.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("the row {row} failed: {}", output.status).into());
        }
        let text = String::from_utf8(output.stdout)?;
        let mut below = false;
        for line in text.lines().map(str::to_owned) {
            let list = if line.starts_with('|') {
                below = true;
                &mut table
            } else if below {
                &mut notes
            } else {
                &mut about
            };
            // The lines about the servers, and the table's head, are those of the row before.
            if !list.contains(&line) {
                list.push(line);
            }
        }
        let measured: Map<String, Value> = serde_json::from_slice(&std::fs::read(file.path())?)?;
        values.extend(measured);
    }
    Ok(([about, table, notes].concat().join("\n"), values))
}
