//! The networks that are not part of the public Internet.
//!
//! Sources: the IANA special-purpose address registries for
//! [IPv4](https://www.iana.org/assignments/iana-ipv4-special-registry/) and
//! [IPv6](https://www.iana.org/assignments/iana-ipv6-special-registry/), and the clouds' manuals for
//! the metadata addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(first: [u16; 4], prefix: u8) -> Ipv6Net {
    let [a, b, c, d] = first;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

/// The narrower network comes before the wider one, so that its reason is the one given.
const SPECIAL_V4: &[(Ipv4Net, &str)] = &[
    (v4(0, 0, 0, 0, 32), "unspecified (RFC 1122)"),
    (v4(0, 0, 0, 0, 8), "this network (RFC 791)"),
    (v4(10, 0, 0, 0, 8), "private (RFC 1918)"),
    (v4(100, 64, 0, 0, 10), "carrier-grade NAT (RFC 6598)"),
    (v4(127, 0, 0, 0, 8), "loopback (RFC 1122)"),
    (v4(169, 254, 0, 0, 16), "link-local (RFC 3927)"),
    (v4(172, 16, 0, 0, 12), "private (RFC 1918)"),
    (v4(192, 0, 0, 0, 24), "IETF protocol assignments (RFC 6890)"),
    (v4(192, 0, 2, 0, 24), "documentation (RFC 5737)"),
    (v4(192, 88, 99, 0, 24), "6to4 relay anycast (RFC 7526)"),
    (v4(192, 168, 0, 0, 16), "private (RFC 1918)"),
    (v4(198, 18, 0, 0, 15), "benchmarking (RFC 2544)"),
    (v4(198, 51, 100, 0, 24), "documentation (RFC 5737)"),
    (v4(203, 0, 113, 0, 24), "documentation (RFC 5737)"),
    (v4(224, 0, 0, 0, 4), "multicast (RFC 5771)"),
    (v4(255, 255, 255, 255, 32), "broadcast (RFC 919)"),
    (v4(240, 0, 0, 0, 4), "reserved (RFC 1112)"),
];

const SPECIAL_V6: &[(Ipv6Net, &str)] = &[
    (v6([0, 0, 0, 0], 128), "unspecified (RFC 4291)"),
    (
        Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128),
        "loopback (RFC 4291)",
    ),
    (v6([0, 0, 0, 0], 96), "IPv4-compatible (RFC 4291)"),
    (
        Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96),
        "IPv4-translated (RFC 7915)",
    ),
    (v6([0x64, 0xff9b, 1, 0], 48), "local-use NAT64 (RFC 8215)"),
    (v6([0x100, 0, 0, 0], 64), "discard (RFC 6666)"),
    (v6([0x2001, 0, 0, 0], 32), "Teredo (RFC 4380)"),
    (v6([0x2001, 2, 0, 0], 48), "benchmarking (RFC 5180)"),
    (v6([0x2001, 0x10, 0, 0], 28), "ORCHID (RFC 4843)"),
    (v6([0x2001, 0x20, 0, 0], 28), "ORCHIDv2 (RFC 7343)"),
    (
        v6([0x2001, 0, 0, 0], 23),
        "IETF protocol assignments (RFC 2928)",
    ),
    (v6([0x2001, 0xdb8, 0, 0], 32), "documentation (RFC 3849)"),
    (v6([0x3fff, 0, 0, 0], 20), "documentation (RFC 9637)"),
    (v6([0x5f00, 0, 0, 0], 16), "segment routing (RFC 9602)"),
    (v6([0xfc00, 0, 0, 0], 7), "unique local (RFC 4193)"),
    (v6([0xfe80, 0, 0, 0], 10), "link-local (RFC 4291)"),
    (v6([0xfec0, 0, 0, 0], 10), "site-local (RFC 3879)"),
    (v6([0xff00, 0, 0, 0], 8), "multicast (RFC 4291)"),
];

/// The only part of the IPv6 space that is handed out for use on the Internet (RFC 4291, 2.4).
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0], 3);

/// Where clouds answer questions about the machine, often with credentials. Several of them are in
/// networks that an operator may well allow (unique local, carrier-grade NAT) or, as Azure's, in
/// public address space.
const METADATA: &[(IpAddr, &str)] = &[
    // AWS, Azure, Google Cloud, Oracle, DigitalOcean, OpenStack and most others.
    (
        IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
        "a cloud metadata service (link-local)",
    ),
    (
        IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
        "a cloud metadata service (AWS ECS credentials)",
    ),
    (
        IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
        "a cloud metadata service (AWS EKS credentials)",
    ),
    (
        IpAddr::V4(Ipv4Addr::new(169, 254, 42, 42)),
        "a cloud metadata service (Scaleway)",
    ),
    (
        IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
        "a cloud metadata service (Alibaba Cloud)",
    ),
    (
        IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
        "a cloud metadata service (Azure WireServer)",
    ),
    (
        IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
        "a cloud metadata service (Oracle Cloud)",
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
        "a cloud metadata service (AWS)",
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
        "a cloud metadata service (AWS EKS credentials)",
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
        "a cloud metadata service (Google Cloud)",
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
        "a cloud metadata service (Scaleway)",
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
        "a cloud metadata service (OpenStack)",
    ),
];

/// Which cloud's metadata service answers at `address`.
pub(super) fn metadata(address: IpAddr) -> Option<&'static str> {
    METADATA
        .iter()
        .find(|(known, _)| *known == address)
        .map(|(_, reason)| *reason)
}

/// Why `address` is not part of the public Internet. It does not look into embedded addresses.
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => SPECIAL_V4
            .iter()
            .find(|(network, _)| network.contains(&address))
            .map(|(_, reason)| *reason),
        IpAddr::V6(address) => SPECIAL_V6
            .iter()
            .find(|(network, _)| network.contains(&address))
            .map(|(_, reason)| *reason)
            .or_else(|| {
                (!GLOBAL_UNICAST.contains(&address))
                    .then_some("outside global unicast 2000::/3 (RFC 4291)")
            }),
    }
}
