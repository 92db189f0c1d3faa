//! Spellings of addresses, as an attacker would write them, through the whole of name, resolver and
//! policy. Nothing here leaves the machine: what is allowed is resolved and checked, not dialled.

use std::time::Duration;

use pgreach_core::{DialContext, Endpoint, ErrorKind, Stage, Transport};
use tokio::time::Instant;

use crate::{AddressPolicy, TcpTransport};

/// Refused, by what the message says, and the spellings.
const REFUSED: &[(&str, &str)] = &[
    (
        "loopback (RFC 1122)",
        "127.0.0.1 127.0.0.2 127.1.2.3 127.255.255.255 127.1 127.0.1 127.65535 127.16777215 \
         0177.0.0.1 0177.0.0.01 0177.1 0177.0.1 00000177.0.0.1 0x7f.0.0.1 0x7F.0.0.1 0x7f.1 0x7f.0.1 \
         0x7f.0x0.0x0.0x1 0x0000007f.0.0.1 0x7f000001 0x7F000001 0X7F000001 0x7fffffff \
         2130706433 2130706434 2147483647 017700000001 00017700000001 0177.0x0.0.1 127.0x1 127.00.00.01 \
         localhost LOCALHOST LocalHost",
    ),
    (
        "loopback (RFC 4291)",
        "::1 0:0:0:0:0:0:0:1 0000:0000:0000:0000:0000:0000:0000:0001 ::0001 0::1 ::0:1 ::0.0.0.1",
    ),
    (
        "IPv4-mapped form of 127.0.0.1, which is loopback",
        "::ffff:127.0.0.1 ::FFFF:127.0.0.1 ::ffff:7f00:1 ::ffff:7f00:0001 0:0:0:0:0:ffff:127.0.0.1 \
         0000:0000:0000:0000:0000:ffff:7f00:0001 0::ffff:7f00:1 ::0:ffff:127.0.0.1",
    ),
    (
        "IPv4-compatible form of 127.0.0.1, which is loopback",
        "::127.0.0.1 ::7f00:1 0:0:0:0:0:0:7f00:1",
    ),
    (
        "IPv4-translated form of 127.0.0.1, which is loopback",
        "::ffff:0:127.0.0.1 ::ffff:0:7f00:1",
    ),
    (
        "NAT64 form of 127.0.0.1, which is loopback",
        "64:ff9b::127.0.0.1 64:ff9b::7f00:1 0064:ff9b::7f00:0001 64:FF9B:0:0:0:0:7f00:1",
    ),
    (
        "local-use NAT64 form of 127.0.0.1, which is loopback",
        "64:ff9b:1::127.0.0.1 64:ff9b:1:ffff::7f00:1 64:ff9b:1:7f00:0:100:: 64:ff9b:1:7f:0:1:: \
         64:ff9b:1:0:7f:0:100:0 64:ff9b:1:7f00:0:100:808:808",
    ),
    (
        "local-use NAT64 (RFC 8215)",
        "64:ff9b:1::8.8.8.8 64:ff9b:1:808:8:800:: 64:ff9b:1::",
    ),
    (
        "6to4 form of 127.0.0.1, which is loopback",
        "2002:7f00:1:: 2002:7f00:1::1 2002:7f00:0001:ffff::",
    ),
    (
        "Teredo client form of 127.0.0.1, which is loopback",
        "2001:0:0808:0808:0:0:80ff:fffe 2001::80ff:fffe",
    ),
    (
        "Teredo server form of 127.0.0.1, which is loopback",
        "2001:0:7f00:1:0:0:f7f7:f7f7",
    ),
    ("Teredo (RFC 4380)", "2001:0:0808:0808:0:0:f7f7:f7f7"),
    (
        "ISATAP form of 127.0.0.1, which is loopback",
        "2a00:1450::5efe:127.0.0.1 2a00:1450::200:5efe:7f00:1",
    ),
    (
        "unspecified (RFC 1122)",
        "0.0.0.0 0 0x0 00 0.0 0.0.0 000.000.000.000 ::ffff:0.0.0.0 ::ffff:0:0 64:ff9b:: 2002::",
    ),
    ("unspecified (RFC 4291)", ":: 0:0:0:0:0:0:0:0 ::0 ::0.0.0.0"),
    (
        "this network (RFC 791)",
        "0.0.0.1 0.1.2.3 0.255.255.255 1 255 0x1 ::ffff:0.1.2.3",
    ),
    (
        "private (RFC 1918)",
        "10.0.0.0 10.0.0.1 10.255.255.255 10.1 012.0.0.1 0xa.0.0.1 0x0a000001 167772161 01200000001 \
         172.16.0.1 172.31.255.255 172.16.1 0254.020.0.1 0xac100001 2886729729 \
         192.168.0.1 192.168.255.255 192.168.1 0300.0250.0.1 0xc0a80001 3232235521 030052000001 \
         ::ffff:10.0.0.1 ::ffff:a00:1 ::ffff:172.16.0.1 ::ffff:192.168.0.1 ::ffff:c0a8:1 ::10.0.0.1 \
         ::192.168.0.1 ::ffff:0:10.0.0.1 64:ff9b::10.0.0.1 64:ff9b::a00:1 64:ff9b::192.168.1.1 \
         64:ff9b::172.16.0.1 2002:a00:1:: 2002:c0a8:1:: 2002:ac10:1::1 2001:0:0808:0808:0:0:f5ff:fffe \
         2001:0:a00:1:0:0:f7f7:f7f7 2a00::5efe:10.0.0.1 2a00::200:5efe:192.168.0.1 fe80::5efe:192.168.0.1",
    ),
    (
        "link-local (RFC 3927)",
        "169.254.0.1 169.254.255.255 169.254.1 0251.0376.0.1 0xa9fe0001 2851995649 ::ffff:169.254.0.1 \
         64:ff9b::169.254.0.1 2002:a9fe:1::",
    ),
    (
        "cloud metadata service (link-local)",
        "169.254.169.254 169.254.43518 0251.0376.0251.0376 0xa9fea9fe 0xa9.0xfe.0xa9.0xfe 2852039166 \
         025177524776 ::ffff:169.254.169.254 ::ffff:a9fe:a9fe ::169.254.169.254 ::ffff:0:a9fe:a9fe \
         64:ff9b::169.254.169.254 64:ff9b::a9fe:a9fe 64:ff9b:1::a9fe:a9fe 2002:a9fe:a9fe:: \
         2001::5601:5601 2a00::5efe:a9fe:a9fe 64:ff9b:1:a9fe:a9:fe00:: 64:ff9b:1:a9:fe:a9fe:: \
         64:ff9b:1:0:a9:fea9:fe00:0",
    ),
    (
        "cloud metadata service (AWS ECS",
        "169.254.170.2 ::ffff:169.254.170.2",
    ),
    (
        "cloud metadata service (AWS EKS",
        "169.254.170.23 fd00:ec2::23",
    ),
    (
        "cloud metadata service (Alibaba",
        "100.100.100.200 0x646464c8 1684301000 ::ffff:100.100.100.200 64:ff9b::6464:64c8",
    ),
    (
        "cloud metadata service (Azure",
        "168.63.129.16 0xa83f8110 2822734096 ::ffff:168.63.129.16 64:ff9b::a83f:8110 2002:a83f:8110::",
    ),
    (
        "cloud metadata service (Oracle",
        "192.0.0.192 0300.0.0.0300 ::ffff:192.0.0.192",
    ),
    (
        "cloud metadata service (AWS)",
        "fd00:ec2::254 FD00:0EC2:0:0:0:0:0:0254",
    ),
    ("cloud metadata service (Google", "fd20:ce::254"),
    (
        "cloud metadata service (Scaleway",
        "169.254.42.42 169.254.10794 0xa9fe2a2a 2852006442 ::ffff:169.254.42.42 ::ffff:a9fe:2a2a \
         64:ff9b::a9fe:2a2a 2002:a9fe:2a2a:: fd00:42::42 FD00:0042:0:0:0:0:0:0042",
    ),
    (
        "cloud metadata service (OpenStack",
        "fe80::a9fe:a9fe FE80::A9FE:A9FE fe80::169.254.169.254 fe80::a9fe:a9fe%1",
    ),
    (
        "carrier-grade NAT (RFC 6598)",
        "100.64.0.1 100.127.255.255 0x64400001 ::ffff:100.64.0.1 64:ff9b::100.64.0.1 2002:6440:1::",
    ),
    (
        "IETF protocol assignments (RFC 6890)",
        "192.0.0.1 192.0.0.170 ::ffff:192.0.0.8",
    ),
    (
        "documentation (RFC 5737)",
        "192.0.2.1 198.51.100.7 203.0.113.255 ::ffff:203.0.113.1",
    ),
    (
        "6to4 relay anycast (RFC 7526)",
        "192.88.99.1 64:ff9b::192.88.99.1",
    ),
    (
        "benchmarking (RFC 2544)",
        "198.18.0.1 198.19.255.255 ::ffff:198.18.0.1",
    ),
    (
        "multicast (RFC 5771)",
        "224.0.0.1 239.255.255.250 0xe0000001 3758096385 ::ffff:224.0.0.1 64:ff9b::224.0.0.1",
    ),
    (
        "reserved (RFC 1112)",
        "240.0.0.1 255.255.255.254 0xf0000001 ::ffff:240.0.0.1",
    ),
    (
        "broadcast (RFC 919)",
        "255.255.255.255 0xffffffff 4294967295 037777777777 ::ffff:255.255.255.255",
    ),
    ("IPv4-compatible (RFC 4291)", "::8.8.8.8 ::808:808"),
    ("IPv4-translated (RFC 7915)", "::ffff:0:8.8.8.8"),
    (
        "unique local (RFC 4193)",
        "fc00::1 fd00::1 fdff:ffff::1 FD12:3456:789a::1",
    ),
    (
        "link-local (RFC 4291)",
        "fe80::1 fe80::1%1 febf::1 FE80::dead:beef",
    ),
    ("site-local (RFC 3879)", "fec0::1 feff::1"),
    ("multicast (RFC 4291)", "ff00::1 ff02::1 ff0e::1"),
    ("discard (RFC 6666)", "100::1"),
    ("ORCHID (RFC 4843)", "2001:10::1"),
    ("ORCHIDv2 (RFC 7343)", "2001:20::1 2001:2f:ffff::1"),
    ("benchmarking (RFC 5180)", "2001:2::1"),
    (
        "IETF protocol assignments (RFC 2928)",
        "2001:1::1 2001:1ff::1",
    ),
    ("documentation (RFC 3849)", "2001:db8::1"),
    ("documentation (RFC 9637)", "3fff::1 3fff:fff::1"),
    ("segment routing (RFC 9602)", "5f00::1"),
    (
        "outside global unicast",
        "100:0:0:1::1 200::1 4000::1 1000::1 8000::1 64:ff9b:2::1 fe00::1 ::1:0:0:0:1",
    ),
];

/// Public addresses, which must stay usable.
const ALLOWED: &str = "8.8.8.8 1.1.1.1 134744072 0x08080808 010.010.010.010 8.526344 9.255.255.255 \
     11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 169.253.255.255 169.255.0.0 \
     172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 \
     203.0.114.0 223.255.255.255 168.63.129.15 168.63.129.17 ::ffff:8.8.8.8 ::ffff:808:808 \
     64:ff9b::8.8.8.8 64:ff9b::808:808 2002:808:808::1 2a00:1450:4001:80b::200e 2606:4700::1111 \
     2001:200::1 2001:4860:4860::8888 2001:db7::1 2001:db9::1 2a00::5efe:8.8.8.8 3ffe::1 \
     2000::1 3ffe:ffff::1";

/// No hosts at all: refused before any resolver sees them.
const NOT_HOSTS: &[&str] = &[
    "",
    " ",
    "\0",
    "127.0.0.1\0",
    "127.0.0.1\0.example.com",
    " 127.0.0.1",
    "127.0.0.1 ",
    "127.0.0.1\n",
    "127.0.0.1\t",
    "\u{a0}127.0.0.1",
    "[::1]",
    "[::ffff:7f00:1]",
    "[::ffff:127.0.0.1]:5432",
    "[127.0.0.1]",
    "127.0.0.1:5432",
    "localhost:5432",
    "127.0.0.1/8",
    "127.0.0.1/",
    "http://127.0.0.1",
    "postgresql://localhost",
    "user@127.0.0.1",
    "@/run/postgresql",
    "/run/postgresql",
    "..\\localhost",
    "127.0.0.1?x",
    "127.0.0.1#x",
    "127.0.0.1,10.0.0.1",
    "<localhost>",
    "'localhost'",
    "\"localhost\"",
    ":",
    ":::",
    "1::2::3",
    "::1::",
    "::fffff:127.0.0.1",
    "::ffff:127.0.0",
    "::ffff:127.0.0.01",
    "::ffff:0x7f.1",
    "0:0:0:0:0:0:0:0:1",
    "%1::1",
    "::x%lo",
    "\u{202e}1.0.0.721 x",
];

fn spellings() -> impl Iterator<Item = (&'static str, &'static str)> {
    REFUSED.iter().flat_map(|(reason, spellings)| {
        spellings
            .split_whitespace()
            .map(move |spelling| (*reason, spelling))
    })
}

fn context() -> DialContext {
    DialContext::new(Instant::now() + Duration::from_secs(60))
}

fn public() -> TcpTransport {
    TcpTransport::builder()
        .with_address_policy(AddressPolicy::public_only())
        .build()
        .unwrap()
}

#[tokio::test]
async fn every_spelling_of_a_forbidden_address_is_refused() {
    let transport = public();
    let mut count = 0;
    for (reason, spelling) in spellings() {
        let cx = context();
        let endpoint = Endpoint::tcp(spelling, 5432);
        let stage = cx.enter(Stage::RESOLVE);
        let error = match transport.addresses(&endpoint, &stage).await {
            Ok(addresses) => panic!("{spelling} is allowed as {addresses:?}"),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::Denied, "{spelling}: {error}");
        assert!(error.message().contains(reason), "{spelling}: {error}");

        let cx = context();
        let dialled = transport.dial(&endpoint, &cx).await.unwrap_err();
        assert_eq!(dialled.message(), error.message());
        assert!(
            cx.trace().records().iter().all(|r| r.stage != Stage::TCP),
            "{spelling} came to be dialled"
        );
        count += 1;
    }
    assert!(count >= 200, "{count} spellings");
}

#[tokio::test]
async fn public_addresses_stay_usable() {
    let transport = public();
    for spelling in ALLOWED.split_whitespace() {
        let cx = context();
        let endpoint = Endpoint::tcp(spelling, 5432);
        let stage = cx.enter(Stage::RESOLVE);
        let addresses = transport.addresses(&endpoint, &stage).await;
        assert_eq!(addresses.map(|a| a.len()).unwrap(), 1, "{spelling}");
    }
}

#[tokio::test]
async fn what_is_no_host_is_a_typed_error() {
    let too_long = ["a.".repeat(200), "a".repeat(100_000)];
    let spellings = NOT_HOSTS.iter().copied();
    for spelling in spellings.chain(too_long.iter().map(String::as_str)) {
        // Even a transport without a policy must not hand these to a resolver.
        for transport in [public(), TcpTransport::new()] {
            let endpoint = Endpoint::tcp(spelling, 5432);
            let error = transport.dial(&endpoint, &context()).await.unwrap_err();
            assert_eq!(error.code(), &crate::codes::HOST_INVALID, "{spelling:?}");
            assert!(!error.message().contains(char::is_control));
        }
    }
}

/// The same addresses as `hostaddr` and as a pinned endpoint, which no resolver sees.
#[tokio::test]
async fn addresses_given_outright_are_checked_too() {
    let transport = public();
    let literals = spellings().filter_map(|(reason, spelling)| {
        let address: std::net::IpAddr = spelling.parse().ok()?;
        Some((reason, address))
    });
    for (reason, address) in literals {
        let name = Endpoint::tcp("db.example.com", 5432);
        for endpoint in [
            name.clone().with_hostaddr(address),
            name.pinned_to((address, 5432).into()),
        ] {
            let error = transport.dial(&endpoint, &context()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{address}: {error}");
            assert!(error.message().contains(reason), "{address}: {error}");
        }
    }
}
