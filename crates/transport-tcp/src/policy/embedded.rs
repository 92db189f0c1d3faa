//! IPv4 addresses inside IPv6 addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The way in which an IPv6 address carries an IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Mapped,
    Nat64,
    Nat64Local,
    /// A reading of a local-use NAT64 address under a prefix shorter than 96 bits.
    Nat64LocalShort,
    Compatible,
    Translated,
    SixToFour,
    TeredoClient,
    TeredoServer,
    Isatap,
}

impl Form {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Mapped => "IPv4-mapped",
            Self::Nat64 => "NAT64",
            Self::Nat64Local | Self::Nat64LocalShort => "local-use NAT64",
            Self::Compatible => "IPv4-compatible",
            Self::Translated => "IPv4-translated",
            Self::SixToFour => "6to4",
            Self::TeredoClient => "Teredo client",
            Self::TeredoServer => "Teredo server",
            Self::Isatap => "ISATAP",
        }
    }

    /// Whether packets to the IPv6 address are nothing but packets to the IPv4 address, so that the
    /// latter alone decides. Of NAT64 this is the well-known prefix only: what a local prefix leads
    /// to is known to its operator alone.
    pub(super) const fn transparent(self) -> bool {
        matches!(self, Self::Mapped | Self::Nat64)
    }
}

/// Every IPv4 address that `address` can be read to carry.
pub(super) fn embedded(address: Ipv6Addr) -> Vec<(Form, Ipv4Addr)> {
    let octets = address.octets();
    let at = |places: [usize; 4]| {
        let [a, b, c, d] = places.map(|place| octets.get(place).copied().unwrap_or_default());
        Ipv4Addr::new(a, b, c, d)
    };
    let last = at([12, 13, 14, 15]);
    let mut found = Vec::new();
    match address.segments() {
        // `::` and `::1` are IPv6's own; the rest of ::/96 is RFC 4291, 2.5.5.1.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => {}
        [0, 0, 0, 0, 0, 0, ..] => found.push((Form::Compatible, last)),
        // RFC 4291, 2.5.5.2.
        [0, 0, 0, 0, 0, 0xffff, ..] => found.push((Form::Mapped, last)),
        // RFC 7915.
        [0, 0, 0, 0, 0xffff, 0, ..] => found.push((Form::Translated, last)),
        // RFC 6052, 2.1.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => found.push((Form::Nat64, last)),
        // RFC 8215 leaves the prefix length to the operator; RFC 6052, 2.2 places the IPv4 address
        // around octet 8, which is kept free, for each of them. The last 32 bits come last: of an
        // address further to the left they hold at most the end.
        [0x64, 0xff9b, 1, ..] => found.extend([
            (Form::Nat64LocalShort, at([6, 7, 9, 10])),
            (Form::Nat64LocalShort, at([7, 9, 10, 11])),
            (Form::Nat64LocalShort, at([9, 10, 11, 12])),
            (Form::Nat64Local, last),
        ]),
        // RFC 3056.
        [0x2002, ..] => found.push((Form::SixToFour, at([2, 3, 4, 5]))),
        // RFC 4380, 4: the client's address has every bit inverted.
        [0x2001, 0, ..] => found.extend([
            (Form::TeredoClient, Ipv4Addr::from_bits(!last.to_bits())),
            (Form::TeredoServer, at([4, 5, 6, 7])),
        ]),
        _ => {}
    }
    // RFC 5214, 6.1: an interface identifier, hence behind any prefix; 0200 has the universal bit.
    if let [_, _, _, _, 0 | 0x200, 0x5efe, ..] = address.segments() {
        found.push((Form::Isatap, last));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(text: &str) -> Vec<(Form, String)> {
        embedded(text.parse().unwrap())
            .into_iter()
            .map(|(form, address)| (form, address.to_string()))
            .collect()
    }

    #[test]
    fn finds_the_address_in_every_form() {
        let cases = [
            ("::ffff:10.1.2.3", Form::Mapped),
            ("::10.1.2.3", Form::Compatible),
            ("::ffff:0:10.1.2.3", Form::Translated),
            ("64:ff9b::10.1.2.3", Form::Nat64),
            ("64:ff9b:1::10.1.2.3", Form::Nat64Local),
            ("64:ff9b:1:a01:2:300::", Form::Nat64LocalShort),
            ("64:ff9b:1:a:1:203::", Form::Nat64LocalShort),
            ("64:ff9b:1:0:a:102:300:0", Form::Nat64LocalShort),
            ("2002:a01:203::1", Form::SixToFour),
            ("2001:0:0808:0808:0:0:f5fe:fdfc", Form::TeredoClient),
            ("2001:0:a01:203::", Form::TeredoServer),
            ("2a00::5efe:10.1.2.3", Form::Isatap),
            ("2a00::200:5efe:10.1.2.3", Form::Isatap),
        ];
        for (text, form) in cases {
            let wanted = (form, "10.1.2.3".to_owned());
            assert!(forms(text).contains(&wanted), "{text}: {:?}", forms(text));
        }
    }

    #[test]
    fn ordinary_addresses_carry_none() {
        for text in [
            "::",
            "::1",
            "2a00:1450:4001:80b::200e",
            "fe80::1",
            "64:ff9b:2::1",
        ] {
            assert_eq!(forms(text), [], "{text}");
        }
    }
}
