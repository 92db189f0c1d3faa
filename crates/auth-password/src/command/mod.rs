//! A password that a program prints.

mod output;
mod run;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use pgreach_core::{Credential, CredentialProvider, CredentialRequest, Error, Secret};
use tokio::runtime::{self, Handle};
use tokio::time::Instant;

use self::run::{Failure, Invocation};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

type Answer = Result<Arc<Credential>, Failure>;
type Run = BoxFuture<'static, Answer>;

/// The password that a program prints, such as a vault's or a cloud's command line tool.
///
/// The program is started without a shell, with the environment and the working directory of this
/// process and with no standard input. The first line of its standard output is the password; 64 KiB
/// are the limit. It must end with status 0 within the [timeout](Self::with_timeout).
///
/// Connections that are opened at the same time, on the same Tokio runtime, share one run of the
/// program: the later ones join the run that is under way. With a [cache](Self::with_cache) the
/// password is then kept for a while; without one, it is not kept. A server that refuses the password
/// ends both: the next call starts the program anew. Further refusals of that password leave the new
/// run alone, so that a rotation costs one run however many connections it meets.
///
/// # Cancel safety
///
/// Dropping the future of the last connection that waits for a run kills the program, and so does
/// its timeout. On Unix the program leads a process group of its own, and the whole group is
/// killed (SIGKILL); a process that left the group is not.
///
/// # What is shown
///
/// Errors name the program, its exit status and the last line of its standard error, so the program
/// must not print secrets there. A line that repeats its standard output is withheld. Arguments
/// are never shown; they are however visible to other users of the machine in the list of processes.
///
/// ```no_run
/// use std::time::Duration;
///
/// use pgreach_auth_password::CommandPassword;
///
/// let password = CommandPassword::new("/usr/bin/pass")
///     .with_args(["show", "databases/reporting"])
///     .with_timeout(Duration::from_secs(10))
///     .with_cache(Duration::from_secs(300))
///     .with_user("reporting");
/// ```
///
/// It needs a Tokio runtime with I/O and time enabled.
#[derive(Clone)]
pub struct CommandPassword {
    invocation: Invocation,
    user: Option<String>,
    keep: Option<Duration>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    kept: Option<(Instant, Arc<Credential>)>,
    /// The run that further calls join, for each runtime: a program's pipes and timer belong to the
    /// runtime that started it, and stand still when that one is not driven. Weak, so that a run ends
    /// with the last call that waits for it.
    running: HashMap<Option<runtime::Id>, WeakShared<Run>>,
    /// The password that was refused last. Every run in `running` was started after its first
    /// refusal, and may well bring another.
    rejected: Option<Secret>,
    /// Raised by each invalidation: a run that it has left behind may bring the refused password, and
    /// is neither joined nor kept.
    generation: u64,
}

impl CommandPassword {
    /// The password is what `program` prints. It is looked up in `PATH` unless it contains a slash;
    /// give the full path where others can influence `PATH`.
    #[must_use]
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            invocation: Invocation {
                program: program.into(),
                args: Vec::new(),
                timeout: DEFAULT_TIMEOUT,
                whole: false,
            },
            user: None,
            keep: None,
            state: Arc::default(),
        }
    }

    /// The arguments of the program, each handed over as it is.
    #[must_use]
    pub fn with_args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.invocation.args = args.into_iter().map(Into::into).collect();
        self.reset()
    }

    /// How long the program may take: 30 seconds unless set. The deadline of a connection comes on
    /// top: what ends first counts.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.invocation.timeout = timeout;
        self.reset()
    }

    /// All that the program prints is the secret, and not the first line alone: for keys and
    /// certificates. 1 MiB of UTF-8 text are the limit.
    #[must_use]
    pub fn with_whole_output(mut self) -> Self {
        self.invocation.whole = true;
        self.reset()
    }

    /// Keeps the password for this long, counted from the end of the run. Not kept unless set.
    #[must_use]
    pub fn with_cache(mut self, keep: Duration) -> Self {
        self.keep = Some(keep);
        self.reset()
    }

    /// The user that the password belongs to. A user given to the connector itself comes first.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self.reset()
    }

    /// A source with other settings shares nothing with the one that it was cloned from.
    fn reset(mut self) -> Self {
        self.state = Arc::default();
        self
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The password that is kept, or the run to wait for.
    fn join(&self) -> Result<Arc<Credential>, Shared<Run>> {
        let mut state = self.lock();
        if let Some((end, credential)) = &state.kept {
            if Instant::now() < *end {
                return Ok(Arc::clone(credential));
            }
            state.kept = None;
        }
        // None outside of any runtime, where the run itself will fail.
        let runtime = Handle::try_current().ok().map(|handle| handle.id());
        let running = state.running.get(&runtime);
        if let Some(run) = running.and_then(WeakShared::upgrade) {
            return Err(run);
        }
        // Runtimes come and go; what they left behind is not to pile up.
        state.running.retain(|_, run| run.upgrade().is_some());
        let run = self.start(runtime, state.generation).boxed().shared();
        state
            .running
            .extend(run.downgrade().map(|run| (runtime, run)));
        Err(run)
    }

    fn start(
        &self,
        runtime: Option<runtime::Id>,
        generation: u64,
    ) -> impl Future<Output = Answer> + Send + 'static {
        let Self {
            invocation,
            user,
            keep,
            state,
        } = self.clone();
        async move {
            let answer = run::run(&invocation)
                .await
                .map(|secret| crate::password(secret, user.as_deref()));
            let mut state = lock(&state);
            if state.generation == generation {
                state.running.remove(&runtime);
                if let (Some(keep), Ok(credential)) = (keep, &answer) {
                    state.kept = Instant::now()
                        .checked_add(keep)
                        .map(|end| (end, Arc::clone(credential)));
                }
            }
            answer
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Nothing under this lock can panic half-way.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Debug for CommandPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the arguments nor what is kept.
        f.debug_struct("CommandPassword")
            .field("program", &self.invocation.program)
            .field("timeout", &self.invocation.timeout)
            .field("cache", &self.keep)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl CredentialProvider for CommandPassword {
    async fn credential(&self, _: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        // Bound first: the lock inside must not be held while waiting.
        let joined = self.join();
        match joined {
            Ok(credential) => Ok(credential),
            Err(run) => run
                .await
                .map_err(|failure| failure.into_error(&self.invocation)),
        }
    }

    /// Always true: the next call runs the program. A refused password that is older than the one
    /// kept now leaves that one alone, and one that was refused before leaves the run alone that was
    /// started since.
    fn invalidate(&self, rejected: &Credential) -> bool {
        let mut state = self.lock();
        let newer = state
            .kept
            .as_ref()
            .is_some_and(|(_, kept)| !kept.same_as(rejected));
        if newer {
            return true;
        }
        state.kept = None;
        let known = match (&state.rejected, rejected.secret()) {
            (Some(known), Some(secret)) => known.same_as(secret),
            _ => false,
        };
        if !known {
            state.rejected = rejected.secret().cloned();
            state.running.clear();
            state.generation += 1;
        }
        true
    }
}
