//! The settings of a [`NativeTls`].

use std::path::PathBuf;

use pgreach_core::{Error, Stage, TlsVersion};

use crate::crl::Crl;
use crate::{NativeTls, Roots, codes};

/// Collects the settings of a [`NativeTls`]; see [`NativeTls::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct NativeTlsBuilder {
    pub(crate) roots: Roots,
    pub(crate) min: TlsVersion,
    pub(crate) max: Option<TlsVersion>,
    pub(crate) sni: bool,
    pub(crate) crl_files: Vec<PathBuf>,
    pub(crate) crl_dirs: Vec<PathBuf>,
}

impl NativeTlsBuilder {
    pub(crate) fn new() -> Self {
        Self {
            roots: Roots::system(),
            min: TlsVersion::V1_2,
            max: None,
            sni: true,
            crl_files: Vec::new(),
            crl_dirs: Vec::new(),
        }
    }

    /// Which authorities are trusted (`sslrootcert`). Default: the system's roots.
    pub fn with_roots(mut self, roots: Roots) -> Self {
        self.roots = roots;
        self
    }

    /// The least TLS version (`ssl_min_protocol_version`). Default: TLS 1.2, as libpq. The system's
    /// TLS library may refuse older ones whatever is set here.
    pub fn with_min_version(mut self, version: TlsVersion) -> Self {
        self.min = version;
        self
    }

    /// The greatest TLS version (`ssl_max_protocol_version`). Default: what the system's TLS library
    /// has.
    pub fn with_max_version(mut self, version: TlsVersion) -> Self {
        self.max = Some(version);
        self
    }

    /// Whether the server's name is sent, unencrypted, at the beginning of the handshake (`sslsni`);
    /// proxies in front of several servers route by it. An IP address never is. Default: yes.
    pub fn with_sni(mut self, sni: bool) -> Self {
        self.sni = sni;
        self
    }

    /// Refuses certificates that the revocation lists of a PEM file revoke (`sslcrl`). Can be given
    /// more than once. Default: none.
    ///
    /// Every certificate of the chain is checked, so a current list of every authority in it is
    /// needed, and one that is missing, expired or not signed by its authority refuses the
    /// connection. The chain is built from the [`Roots`] alone, because native-tls does not show
    /// what the server sent: intermediate authorities must be among them. The check follows the
    /// handshake, so a client certificate has been shown by then, but nothing else is sent before
    /// it. The file is read when building, and again in the next handshake after it changed.
    ///
    /// Needs a [`Verification`](pgreach_core::Verification) of the chain; without one, handshakes
    /// are refused rather than made without the check. With Apple's and Windows' TLS libraries,
    /// [`build`](Self::build) refuses the setting.
    pub fn with_crl_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.crl_files.push(path.into());
        self
    }

    /// As [`with_crl_file`](Self::with_crl_file), for all PEM files of a directory (`sslcrldir`).
    /// Files without a revocation list are passed over; names do not matter, so the hashed names
    /// that OpenSSL asks for are not needed.
    pub fn with_crl_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.crl_dirs.push(path.into());
        self
    }

    /// Reads the files and checks the settings. It blocks for as long as the files take to read.
    ///
    /// # Errors
    /// [`codes::TLS_ROOTS`] and [`codes::TLS_CRL`] when a file cannot be read or parsed, or when
    /// this platform cannot check revocation; [`codes::TLS_VERSIONS`] when the least version is
    /// above the greatest.
    pub fn build(mut self) -> Result<NativeTls, Error> {
        if let Some(max) = self.max
            && self.min > max
        {
            return Err(Error::new(
                &codes::TLS_VERSIONS,
                Stage::CONFIG,
                format!(
                    "the least TLS version {} is above the greatest, {max}",
                    self.min
                ),
            ));
        }
        let roots = self.roots.load()?;
        self.roots.forget();
        let crl = if self.crl_files.is_empty() && self.crl_dirs.is_empty() {
            None
        } else {
            Some(Crl::load(
                self.crl_files.clone(),
                self.crl_dirs.clone(),
                &roots,
            )?)
        };
        Ok(NativeTls::assemble(self, roots, crl))
    }
}
