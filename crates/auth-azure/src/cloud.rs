//! Which Azure cloud a token comes from, and what it is for.

use std::sync::Arc;

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};

/// An Azure cloud: the Entra authority that gives tokens, and the scope of Azure Database for
/// PostgreSQL there.
///
/// The variable `AZURE_AUTHORITY_HOST` is not looked at: authority and scope belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cloud {
    name: &'static str,
    configuration: Arc<CloudConfiguration>,
    scope: String,
}

impl Cloud {
    fn new(name: &'static str, configuration: CloudConfiguration, scope: &str) -> Self {
        Self {
            name,
            configuration: Arc::new(configuration),
            scope: scope.to_owned(),
        }
    }

    /// The public cloud, which is the default.
    #[must_use]
    pub fn public() -> Self {
        Self::new(
            "public",
            CloudConfiguration::AzurePublic,
            "https://ossrdbms-aad.database.windows.net/.default",
        )
    }

    /// Azure Government (United States).
    #[must_use]
    pub fn us_government() -> Self {
        Self::new(
            "us-government",
            CloudConfiguration::AzureGovernment,
            "https://ossrdbms-aad.database.usgovcloudapi.net/.default",
        )
    }

    /// Azure in China, operated by 21Vianet.
    #[must_use]
    pub fn china() -> Self {
        Self::new(
            "china",
            CloudConfiguration::AzureChina,
            "https://ossrdbms-aad.database.chinacloudapi.cn/.default",
        )
    }

    /// Another cloud: the authority's address, such as `https://login.example.com`, and the scope of
    /// its PostgreSQL service, which ends in `/.default`.
    #[must_use]
    pub fn custom(authority_host: impl Into<String>, scope: impl AsRef<str>) -> Self {
        let mut configuration = CustomConfiguration::default();
        configuration.authority_host = authority_host.into();
        Self::new("custom", configuration.into(), scope.as_ref())
    }

    /// The scope that tokens are asked for.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.scope
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn configuration(&self) -> Arc<CloudConfiguration> {
        Arc::clone(&self.configuration)
    }

    /// What is wrong with it.
    pub(crate) fn trouble(&self) -> Option<String> {
        if let CloudConfiguration::Custom(custom) = &*self.configuration
            && !custom.authority_host.starts_with("https://")
        {
            return Some(format!(
                "the authority {:?} does not begin with https://",
                custom.authority_host
            ));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:/".contains(c);
        // It becomes part of a command line where a tool is asked.
        if self.scope.is_empty() || !self.scope.chars().all(plain) {
            return Some(format!("the scope {:?} is none", self.scope));
        }
        None
    }
}

impl Default for Cloud {
    fn default() -> Self {
        Self::public()
    }
}
