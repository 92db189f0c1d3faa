//! Which addresses may be dialled.

mod embedded;
mod ranges;
mod refusal;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use embedded::{Form, embedded};
pub use refusal::Refusal;

/// Which addresses may be dialled.
///
/// A program that connects where *somebody else* tells it to must not be led to its own machine, its
/// own network or its cloud's metadata service (server-side request forgery):
///
/// ```
/// use pgreach_transport_tcp::AddressPolicy;
///
/// let policy = AddressPolicy::public_only()
///     .with_allowed("10.20.0.0/16".parse::<pgreach_transport_tcp::IpNet>()?);
/// assert!(policy.check([203, 0, 114, 7].into()).is_ok());
/// assert!(policy.check([10, 20, 0, 7].into()).is_ok());
/// let refusal = policy.check([127, 0, 0, 1].into()).unwrap_err();
/// assert_eq!(refusal.to_string(), "127.0.0.1 is loopback (RFC 1122)");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The rules, strongest first:
/// 1. an address in a [denied](Self::with_denied) network is refused;
/// 2. under [`public_only`](Self::public_only) and [`only`](Self::only), a cloud's metadata address is
///    refused unless an allowed network is exactly that one address;
/// 3. an address in an [allowed](Self::with_allowed) network is accepted;
/// 4. the policy's basis decides: [`allow_all`](Self::allow_all), `public_only` or `only`.
///
/// IPv6 addresses that carry an IPv4 address are taken apart, and **each part must pass**:
/// IPv4-compatible, IPv4-translated (RFC 7915), NAT64 (RFC 6052 and RFC 8215), 6to4 (RFC 3056),
/// Teredo (RFC 4380, client and server) and ISATAP (RFC 5214). IPv4-mapped addresses and NAT64's
/// well-known prefix `64:ff9b::/96` lead to the IPv4 address and nowhere else; there the IPv4 address
/// alone must pass, so to allow them allow the IPv4 network. Denied networks refuse in any of these
/// forms.
///
/// The local-use NAT64 prefix `64:ff9b:1::/48` is refused unless it is allowed. Where it is, the IPv4
/// address in the last 32 bits must pass as well; networks with a prefix shorter than 96 bits have it
/// elsewhere, and whatever can be read there must not be a metadata, loopback or link-local address.
///
/// **NAT64 with a prefix of the network's own** (RFC 6052), inside `2000::/3`, looks like any other
/// address. Deny your NAT64 prefix where it is not `64:ff9b::/96`.
///
/// The default is `allow_all`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressPolicy {
    basis: Basis,
    allowed: Vec<IpNet>,
    denied: Vec<IpNet>,
    unix_sockets: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Basis {
    Everything,
    Public,
    Nothing,
}

impl AddressPolicy {
    /// Every address, and Unix sockets: for programs that choose their own destinations.
    #[must_use]
    pub fn allow_all() -> Self {
        Self::on(Basis::Everything)
    }

    /// Addresses of the public Internet.
    ///
    /// Refused are: loopback, private, unique-local, link-local, site-local, carrier-grade NAT,
    /// multicast, broadcast, unspecified and reserved addresses; those for documentation,
    /// benchmarking and protocols (the IANA special-purpose registries); the metadata services of the
    /// clouds, wherever they are; every IPv6 address outside `2000::/3`; and Unix sockets.
    #[must_use]
    pub fn public_only() -> Self {
        Self::on(Basis::Public)
    }

    /// Addresses in `networks` and no others; no Unix sockets.
    #[must_use]
    pub fn only<N: Into<IpNet>>(networks: impl IntoIterator<Item = N>) -> Self {
        networks
            .into_iter()
            .fold(Self::on(Basis::Nothing), Self::with_allowed)
    }

    fn on(basis: Basis) -> Self {
        Self {
            basis,
            allowed: Vec::new(),
            denied: Vec::new(),
            unix_sockets: false,
        }
    }

    /// Also accepts the addresses in `network`, such as one's own VPC. A denied network still wins.
    #[must_use]
    pub fn with_allowed(mut self, network: impl Into<IpNet>) -> Self {
        self.allowed.push(canonical(network.into()));
        self
    }

    /// Refuses the addresses in `network`, whatever else allows them, and in every form of IPv6
    /// address that is known to carry them (see [above](Self)). Where the network translates to IPv4
    /// under a prefix of its own, deny your NAT64 prefix where it is not `64:ff9b::/96`: it cannot be
    /// recognised.
    #[must_use]
    pub fn with_denied(mut self, network: impl Into<IpNet>) -> Self {
        self.denied.push(canonical(network.into()));
        self
    }

    /// Also accepts Unix sockets. Only a policy that restricts nothing accepts them without this.
    #[must_use]
    pub fn allow_unix_sockets(mut self) -> Self {
        self.unix_sockets = true;
        self
    }

    /// Whether Unix sockets may be dialled.
    #[must_use]
    pub fn allows_unix_sockets(&self) -> bool {
        self.unix_sockets || (self.basis == Basis::Everything && self.denied.is_empty())
    }

    /// Whether `address` may be dialled.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn check(&self, address: IpAddr) -> Result<(), Refusal> {
        let parts = match address {
            IpAddr::V4(_) => Vec::new(),
            IpAddr::V6(address) => embedded(address),
        };
        self.check_denied(address)
            .map_err(|reason| Refusal::new(address, reason))?;
        for (form, part) in &parts {
            self.check_denied(IpAddr::V4(*part))
                .map_err(|reason| Refusal::embedded_in(address, form.name(), *part, reason))?;
        }

        // The parts come first: "IPv4-compatible, which is loopback" tells more than the form alone.
        for (form, part) in &parts {
            if self.counts(*form, *part) {
                self.check_part(IpAddr::V4(*part))
                    .map_err(|reason| Refusal::embedded_in(address, form.name(), *part, reason))?;
            }
        }
        if parts.iter().any(|(form, _)| form.transparent()) {
            return Ok(());
        }
        self.check_part(address)
            .map_err(|reason| Refusal::new(address, reason))
    }

    /// Whether a part must pass on its own, rather than merely not be denied. The prefix length of a
    /// local-use NAT64 network is not known; /96 is the usual one, and a reading of all zeros under it
    /// means that another was used. The network as a whole must be allowed explicitly anyway. Under a
    /// shorter prefix at most one of the readings is the address; the others are chance, so that only
    /// what no such network is for is held against them: the translator itself and its surroundings.
    fn counts(&self, form: Form, part: Ipv4Addr) -> bool {
        match form {
            Form::Nat64LocalShort => {
                part.is_loopback()
                    || part.is_link_local()
                    || ranges::metadata(IpAddr::V4(part)).is_some()
            }
            Form::Nat64Local => !part.is_unspecified(),
            _ => true,
        }
    }

    fn check_denied(&self, address: IpAddr) -> Result<(), String> {
        match self.denied.iter().find(|net| net.contains(&address)) {
            Some(network) => Err(format!("on the deny list ({network})")),
            None => Ok(()),
        }
    }

    fn check_part(&self, address: IpAddr) -> Result<(), String> {
        if self.basis == Basis::Everything {
            return Ok(());
        }
        // A metadata service can be inside a network that is allowed for its own sake, such as
        // fd00::/8 or 100.64.0.0/10; it is never a PostgreSQL server.
        if let Some(reason) = ranges::metadata(address)
            && !self.allowed.contains(&IpNet::from(address))
        {
            return Err(reason.to_owned());
        }
        if self.allowed.iter().any(|net| net.contains(&address)) {
            return Ok(());
        }
        match (self.basis, ranges::special(address)) {
            (Basis::Nothing, _) => Err("not on the allow list".to_owned()),
            (_, Some(reason)) => Err(reason.to_owned()),
            (_, None) => Ok(()),
        }
    }
}

impl Default for AddressPolicy {
    fn default() -> Self {
        Self::allow_all()
    }
}

/// An IPv4-mapped network as the IPv4 network that it is: `::ffff:10.0.0.0/104` must mean the same as
/// `10.0.0.0/8`.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);
    if let IpNet::V6(v6) = network
        && MAPPED.contains(&v6)
        && let Some(address) = v6.addr().to_ipv4_mapped()
        && let Ok(v4) = Ipv4Net::new(address, v6.prefix_len() - MAPPED.prefix_len())
    {
        return IpNet::V4(v4);
    }
    network
}
