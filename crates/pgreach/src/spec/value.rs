//! Values that several fields share: ports, durations, networks.

use std::fmt;
use std::num::NonZeroU16;
use std::time::Duration;

use pgreach_transport_tcp::{AddressPolicy, IpNet};
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::fault::Fault;

/// A port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "spec-schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub(crate) struct Port(NonZeroU16);

impl Port {
    pub(crate) fn get(self) -> u16 {
        self.0.get()
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PortVisitor;

        impl Visitor<'_> for PortVisitor {
            type Value = Port;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 1 to 65535")
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Port, E> {
                u16::try_from(value)
                    .ok()
                    .and_then(NonZeroU16::new)
                    .map(Port)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Unsigned(value), &self))
            }
        }

        deserializer.deserialize_u64(PortVisitor)
    }
}

/// A number of seconds, or a text such as `30s`, `1500ms` or `2m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeout(pub(crate) Duration);

/// Nobody waits for longer; a document of a stranger's must not hold a connection for a year.
const LONGEST: Duration = Duration::from_secs(60 * 60);

impl Timeout {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let duration = match unit {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            _ => return None,
        };
        Self::within(duration)
    }

    fn within(duration: Duration) -> Option<Self> {
        (!duration.is_zero() && duration <= LONGEST).then_some(Self(duration))
    }
}

impl Serialize for Timeout {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.subsec_nanos() {
            0 => serializer.serialize_u64(self.0.as_secs()),
            _ => serializer.collect_str(&format_args!("{}ms", self.0.as_millis())),
        }
    }
}

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TimeoutVisitor;

        impl Visitor<'_> for TimeoutVisitor {
            type Value = Timeout;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a number of seconds or a text such as 30s, 1500ms or 2m, above zero and at most an hour",
                )
            }

            fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Timeout, E> {
                Timeout::within(Duration::from_secs(seconds)).ok_or_else(|| {
                    E::invalid_value(serde::de::Unexpected::Unsigned(seconds), &self)
                })
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timeout, E> {
                Timeout::parse(text)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(TimeoutVisitor)
    }
}

/// Which addresses may be dialled.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "spec-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AddressRules {
    /// Where the rules begin. Default: `all`.
    #[cfg_attr(feature = "spec-schema", schemars(with = "Option<AddressBase>"))]
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) base: AddressBase,
    /// Networks that are allowed as well, such as `10.1.0.0/16`. For `none` and `public`.
    #[cfg_attr(feature = "spec-schema", schemars(with = "Option<Vec<Network>>"))]
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(crate) allow: Vec<Network>,
    /// Networks that are denied, whatever else allows them.
    #[cfg_attr(feature = "spec-schema", schemars(with = "Option<Vec<Network>>"))]
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(crate) deny: Vec<Network>,
}

/// Where the rules for addresses begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "spec-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) enum AddressBase {
    /// Every address.
    #[default]
    All,
    /// Public addresses: no private, local or special ones.
    Public,
    /// No address but those that are allowed.
    None,
}

impl AddressRules {
    pub(crate) fn public() -> Self {
        Self {
            base: AddressBase::Public,
            ..Self::default()
        }
    }

    /// # Errors
    /// The list says something else than the base.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        match (self.base, self.allow.is_empty()) {
            // It would look like a restriction, and be none.
            (AddressBase::All, false) => Err(Fault::conflict(
                "allow",
                "goes with base none or public; base all allows every address already",
            )),
            (AddressBase::None, true) => Err(Fault::field(
                "allow",
                "is missing: with base none, no other address may be dialled",
            )),
            _ => Ok(()),
        }
    }

    pub(crate) fn policy(&self) -> AddressPolicy {
        let base = match self.base {
            AddressBase::All => AddressPolicy::allow_all(),
            AddressBase::Public => AddressPolicy::public_only(),
            AddressBase::None => AddressPolicy::only(self.allow.iter().map(|network| network.0)),
        };
        let allowed = self.allow.iter().fold(base, |policy, network| {
            match self.base {
                AddressBase::Public => policy.with_allowed(network.0),
                // Allowed by the base itself.
                AddressBase::All | AddressBase::None => policy,
            }
        });
        self.deny
            .iter()
            .fold(allowed, |policy, network| policy.with_denied(network.0))
    }
}

/// A network in CIDR notation.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(transparent)]
pub(crate) struct Network(#[serde(serialize_with = "in_words")] IpNet);

fn in_words<S: Serializer>(network: &IpNet, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(network)
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map(Self)
            .map_err(|_| D::Error::custom("must be a network, such as 10.1.0.0/16"))
    }
}

/// What a field that is `null` means, as if it were left out.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A text without NUL, which would end it early on the wire.
///
/// # Errors
/// The text at `path` is empty or has one.
pub(crate) fn check_text(path: &str, text: Option<&str>) -> Result<(), Fault> {
    match text {
        Some("") => Err(Fault::field(path, "is empty; leave the field out instead")),
        Some(text) if text.contains('\0') => Err(Fault::field(path, "contains a NUL character")),
        _ => Ok(()),
    }
}

/// The user of an SSH server.
///
/// # Errors
/// The text at `path` has a character that no user's name has, and logs and terminals act on.
pub(crate) fn check_user(path: &str, user: &str) -> Result<(), Fault> {
    check_text(path, Some(user))?;
    match user.contains(char::is_control) {
        true => Err(Fault::field(path, "contains a control character")),
        false => Ok(()),
    }
}

/// The name or address of a host alone.
///
/// # Errors
/// The text at `path` is something else.
pub(crate) fn check_host(path: &str, host: &str) -> Result<(), Fault> {
    check_text(path, Some(host))?;
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '[' | ']');
    if host.contains(odd) || (host.contains(':') && host.parse::<std::net::IpAddr>().is_err()) {
        return Err(Fault::field(
            path,
            "must be the name or address of a host alone: no port, user, brackets or scheme",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        let cases = [
            ("30s", Some(30_000)),
            ("1500ms", Some(1_500)),
            ("2m", Some(120_000)),
            ("0s", None),
            ("30", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("18446744073709551615m", None),
            ("60m", Some(3_600_000)),
            ("3601s", None),
        ];
        for (text, millis) in cases {
            let parsed = Timeout::parse(text).map(|timeout| timeout.0);
            assert_eq!(parsed, millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn knows_a_host() {
        for host in [
            "db",
            "db.example.com",
            "10.0.0.1",
            "::1",
            "2001:db8::1",
            "bücher.example",
        ] {
            assert!(check_host("host", host).is_ok(), "{host}");
        }
        for host in [
            "",
            "db:5432",
            "[::1]",
            "app@db",
            "https://db",
            "a b",
            "db\n",
            "a\0",
        ] {
            assert!(check_host("host", host).is_err(), "{host:?}");
        }
    }
}
