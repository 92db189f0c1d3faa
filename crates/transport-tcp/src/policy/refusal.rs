//! Why an address may not be dialled.

use std::error::Error as StdError;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// Why an address may not be dialled.
///
/// `Display` is one line: `127.0.0.1 is loopback (RFC 1122)`, or
/// `64:ff9b::7f00:1 is the NAT64 form of 127.0.0.1, which is loopback (RFC 1122)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    address: IpAddr,
    part: Option<(&'static str, Ipv4Addr)>,
    reason: String,
}

impl Refusal {
    pub(super) fn new(address: IpAddr, reason: String) -> Self {
        Self {
            address,
            part: None,
            reason,
        }
    }

    pub(super) fn embedded_in(
        address: IpAddr,
        form: &'static str,
        part: Ipv4Addr,
        reason: String,
    ) -> Self {
        Self {
            address,
            part: Some((form, part)),
            reason,
        }
    }

    /// The address that was checked.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The IPv4 address inside the IPv6 address, when it is the one that is forbidden.
    #[must_use]
    pub fn embedded(&self) -> Option<Ipv4Addr> {
        self.part.map(|(_, part)| part)
    }

    /// The rule, such as `private (RFC 1918)` or `not on the allow list`.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is ", self.address)?;
        if let Some((form, part)) = self.part {
            write!(f, "the {form} form of {part}, which is ")?;
        }
        f.write_str(&self.reason)
    }
}

impl StdError for Refusal {}
