//! The SSH server inside the process, seen by OpenSSH's client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpListener};
use std::thread;
use std::time::Duration;

use common::{Client, KEY, Live, SERVER, assert_answered, assert_refused, target};
use pgreach_testkit::bastion::ChannelAnswer;
use pgreach_testkit::ssh::{SshCa, SshKeyType, SshKeypair, Validity};
use pgreach_testkit::{Bastion, BastionBuilder};
use tokio::task::yield_now;

fn bastion() -> BastionBuilder {
    Bastion::builder().with_authorized_key(KEY.public_line())
}

fn client(bastion: &Bastion) -> Client {
    Client::new(bastion.user(), bastion.port(), &bastion.known_hosts())
}

fn with_key(bastion: &Bastion) -> Client {
    client(bastion).usual_key()
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            yield_now().await;
        }
    };
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, wait).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_a_way_to_postgres_and_another_key_does_not() {
    let bastion = bastion().start().await.unwrap();
    let output = with_key(&bastion).option("LogLevel=DEBUG").ask(&target());
    assert_answered(&output);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&bastion.host_key_fingerprint()), "{said}");

    let denied = "Permission denied (publickey)";
    let other = SshKeypair::generate(SshKeyType::Ed25519).unwrap();
    let output = client(&bastion).key(&other.private_file()).ask(&target());
    assert_refused(&output, denied);
    let somebody = Client::new("somebody", bastion.port(), &bastion.known_hosts()).usual_key();
    assert_refused(&somebody.ask(&target()), denied);
    let socket = SERVER
        .socket_dir()
        .join(format!(".s.PGSQL.{}", SERVER.port()));
    assert_answered(&with_key(&bastion).ask_socket(&socket));
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_and_questions() {
    let bastion = Bastion::builder()
        .with_password("tunnel", "open sesame")
        .with_keyboard_interactive("tunnel", &[("Code: ", "123456"), ("Again: ", "123456")])
        .start()
        .await
        .unwrap();
    for (method, secret, passes) in [
        ("password", "open sesame", true),
        ("password", "123456", false),
        ("keyboard-interactive", "123456", true),
        ("keyboard-interactive", "open sesame", false),
    ] {
        let output = client(&bastion).secret(method, secret).ask(&target());
        match passes {
            true => assert_answered(&output),
            false => assert_refused(&output, "Permission denied"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn host_keys_and_certificates_are_shown() {
    for kind in [
        SshKeyType::Ecdsa256,
        SshKeyType::Ecdsa384,
        SshKeyType::Ecdsa521,
    ] {
        let bastion = bastion().with_host_key(kind).start().await.unwrap();
        assert_answered(&with_key(&bastion).ask(&target()));
    }
    let ca = SshCa::generate().unwrap();
    let key = SshKeypair::generate(SshKeyType::Rsa).unwrap();
    let names = ["127.0.0.1"];
    let certificate = ca
        .sign_host(key.public_line(), &names, &Validity::around_now())
        .unwrap();
    let bastion = bastion()
        .with_host_key_pem(key.private_pem().unwrap())
        .with_host_certificate(certificate)
        .start()
        .await
        .unwrap();
    assert_eq!(bastion.host_key_fingerprint(), key.fingerprint());
    let known = ca.known_hosts_line("[127.0.0.1]:*");
    let client = Client::new(bastion.user(), bastion.port(), &known).usual_key();
    assert_answered(&client.ask(&target()));
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_are_refused_for_the_right_reason() {
    let bastion = bastion().start().await.unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = free.local_addr().unwrap().to_string();
    drop(free);
    let client = with_key(&bastion);
    assert_refused(&client.ask(&closed), "connect failed");
    assert_refused(&client.ask("no-such-host.invalid:5432"), "connect failed");
    for (answer, why) in [
        (ChannelAnswer::Refuse, "administratively prohibited"),
        (ChannelAnswer::Busy, "resource shortage"),
    ] {
        bastion.answer_channels(answer);
        assert_refused(&client.ask(&target()), why);
    }
    bastion.answer_channels(ChannelAnswer::Never);
    // The session of the client before may be counted a little longer than that client lives.
    until(|| bastion.sessions() == 0).await;
    let mut child = client.forward(&target());
    until(|| bastion.sessions() == 1).await;
    let input = child.stdin.take();
    bastion.kill_sessions();
    assert_eq!(child.wait().unwrap().code(), Some(255));
    drop(input);
    bastion.answer_channels(ChannelAnswer::Serve);
    assert_answered(&client.ask(&target()));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_counted_and_ends() {
    let bastion = bastion().start().await.unwrap();
    // Neither says a word, so that both stay where they are.
    let idle: Vec<_> = (0..2)
        .map(|_| std::net::TcpStream::connect(bastion.addr()).unwrap())
        .collect();
    until(|| bastion.handshakes() == 2).await;
    drop(idle);
    until(|| bastion.handshakes() == 0).await;
    assert_eq!(bastion.max_concurrent_handshakes(), 2);

    let lives = [0, 1].map(|_| Live::open(&with_key(&bastion), &target()));
    assert_eq!(bastion.sessions(), 2);
    assert_eq!(bastion.channels(), 2);
    assert_eq!(bastion.connections(), 4);
    let [first, second] = lives;
    drop(first);
    until(|| bastion.sessions() == 1 && bastion.channels() == 1).await;
    assert_eq!(bastion.opened_channels(), 2);
    let addr = bastion.addr();
    drop(bastion);
    assert_eq!(second.ended().0, Some(255));
    until(|| std::net::TcpStream::connect(addr).is_err()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_algorithms_can_be_all_there_is() {
    let rsa = SshKeypair::generate(SshKeyType::Rsa).unwrap();
    let pem = rsa.private_pem().unwrap();
    for (builder, option, why) in [
        (
            bastion().with_ciphers(&["aes128-cbc"]),
            "Ciphers=aes128-cbc",
            "no matching cipher found",
        ),
        (
            bastion()
                .with_ciphers(&["aes128-ctr"])
                .with_macs(&["hmac-sha1"])
                .without_strict_kex(),
            "MACs=hmac-sha1",
            "no matching MAC found",
        ),
        (
            bastion().with_kex(&["diffie-hellman-group14-sha1"]),
            "KexAlgorithms=diffie-hellman-group14-sha1",
            "no matching key exchange method found",
        ),
        (
            bastion()
                .with_host_key_pem(pem)
                .with_key_algorithms(&["ssh-rsa"]),
            "HostKeyAlgorithms=ssh-rsa",
            "no matching host key type found",
        ),
    ] {
        let bastion = builder.start().await.unwrap();
        let refusing = match why {
            // OpenSSH still knows this one.
            "no matching MAC found" => with_key(&bastion).option("MACs=hmac-sha2-256"),
            _ => with_key(&bastion),
        };
        assert_refused(&refusing.ask(&target()), why);
        let willing = with_key(&bastion)
            .option(option)
            .option("PubkeyAcceptedAlgorithms=+ssh-rsa,ssh-ed25519");
        assert_answered(&willing.ask(&target()));
    }
    let error = bastion().with_ciphers(&["rot13"]).start().await;
    assert!(error.unwrap_err().to_string().contains("rot13"));
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_kex_is_offered_unless_told_otherwise() {
    for strict in [true, false] {
        let builder = match strict {
            true => bastion(),
            false => bastion()
                .without_strict_kex()
                .with_software("SSH-2.0-OpenSSH_6.6"),
        };
        let bastion = builder.start().await.unwrap();
        let output = with_key(&bastion).option("LogLevel=DEBUG3").ask(&target());
        assert_answered(&output);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            said.contains("kex-strict-s-v00@openssh.com"),
            strict,
            "{said}"
        );
        assert_eq!(said.contains("OpenSSH_6.6"), !strict, "{said}");
    }
}

/// More than all windows and buffers on the way hold.
const MUCH: usize = 128 * 1024 * 1024;

/// Writes until nothing is taken for a second; returns how much was.
fn fill(mut to: impl Write) -> usize {
    let piece = vec![0; 64 * 1024];
    let mut written = 0;
    while written < MUCH {
        match to.write(&piece) {
            Ok(length) => written += length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_does_not_read_holds_the_other_back() {
    let bastion = bastion().start().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let patience = Some(Duration::from_secs(1));
    let (mut child, local) = with_key(&bastion).listen(&target);
    let mut local = local.unwrap();
    let (mut remote, _) = listener.accept().unwrap();
    local.set_write_timeout(patience).unwrap();
    remote.set_write_timeout(patience).unwrap();

    let (up, down) = (fill(&local), fill(&remote));
    assert!(up < MUCH && down < MUCH, "{up} and {down} bytes");
    // What was held back arrives, then what follows, and then the end.
    let reading = thread::spawn(move || std::io::copy(&mut remote, &mut std::io::sink()).unwrap());
    let piece = vec![0; 64 * 1024];
    let mut written = up;
    while written < up + MUCH {
        written += local.write(&piece).unwrap();
    }
    local.shutdown(Shutdown::Write).unwrap();
    assert_eq!(reading.join().unwrap(), written as u64);
    child.kill().unwrap();
    child.wait().unwrap();
}
