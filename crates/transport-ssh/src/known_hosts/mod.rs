//! Which host keys are trusted.

mod base64;
mod certificate;
mod checker;
mod host;
mod key;
mod line;
#[cfg(test)]
#[cfg(unix)]
mod oracle;
mod pattern;
mod policy;
#[cfg(test)]
mod random;
mod record;
mod refusal;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use checker::{HostKeyChecker, Trusted};
pub use policy::HostKeyPolicy;
pub(crate) use source::open as open_file;
#[cfg(feature = "config-file")]
pub(crate) use source::system_files;
