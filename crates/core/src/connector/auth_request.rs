//! What a server asks for to know who we are, and whether that is allowed.

use crate::{AuthMethod, ChannelBinding, Error, RequireAuth, Stage, codes};

/// More SCRAM iterations would keep a core busy: a server that asks for 2³¹ of them attacks.
/// PostgreSQL's default is 4,096. The driver has the same bound; here it gets a hint.
const MAX_SCRAM_ITERATIONS: u32 = 100_000;

/// An authentication request of the server (PostgreSQL manual, "Message Formats").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthRequest {
    Ok,
    Cleartext,
    Md5,
    /// SCRAM; `plus`: with channel binding, offered by the server and, once judged, used.
    Sasl {
        plus: bool,
    },
    SaslContinue,
    SaslFinal,
}

impl AuthRequest {
    /// For the report.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Ok => "none (the server asked for no proof)",
            Self::Cleartext => "password (cleartext)",
            Self::Md5 => "md5",
            Self::Sasl { plus: true } => "scram-sha-256 with channel binding",
            Self::Sasl { plus: false } | Self::SaslContinue | Self::SaslFinal => "scram-sha-256",
        }
    }
}

/// What protects the connection below, as far as SCRAM is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protection {
    /// No TLS.
    None,
    /// TLS whose certificate gives no hash to bind to (Ed25519, RSA-PSS).
    Unbindable { verified: bool },
    /// TLS that SCRAM can be bound to.
    Bindable,
}

/// What the server may ask for on this connection.
#[derive(Debug)]
pub(super) struct Rules {
    require_auth: RequireAuth,
    channel_binding: ChannelBinding,
    encryption: Protection,
    has_password: bool,
    /// The request that the exchange began with.
    begun: Option<AuthRequest>,
}

impl Rules {
    pub(super) fn new(
        require_auth: RequireAuth,
        channel_binding: ChannelBinding,
        encryption: Protection,
        has_password: bool,
    ) -> Self {
        Self {
            require_auth,
            channel_binding,
            encryption,
            has_password,
            begun: None,
        }
    }

    /// Judges the body of an authentication message.
    pub(super) fn judge(&mut self, body: &[u8]) -> Result<AuthRequest, Error> {
        let request = self.parse(body)?;
        match (request, self.begun) {
            (AuthRequest::Ok, None) => {
                self.require(
                    AuthMethod::None,
                    "server did not ask for any authentication",
                )?;
                self.require_binding(false)?;
            }
            (AuthRequest::Cleartext, _) => {
                self.require(
                    AuthMethod::Password,
                    "server requested a cleartext password",
                )?;
                self.require_binding(false)?;
                self.need_password()?;
            }
            (AuthRequest::Md5, _) => {
                self.require(AuthMethod::Md5, "server requested a hashed password")?;
                self.require_binding(false)?;
                self.need_password()?;
            }
            (AuthRequest::Sasl { plus }, _) => {
                self.require(
                    AuthMethod::ScramSha256,
                    "server requested SCRAM authentication",
                )?;
                self.require_binding(plus)?;
                self.forbid_downgrade(plus)?;
                self.need_password()?;
            }
            _ => {}
        }
        let request = match request {
            AuthRequest::Sasl { plus } => AuthRequest::Sasl {
                plus: plus && self.may_bind(),
            },
            other => other,
        };
        self.begun.get_or_insert(request);
        Ok(request)
    }

    /// Whether the driver binds SCRAM to the TLS session when the server offers it.
    fn may_bind(&self) -> bool {
        self.encryption == Protection::Bindable && self.channel_binding != ChannelBinding::Disable
    }

    fn parse(&self, body: &[u8]) -> Result<AuthRequest, Error> {
        let Some((code, rest)) = body.split_first_chunk::<4>() else {
            return Err(failed("server sent a truncated authentication request"));
        };
        match u32::from_be_bytes(*code) {
            0 => Ok(AuthRequest::Ok),
            3 => Ok(AuthRequest::Cleartext),
            5 => Ok(AuthRequest::Md5),
            10 => self.parse_sasl(rest),
            11 => {
                check_iterations(rest)?;
                Ok(AuthRequest::SaslContinue)
            }
            12 => Ok(AuthRequest::SaslFinal),
            7 | 8 => {
                self.require(AuthMethod::Gss, "server requested GSSAPI authentication")?;
                Err(unsupported("GSSAPI"))
            }
            9 => {
                self.require(AuthMethod::Sspi, "server requested SSPI authentication")?;
                Err(unsupported("SSPI"))
            }
            other => Err(unsupported(&format!("method {other}"))),
        }
    }

    fn parse_sasl(&self, mechanisms: &[u8]) -> Result<AuthRequest, Error> {
        let offers = |name: &str| {
            mechanisms
                .split(|byte| *byte == 0)
                .any(|m| m == name.as_bytes())
        };
        let plus = offers("SCRAM-SHA-256-PLUS");
        if plus || offers("SCRAM-SHA-256") {
            return Ok(AuthRequest::Sasl { plus });
        }
        if offers("OAUTHBEARER") {
            self.require(AuthMethod::OAuth, "server requested OAuth authentication")?;
            return Err(unsupported("OAuth"));
        }
        Err(unsupported("an unknown SASL mechanism"))
    }

    fn require(&self, method: AuthMethod, did: &str) -> Result<(), Error> {
        if self.require_auth.allows(method) {
            return Ok(());
        }
        let message = format!(
            "authentication method requirement \"{}\" failed: {did}",
            self.require_auth
        );
        Err(Error::new(
            &codes::AUTH_METHOD,
            Stage::AUTHENTICATION,
            message,
        ))
    }

    fn require_binding(&self, offered: bool) -> Result<(), Error> {
        if self.channel_binding != ChannelBinding::Require {
            return Ok(());
        }
        let message = if self.encryption != Protection::Bindable {
            "channel binding required, but there is no TLS session that can be bound to"
        } else if !offered {
            "channel binding required, but the server did not ask for an authentication with channel binding"
        } else {
            return Ok(());
        };
        Err(Error::new(
            &codes::CHANNEL_BINDING,
            Stage::AUTHENTICATION,
            message,
        ))
    }

    /// Without a binding the driver tells the server that it could not bind anyway, so the server
    /// cannot find out that somebody in between took the offer, or TLS, away. libpq fails here, too.
    fn forbid_downgrade(&self, plus: bool) -> Result<(), Error> {
        let (message, hint) = match self.encryption {
            Protection::None if plus => (
                "server offered channel binding over a connection without TLS",
                "somebody between here and the server may have removed TLS: set sslmode=verify-full",
            ),
            Protection::Unbindable { verified: false }
                if self.channel_binding != ChannelBinding::Disable =>
            {
                (
                    "the server's certificate gives nothing to bind to, and it was not verified",
                    "set sslmode=verify-full, or channel_binding=disable",
                )
            }
            _ => return Ok(()),
        };
        Err(Error::new(&codes::CHANNEL_BINDING, Stage::AUTHENTICATION, message).with_hint(hint))
    }

    fn need_password(&self) -> Result<(), Error> {
        if self.has_password {
            return Ok(());
        }
        let message = "the server asked for a password and none was given";
        Err(Error::new(
            &codes::AUTH_NO_PASSWORD,
            Stage::AUTHENTICATION,
            message,
        ))
    }
}

/// `r=<nonce>,s=<salt>,i=<iterations>` (RFC 5802). What is malformed, the driver refuses.
fn check_iterations(server_first: &[u8]) -> Result<(), Error> {
    let iterations = server_first
        .split(|byte| *byte == b',')
        .filter_map(|attribute| attribute.strip_prefix(b"i="))
        .map(|digits| {
            std::str::from_utf8(digits)
                .ok()
                .and_then(|text| text.parse::<u32>().ok())
        });
    for count in iterations {
        if count.is_none_or(|count| count > MAX_SCRAM_ITERATIONS) {
            return Err(failed("server asked for an unreasonable number of SCRAM iterations")
                .with_hint(format!("set the server's scram_iterations to at most {MAX_SCRAM_ITERATIONS} and set the password anew")));
        }
    }
    Ok(())
}

fn failed(message: &str) -> Error {
    Error::new(&codes::AUTH_FAILED, Stage::AUTHENTICATION, message)
}

fn unsupported(method: &str) -> Error {
    let message = format!("server requested {method} authentication, which is not supported");
    Error::new(&codes::AUTH_UNSUPPORTED, Stage::AUTHENTICATION, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &[u8] = &[0, 0, 0, 0];
    const CLEARTEXT: &[u8] = &[0, 0, 0, 3];
    const MD5: &[u8] = &[0, 0, 0, 5, 1, 2, 3, 4];
    const SCRAM: &[u8] = b"\0\0\0\x0aSCRAM-SHA-256\0\0";
    const SCRAM_PLUS: &[u8] = b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";

    fn judge(require: &str, binding: ChannelBinding, tls: bool, body: &[u8]) -> String {
        let require = require.parse().unwrap();
        let protection = if tls {
            Protection::Bindable
        } else {
            Protection::None
        };
        match Rules::new(require, binding, protection, true).judge(body) {
            Ok(_) => "ok".into(),
            Err(error) => error.code().name().into(),
        }
    }

    #[test]
    fn requires_methods_and_binding() {
        use ChannelBinding::{Prefer, Require};
        let cases: &[(&str, ChannelBinding, bool, &[u8], &str)] = &[
            ("", Prefer, true, OK, "ok"),
            ("", Prefer, false, CLEARTEXT, "ok"),
            ("scram-sha-256", Prefer, true, OK, "auth-method"),
            ("scram-sha-256", Prefer, true, CLEARTEXT, "auth-method"),
            ("scram-sha-256", Prefer, true, MD5, "auth-method"),
            ("scram-sha-256", Prefer, true, SCRAM, "ok"),
            ("!password", Prefer, true, CLEARTEXT, "auth-method"),
            ("!password", Prefer, true, MD5, "ok"),
            ("none", Prefer, true, OK, "ok"),
            ("none", Prefer, true, SCRAM, "auth-method"),
            ("!none", Prefer, true, OK, "auth-method"),
            ("", Require, true, SCRAM_PLUS, "ok"),
            ("", Require, true, SCRAM, "channel-binding"),
            ("", Require, false, SCRAM_PLUS, "channel-binding"),
            ("", Require, true, OK, "channel-binding"),
            ("", Require, true, MD5, "channel-binding"),
            ("", Prefer, true, &[0, 0, 0, 7], "auth-unsupported"),
            ("", Prefer, true, &[0, 0, 0, 9], "auth-unsupported"),
            ("md5", Prefer, true, &[0, 0, 0, 7], "auth-method"),
            (
                "",
                Prefer,
                true,
                b"\0\0\0\x0aOAUTHBEARER\0\0",
                "auth-unsupported",
            ),
            (
                "md5",
                Prefer,
                true,
                b"\0\0\0\x0aOAUTHBEARER\0\0",
                "auth-method",
            ),
            ("", Prefer, true, &[0, 0], "auth-failed"),
            (
                "",
                Prefer,
                true,
                b"\0\0\0\x0br=n,s=c2FsdA==,i=2147483647",
                "auth-failed",
            ),
            (
                "",
                Prefer,
                true,
                b"\0\0\0\x0br=n,s=c2FsdA==,i=99999999999",
                "auth-failed",
            ),
            ("", Prefer, true, b"\0\0\0\x0br=n,s=c2FsdA==,i=4096", "ok"),
        ];
        for (require, binding, possible, body, want) in cases {
            assert_eq!(
                judge(require, *binding, *possible, body),
                *want,
                "{require} {body:?}"
            );
        }
    }

    #[test]
    fn a_stripped_offer_is_noticed() {
        use ChannelBinding::{Disable, Prefer};
        let unbindable = |verified| Protection::Unbindable { verified };
        for (protection, binding, offer, sound) in [
            (Protection::None, Prefer, SCRAM, true),
            (Protection::None, Prefer, SCRAM_PLUS, false),
            (Protection::None, Disable, SCRAM_PLUS, false),
            (unbindable(true), Prefer, SCRAM_PLUS, true),
            (unbindable(false), Prefer, SCRAM, false),
            (unbindable(false), Prefer, SCRAM_PLUS, false),
            (unbindable(false), Disable, SCRAM, true),
        ] {
            let mut rules = Rules::new(RequireAuth::any(), binding, protection, true);
            let judged = rules.judge(offer);
            assert_eq!(judged.is_ok(), sound, "{protection:?} {binding} {offer:?}");
        }
    }

    #[test]
    fn needs_a_password_where_one_is_asked_for() {
        for body in [CLEARTEXT, MD5, SCRAM] {
            let mut rules = Rules::new(
                RequireAuth::any(),
                ChannelBinding::Prefer,
                Protection::None,
                false,
            );
            assert_eq!(
                rules.judge(body).unwrap_err().code(),
                &codes::AUTH_NO_PASSWORD
            );
        }
    }

    #[test]
    fn accepts_the_end_of_an_exchange() {
        let none_forbidden = "scram-sha-256".parse().unwrap();
        let mut rules = Rules::new(
            none_forbidden,
            ChannelBinding::Prefer,
            Protection::None,
            true,
        );
        for body in [
            SCRAM,
            b"\0\0\0\x0br=n,s=cw==,i=4096".as_slice(),
            b"\0\0\0\x0cv=x",
            OK,
        ] {
            rules.judge(body).unwrap();
        }
    }
}
