//! Connection strings: libpq's keywords, from a string, a service file and the environment.
//!
//! [`Conninfo`] holds keywords and their texts; [`Settings`] what they mean. Nothing here touches
//! the network. The grammar, the precedence and the deviations from libpq are in
//! `docs/connection-strings.md`.
//!
//! ```
//! use pgreach_core::conninfo::{Conninfo, Environment, Keyword};
//!
//! let mut conninfo = Conninfo::parse("postgresql://app:secret@db1:5433,db2/orders?sslmode=require")?;
//! assert_eq!(conninfo.get(Keyword::Host), Some("db1,db2"));
//! assert_eq!(conninfo.get(Keyword::Port), Some("5433,"));
//!
//! let environment = Environment::empty().with_var("PGAPPNAME", "billing");
//! conninfo.merge_service(&environment)?;
//! conninfo.merge_environment(&environment)?;
//! let settings = conninfo.settings_in(&environment)?;
//! assert_eq!(settings.hosts[1].to_string(), "db2:5432");
//! assert_eq!(settings.application_name.as_deref(), Some("billing"));
//! # Ok::<(), pgreach_core::Error>(())
//! ```

mod environment;
mod files;
mod hosts;
mod keyword;
mod keyword_value;
mod passfile;
mod service;
mod settings;
mod string;
mod uri;
mod value;

pub use environment::Environment;
pub use keyword::{Keyword, Support};
pub use passfile::Passfile;
pub use settings::{FileSetting, RootCert, Settings};
pub use string::Conninfo;
