//! Client certificates for pgreach, in every form that authorities hand them out in.
//!
//! Both sources implement [`CredentialProvider`](pgreach_core::CredentialProvider). A certificate is
//! added to whatever password or token another source gives, for servers that demand both.
//!
//! | source | the certificate is | after it was renewed |
//! |---|---|---|
//! | [`FixedCertificate`] | given once, as bytes | stays the same |
//! | [`FileCertificate`] | in files | used by the next connection |
//!
//! ```
//! use std::sync::Arc;
//!
//! use pgreach_auth_cert::FileCertificate;
//! use pgreach_core::{CredentialProvider, NoCredential};
//!
//! let source: Arc<dyn CredentialProvider> = Arc::new(
//!     FileCertificate::pkcs12("/etc/app/client.p12")
//!         .with_passphrase("correct horse")
//!         .with_password_from(NoCredential::new()) // or any source of passwords
//!         .with_user_from_subject(),
//! );
//! ```
//!
//! # Forms
//!
//! - **Certificates:** PEM, with any text around it, or DER. The client's own comes first, the
//!   issuer of each certificate after it; a root at the end is allowed, and what follows it is left
//!   to the server. In PKCS#12 the order means nothing.
//! - **Keys:** RSA, EC on P-256, P-384 and P-521, Ed25519, Ed448; in PEM (also as pasted, with `\n`
//!   for line ends) or DER; in PKCS#8, plain or encrypted with PBES2, in PKCS#1 and SEC1, plain or
//!   encrypted as old OpenSSL did (`DEK-Info`); and in PKCS#12. What RC2, RC4 or single DES encrypts
//!   is refused by name.
//! - **Elsewhere than with OpenSSL** (Windows, Apple) a key must be unencrypted PKCS#8; everything
//!   else is refused with the command that converts it. Whether it belongs to the certificate is
//!   then found out by the TLS library.
//!
//! A passphrase that is not needed is ignored, and an empty one is none, as in libpq.
//!
//! # What is checked before a byte is sent
//!
//! That the key belongs to the certificate, that the chain is in order, that the certificate is valid
//! today. What an encrypted key costs is bounded before it is decrypted: 2,000,000 iterations, or
//! scrypt over 128 MiB in 4 passes, and all parts of a PKCS#12 file together three times the one and
//! once the other. An input may have 1 MiB, 256 certificates and, in PKCS#12, 16 keys; a name in a
//! certificate 4 KiB; an RSA key 8,192 bits, because its signature is made inside the handshake.
//!
//! # Secrets
//!
//! Keys and passphrases are wiped from memory when they are dropped, and so are the buffers on their
//! way. They are never in `Debug`, errors, logs or anything serialised: errors name the file and the
//! certificate's subject. What the TLS library makes of a key is beyond this crate.
//!
//! # Errors
//!
//! All are of kind [`Credential`](pgreach_core::ErrorKind::Credential), at the stage
//! [`Stage::CREDENTIAL`](pgreach_core::Stage::CREDENTIAL), with one of the [`codes`].

pub mod codes;

mod chain;
mod file;
mod fixed;
mod input;
#[cfg(not(any(target_os = "windows", target_vendor = "apple")))]
mod library;
mod parsed;
mod pem;
#[cfg(any(target_os = "windows", target_vendor = "apple", test))]
mod portable;
mod presentation;
mod problem;
mod shape;
mod subject;

#[cfg(not(any(target_os = "windows", target_vendor = "apple")))]
use library as backend;
#[cfg(any(target_os = "windows", target_vendor = "apple"))]
use portable as backend;

pub use file::FileCertificate;
pub use fixed::FixedCertificate;
