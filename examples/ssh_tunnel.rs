//! A customer's database behind the customer's bastion, from the key pair to the first row:
//! `cargo run --example ssh_tunnel`.
//!
//! This file is what a platform writes; `ssh_tunnel/customer.rs` plays the customer.
#![allow(clippy::print_stdout)]

#[path = "ssh_tunnel/customer.rs"]
mod customer;

use customer::Customer;
use pgreach::prelude::*;
use pgreach::ssh::{AuthorizedKeyOptions, SshKeyPair};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The customer says where the database is, as the bastion sees it.
    let mut customer = Customer::with_database()?;
    let (name, address, port) = customer.database();

    // A key pair for this customer alone. The private half stays here, encrypted.
    let pair = SshKeyPair::generate_ed25519()?.with_comment("customer 42, by the platform");
    let passphrase = Secret::new("from the platform's secret manager");
    let stored = pair.private_pem(Some(&passphrase))?;

    // What the customer is shown: a key that opens this one tunnel, and no shell.
    let options = AuthorizedKeyOptions::new().with_permit_open(address.to_string(), port);
    let line = pair.authorized_key(&options)?;
    println!("Add this line to ~/.ssh/authorized_keys on your bastion:\n\n{line}\n");

    // What the customer answers: the bastion's address, and the fingerprint of its host key.
    let (host, ssh_port, user, fingerprint) = customer.add_to_bastion(&line).await?;
    println!("The bastion is {user}@{host}:{ssh_port}, its host key {fingerprint}\n");

    let bastion = SshHop::new(host, user)
        .with_port(ssh_port)
        .with_auth(SshKey::from_pem(stored.expose(), Some(&passphrase))?)
        .with_host_keys(HostKeyPolicy::fingerprints([fingerprint])?);
    let tunnel = SshTransport::builder(TcpTransport::for_tunnels()).with_hop(bastion);
    let roots = Roots::from_file(customer.root_file());
    let connector = PgConnector::builder()
        .with_transport(tunnel.build()?)
        .with_endpoint(Endpoint::tcp(name, port).with_hostaddr(address))
        .with_tls(NativeTls::builder().with_roots(roots).build()?)
        .with_credentials(FixedPassword::new("open sesame").with_user("app"))
        .with_database("postgres")
        .build()?;

    // "Save & Test"
    let report = connector.check().await;
    println!("{report}");
    if let Some(error) = report.error() {
        return Err(error.repeat().into());
    }

    let client = connector.connect().await?;
    let row = client.query_one("select version()", &[]).await?;
    println!("\nthe first row: {}", row.get::<_, &str>(0));
    Ok(client.close().await?)
}
