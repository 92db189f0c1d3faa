//! A TLS server on the loopback interface that echoes, and tells what it saw.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use openssl::pkey::PKey;
use openssl::ssl::{
    AlpnError, NameType, SslAcceptor, SslAcceptorBuilder, SslMethod, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;

use super::pki::{Authority, Leaf};

/// What the server saw of one handshake.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub sni: Option<String>,
    pub version: Option<String>,
    pub client: Option<Vec<u8>>,
}

pub struct Config(SslAcceptorBuilder);

impl Config {
    pub fn new(leaf: &Leaf) -> Self {
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
        let key = PKey::private_key_from_pem(leaf.key.as_bytes()).unwrap();
        let certificate = X509::from_pem(leaf.pem.as_bytes()).unwrap();
        builder.set_certificate(&certificate).unwrap();
        builder.set_private_key(&key).unwrap();
        for extra in X509::stack_from_pem(leaf.sent_with.as_bytes()).unwrap() {
            builder.add_extra_chain_cert(extra).unwrap();
        }
        Self(builder)
    }

    /// Chooses `protocol` whatever the client offers.
    pub fn alpn(mut self, protocol: &'static [u8]) -> Self {
        self.0
            .set_alpn_select_callback(move |_, offered| match find(offered, protocol) {
                Some(found) => Ok(found),
                None => Err(AlpnError::ALERT_FATAL),
            });
        self
    }

    pub fn versions(mut self, min: SslVersion, max: SslVersion) -> Self {
        self.0.set_min_proto_version(Some(min)).unwrap();
        self.0.set_max_proto_version(Some(max)).unwrap();
        self
    }

    /// Demands a client certificate of `authority`.
    pub fn demand(mut self, authority: &Authority) -> Self {
        let mut store = X509StoreBuilder::new().unwrap();
        store
            .add_cert(X509::from_pem(authority.pem().as_bytes()).unwrap())
            .unwrap();
        self.0.set_verify_cert_store(store.build()).unwrap();
        self.0
            .set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        self
    }

    pub fn start(self) -> Server {
        let acceptor = self.0.build();
        serve(move |stream| {
            let mut tls = acceptor.accept(stream).ok()?;
            let seen = Seen {
                sni: tls.ssl().servername(NameType::HOST_NAME).map(str::to_owned),
                version: Some(tls.ssl().version_str().to_owned()),
                client: tls
                    .ssl()
                    .peer_certificate()
                    .map(|peer| peer.to_der().unwrap()),
            };
            let mut byte = [0];
            while tls.read_exact(&mut byte).is_ok() && tls.write_all(&byte).is_ok() {}
            Some(seen)
        })
    }
}

/// The name in the wire format of the client's list.
fn find<'a>(mut offered: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    while let Some((length, rest)) = offered.split_first() {
        let (name, next) = rest.split_at_checked(usize::from(*length))?;
        if name == wanted {
            return Some(name);
        }
        offered = next;
    }
    None
}

/// Accepts connections one after the other until it is dropped.
pub struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Option<Seen>>>>,
}

/// A server that does `work` with each connection.
pub fn serve(work: impl Fn(std::net::TcpStream) -> Option<Seen> + Send + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    let thread = thread::spawn(move || {
        let mut all = Vec::new();
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            // The last connection only wakes the loop: see `end`.
            if stopping.load(Ordering::SeqCst) {
                break;
            }
            all.push(work(stream));
        }
        all
    });
    Server {
        address,
        stop,
        thread: Some(thread),
    }
}

impl Server {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the server; what it saw of each connection, `None` where the handshake failed. All
    /// clients must be gone.
    pub fn finish(mut self) -> Vec<Option<Seen>> {
        self.end()
    }

    fn end(&mut self) -> Vec<Option<Seen>> {
        let Some(thread) = self.thread.take() else {
            return Vec::new();
        };
        self.stop.store(true, Ordering::SeqCst);
        drop(std::net::TcpStream::connect(self.address).unwrap());
        thread.join().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that fails may still hold its client: waiting for it would hide the failure.
        if !std::thread::panicking() {
            self.end();
        }
    }
}
