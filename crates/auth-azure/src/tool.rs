//! Running `az` and `azd`.

use std::ffi::OsStr;
use std::fmt::{self, Debug};
use std::io;
use std::process::{Output, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use azure_identity::Executor;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

/// A token with all its trimmings has a few kilobytes.
const MAX_OUTPUT: u64 = 256 * 1024;

/// How the Azure CLI or the Azure Developer CLI is asked.
#[derive(Clone, Default)]
pub struct ToolOptions {
    pub(crate) tenant: Option<String>,
    pub(crate) subscription: Option<String>,
    pub(crate) executor: Option<Arc<dyn Executor>>,
}

impl ToolOptions {
    /// The tool's own default account.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The tenant to get the token from. Default: the tool's own.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// The subscription whose account is used, by its id or name. Only for the Azure CLI.
    #[must_use]
    pub fn with_subscription(mut self, subscription: impl Into<String>) -> Self {
        self.subscription = Some(subscription.into());
        self
    }

    /// What runs the tool. Default: as a child process with no input, which is killed with all that
    /// it started when the fetch timeout passes.
    #[must_use]
    pub fn with_executor(mut self, executor: Arc<dyn Executor>) -> Self {
        self.executor = Some(executor);
        self
    }

    pub(crate) fn executor(&self) -> Arc<dyn Executor> {
        match &self.executor {
            Some(executor) => Arc::clone(executor),
            None => Arc::new(Runner),
        }
    }
}

impl Debug for ToolOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolOptions")
            .field("tenant", &self.tenant)
            .field("subscription", &self.subscription)
            .finish_non_exhaustive()
    }
}

/// azure_identity's own executor leaves the process behind when its future is dropped.
#[derive(Debug)]
struct Runner;

#[async_trait]
impl Executor for Runner {
    async fn run(&self, program: &OsStr, args: &[&OsStr]) -> io::Result<Output> {
        let mut group = Group::start(program, args)?;
        let (stdout, stderr) = (group.child.stdout.take(), group.child.stderr.take());
        let (stdout, stderr) = tokio::try_join!(read(stdout), read(stderr))?;
        let status = group.child.wait().await?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(MAX_OUTPUT + 1).read_to_end(&mut bytes).await?;
    }
    if bytes.len() as u64 > MAX_OUTPUT {
        return Err(io::Error::other("it printed too much"));
    }
    Ok(bytes)
}

/// The shell, the tool and what that starts: on Unix, a process group.
struct Group {
    child: Child,
}

impl Group {
    fn start(program: &OsStr, args: &[&OsStr]) -> io::Result<Self> {
        let mut command = std::process::Command::new(program);
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = Command::from(command).kill_on_drop(true).spawn()?;
        Ok(Self { child })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The id is None once the exit status is known: the number may be another's from then on.
        #[cfg(unix)]
        if let Some(leader) = self.child.id()
            && let Ok(group) = i32::try_from(leader)
        {
            // It fails when the group is gone already, which is what is wanted.
            let _ = nix::sys::signal::killpg(
                nix::unistd::Pid::from_raw(group),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
    }
}
