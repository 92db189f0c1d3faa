//! The names under which a host is on record.

use std::net::{IpAddr, Ipv4Addr};

use pgreach_core::Error;

use crate::{HOST_KEY, codes};

/// The port whose hosts are recorded without it.
const DEFAULT_PORT: u16 = 22;

/// A host as the files call it.
#[derive(Debug, Clone)]
pub(super) struct HostNames {
    /// In lower case, an address in its usual spelling: what a certificate must be issued for.
    pub(super) host: String,
    /// `host`, or `[host]:port` when the port is not 22.
    pub(super) recorded: String,
}

impl HostNames {
    /// # Errors
    /// [`codes::SSH_CONFIG_INVALID`] for an address in a spelling that OpenSSH replaces: a record of
    /// the address would be overlooked, a revocation among them.
    pub(super) fn new(host: &str, port: u16) -> Result<Self, Error> {
        if let Some(usual) = unusual(host) {
            let message = format!("the SSH server's address \"{host}\" is not in its usual form");
            return Err(Error::new(&codes::SSH_CONFIG_INVALID, HOST_KEY, message)
                .with_hint(format!("write the address in its usual form, as {usual}")));
        }
        let host = canonical(host);
        let recorded = if matches!(port, 0 | DEFAULT_PORT) {
            host.clone()
        } else {
            format!("[{host}]:{port}")
        };
        Ok(Self { host, recorded })
    }

    /// Whether there is a name without the port that is asked for when nothing is on record with it.
    pub(super) fn has_port(&self) -> bool {
        self.host != self.recorded
    }

    /// Whether the name can stand in a file and means itself there.
    pub(super) fn can_be_recorded(&self) -> bool {
        !self.host.is_empty()
            && !self.host.contains(|c: char| {
                c.is_whitespace() || c.is_control() || "@?*#[]|'\"\\,!".contains(c)
            })
    }
}

/// How to write an address that the system understands, and that is not in the form in which OpenSSH
/// looks it up.
fn unusual(host: &str) -> Option<String> {
    if let Some(address) = inet_aton(host) {
        let usual = address.to_string();
        return (usual != host).then_some(usual);
    }
    // A network interface by its number: OpenSSH looks its name up.
    let (address, zone) = host.split_once('%')?;
    let is_number = zone.bytes().all(|byte| byte.is_ascii_digit());
    let address = address.parse::<IpAddr>().ok()?;
    (is_number && address.is_ipv6())
        .then(|| format!("{address}% and the name of the network interface"))
}

/// What C's `inet_aton` reads as an address: up to four numbers, of which the last fills what is left,
/// each decimal, octal after `0` or hexadecimal after `0x`.
fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let mut numbers = text.split('.').map(c_number).collect::<Option<Vec<_>>>()?;
    let last = numbers.pop()?;
    let room = 32_u32.checked_sub(8 * u32::try_from(numbers.len()).ok()?)?;
    if room == 0 || u64::from(last) >> room != 0 {
        return None;
    }
    let mut address = last;
    for (number, shift) in numbers.into_iter().zip([24, 16, 8]) {
        address |= u32::from(u8::try_from(number).ok()?) << shift;
    }
    Some(Ipv4Addr::from(address))
}

fn c_number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (text.get(2..)?, 16),
        [b'0', _, ..] => (text, 8),
        _ => (text, 10),
    };
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_plain {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}

/// As OpenSSH looks a host up: a name in lower case, an address as the system prints it.
fn canonical(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    let (address, zone) = match host.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (host.as_str(), None),
    };
    let address = match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => match address.segments() {
            // The C library still prints these the old way.
            [0, 0, 0, 0, 0, 0, high, _] if high != 0 => {
                let [.., a, b, c, d] = address.octets();
                format!("::{a}.{b}.{c}.{d}")
            }
            _ => address.to_string(),
        },
        Ok(IpAddr::V4(address)) if zone.is_none() => address.to_string(),
        _ => return host,
    };
    match zone {
        Some(zone) => format!("{address}%{zone}"),
        None => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_record() {
        let cases = [
            ("bastion", 22, "bastion", "bastion"),
            ("bastion", 0, "bastion", "bastion"),
            (
                "Bastion.Example.COM",
                2222,
                "bastion.example.com",
                "[bastion.example.com]:2222",
            ),
            ("192.0.2.1", 22, "192.0.2.1", "192.0.2.1"),
            ("::1", 22, "::1", "::1"),
            (
                "2001:DB8:0:0:0:0:0:1",
                2222,
                "2001:db8::1",
                "[2001:db8::1]:2222",
            ),
            (
                "::ffff:192.0.2.1",
                22,
                "::ffff:192.0.2.1",
                "::ffff:192.0.2.1",
            ),
            ("::192.0.2.1", 22, "::192.0.2.1", "::192.0.2.1"),
            ("FE80:0::1%eth0", 22, "fe80::1%eth0", "fe80::1%eth0"),
            ("100%", 22, "100%", "100%"),
        ];
        for (host, port, plain, recorded) in cases {
            let names = HostNames::new(host, port).unwrap();
            assert_eq!(
                (names.host.as_str(), names.recorded.as_str()),
                (plain, recorded)
            );
            assert_eq!(names.has_port(), plain != recorded);
            assert!(names.can_be_recorded());
        }
    }

    #[test]
    fn names_that_would_mean_something_else() {
        for host in [
            "", "*", "a,b", "a b", "!a", "@a", "#a", "[a]:1", "|1|", "a\nb", "a?",
        ] {
            let names = HostNames::new(host, 22).unwrap();
            assert!(!names.can_be_recorded(), "{host:?}");
        }
    }

    #[test]
    fn addresses_in_other_spellings() {
        for (host, usual) in [
            ("127.1", "127.0.0.1"),
            ("127.0.1", "127.0.0.1"),
            ("127.0.256", "127.0.1.0"),
            ("0x7f.1", "127.0.0.1"),
            ("0X7F.0x0.0.01", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("0x7f000001", "127.0.0.1"),
            ("017700000001", "127.0.0.1"),
            ("010.0.0.5", "8.0.0.5"),
            ("10.0.0.05", "10.0.0.5"),
            ("10.0.0.00", "10.0.0.0"),
            ("0", "0.0.0.0"),
            ("4294967295", "255.255.255.255"),
            ("fe80::1%1", "fe80::1% and the name"),
            ("FE80:0::1%02", "fe80::1% and the name"),
            ("::1%1", "::1% and the name"),
            ("fe80::1%", "fe80::1% and the name"),
        ] {
            let error = HostNames::new(host, 22).unwrap_err();
            assert_eq!(error.code().name(), codes::SSH_CONFIG_INVALID.name());
            let hint = error.hint();
            assert!(hint.contains(usual), "{host}: {hint}");
        }
        // These are names to the system too.
        for host in [
            "127.0.0.1.example",
            "127.0.0.1.",
            ".1",
            "1..1",
            "127.0.0.256",
            "256.1",
            "1.2.3.4.5",
            "08.0.0.1",
            "0x",
            "0x.1",
            "0xg.1",
            "+1.2.3.4",
            "1.2.3.4%1",
            "4294967296",
            "1.16777216",
            "999999999999999999999",
            "a1",
            "0x7f.one",
            "db%1",
        ] {
            let names = HostNames::new(host, 22).unwrap();
            assert_eq!(names.host, host);
        }
    }

    /// What is read as an address here is the same address to the system, and refused unless it is spelled
    /// as the system prints it.
    #[test]
    fn the_system_reads_the_same_address() {
        use std::net::ToSocketAddrs as _;
        let parts = [
            "0", "1", "7", "8", "010", "08", "0x7f", "0xg", "256", "65536", "255", "x", "",
        ];
        let mut understood = 0;
        for a in parts {
            for b in parts {
                for host in [
                    a.to_owned(),
                    format!("{a}.{b}"),
                    format!("1.{a}.{b}"),
                    format!("{a}.1.0.{b}"),
                ] {
                    let is_number = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
                    // Anything else would be asked of DNS.
                    let is_one = host.split('.').all(is_number) && inet_aton(&host).is_some();
                    if !is_one {
                        continue;
                    }
                    let theirs = (host.as_str(), 1).to_socket_addrs().unwrap().next();
                    let theirs = theirs.unwrap().ip();
                    assert_eq!(Some(theirs), inet_aton(&host).map(Into::into), "{host}");
                    let names = HostNames::new(&host, 22);
                    assert_eq!(names.is_ok(), theirs.to_string() == host, "{host}");
                    understood += 1;
                }
            }
        }
        assert!(understood > 100, "{understood}");
    }
}
