//! The processes of a server: a listener, and sessions that outlive it unless they are ended too.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::place::Place;
use super::processes::{Process, children_of};
use crate::Error;
use crate::files::read_lossy;
use crate::ports::free_port;

/// The pause between two looks at something that is about to happen.
const TICK: Duration = Duration::from_millis(5);

/// How long a server may take for anything it is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long sessions may take to end before they are killed.
const MANNERS: Duration = Duration::from_secs(5);

/// How many ports are tried: another process may take one between the look and the start.
const PORTS: usize = 10;

/// What both servers log where their port is taken.
const TAKEN: &str = "Address already in use";

/// The file that the server logs to, in its folder.
const LOG: &str = "log";

type MakeCommand = dyn Fn(&Place, u16) -> Command + Send + Sync;

/// How a server is started on a port, and how one sees that it was.
pub(super) struct Recipe {
    pub(super) name: &'static str,
    pub(super) command: Box<MakeCommand>,
    /// What it logs once it listens.
    pub(super) listening: &'static str,
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A server with its sessions; all of it ends when the value is dropped.
#[derive(Debug)]
pub(super) struct Server {
    recipe: Recipe,
    port: u16,
    child: Mutex<Child>,
    // Dropped after the server has ended.
    pub(super) place: Place,
}

impl Server {
    pub(super) fn start(place: Place, recipe: Recipe) -> Result<Self, Error> {
        let log = place.path.join(LOG);
        let mut last = None;
        for _ in 0..PORTS {
            let port = free_port()?;
            let mut child = spawn(&place, &recipe, port)?;
            match wait_until_ready(&place, &recipe, &mut child, 0) {
                Ok(()) => {
                    return Ok(Self {
                        recipe,
                        port,
                        child: Mutex::new(child),
                        place,
                    });
                }
                Err(error) => {
                    // Whatever state it is in, it must not outlive this function.
                    let _ = child.kill();
                    let _ = child.wait();
                    if !read_lossy(&log).contains(TAKEN) {
                        return Err(error);
                    }
                    fs::remove_file(&log).map_err(Error::file("remove", &log))?;
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| Error::State("no free port was found".to_owned())))
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(super) fn pid(&self) -> u32 {
        self.child().id()
    }

    pub(super) fn log(&self) -> String {
        read_lossy(&self.place.path.join(LOG))
    }

    pub(super) fn wait_for_log(&self, text: &str) -> Result<(), Error> {
        self.wait_until(&format!("it did not log {text:?}"), || {
            self.log().contains(text)
        })
    }

    pub(super) fn session_count(&self) -> usize {
        let mut child = self.child();
        match exited(&mut child) {
            Ok(false) => children_of(child.id()),
            _ => 0,
        }
    }

    pub(super) fn wait_for_sessions(&self, count: usize) -> Result<(), Error> {
        self.wait_until(&format!("there were not {count} sessions"), || {
            self.session_count() == count
        })
    }

    /// Ends the listener and then its sessions, as a service manager does.
    pub(super) fn stop(&self) -> Result<(), Error> {
        let mut child = self.child();
        if exited(&mut child)? {
            return Ok(());
        }
        let listener = child.id();
        let mut processes = self.place.processes(listener);
        for process in &processes {
            if process.pid == listener {
                process.signal(Signal::SIGTERM);
            }
            // One that is stopped takes no other signal before this one.
            process.signal(Signal::SIGCONT);
        }
        let deadline = Instant::now() + PATIENCE;
        while !exited(&mut child)? {
            if Instant::now() > deadline {
                child.kill().map_err(Error::file("end", self.recipe.name))?;
            }
            thread::sleep(TICK);
        }
        if self.place.namespace {
            processes.extend(self.place.processes(listener));
        }
        for process in &processes {
            process.signal(Signal::SIGTERM);
        }
        let deadline = Instant::now() + MANNERS;
        while processes.iter().any(|process| process.is_alive()) && Instant::now() < deadline {
            thread::sleep(TICK);
        }
        kill_all(&processes)
    }

    /// Starts it again on the same port. Where another program has that meanwhile, as for an
    /// outgoing connection, it tries again for some seconds.
    pub(super) fn start_again(&self) -> Result<(), Error> {
        let mut child = self.child();
        if !exited(&mut child)? {
            return Err(Error::State(format!(
                "{} is still running",
                self.recipe.name
            )));
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let logged = self.log().len();
            *child = spawn(&self.place, &self.recipe, self.port)?;
            let ready = wait_until_ready(&self.place, &self.recipe, &mut child, logged);
            let log = self.log();
            let taken = || log.get(logged..).is_some_and(|news| news.contains(TAKEN));
            if ready.is_ok() || Instant::now() > deadline || !taken() {
                return ready;
            }
            let _ = child.kill();
            let _ = child.wait();
            // Not at once: each try adds some lines to the log.
            thread::sleep(TICK * 20);
        }
    }

    /// Kills the listener and all sessions.
    pub(super) fn kill(&self) -> Result<(), Error> {
        let mut child = self.child();
        if exited(&mut child)? {
            return Ok(());
        }
        let processes = self.freeze(&child);
        for process in &processes {
            process.signal(Signal::SIGKILL);
        }
        child
            .wait()
            .map_err(Error::file("wait for", self.recipe.name))?;
        kill_all(&processes)
    }

    /// Kills the sessions; the listener goes on.
    pub(super) fn kill_sessions(&self) -> Result<(), Error> {
        let mut child = self.running()?;
        let listener = child.id();
        let (listener, sessions) = self
            .freeze(&child)
            .into_iter()
            .partition::<BTreeSet<_>, _>(|process| process.pid == listener);
        let killed = kill_all(&sessions);
        for process in &listener {
            process.signal(Signal::SIGCONT);
        }
        exited(&mut child)?;
        killed
    }

    /// Freezes the listener and all sessions.
    pub(super) fn pause(&self) -> Result<(), Error> {
        let processes = self.freeze(&*self.running()?);
        self.wait_until("it did not stop", || {
            processes.iter().all(|process| process.is_stopped())
        })
    }

    /// Ends [`pause`](Self::pause).
    pub(super) fn unpause(&self) -> Result<(), Error> {
        let child = self.running()?;
        for process in self.place.processes(child.id()) {
            process.signal(Signal::SIGCONT);
        }
        Ok(())
    }

    /// Stops all processes, so that none makes another one while the list is worked off.
    fn freeze(&self, child: &Child) -> BTreeSet<Process> {
        let mut frozen = BTreeSet::new();
        loop {
            let mut more = self.place.processes(child.id());
            more.retain(|process| !frozen.contains(process));
            if more.is_empty() {
                return frozen;
            }
            for process in &more {
                process.signal(Signal::SIGSTOP);
            }
            frozen.extend(more);
        }
    }

    fn running(&self) -> Result<MutexGuard<'_, Child>, Error> {
        let mut child = self.child();
        match exited(&mut child)? {
            false => Ok(child),
            true => Err(Error::State(format!("{} is not running", self.recipe.name))),
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until(&self, otherwise: &str, done: impl Fn() -> bool) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            if Instant::now() > deadline {
                return Err(Error::Ssh {
                    server: self.recipe.name,
                    reason: format!("{otherwise} within {} s", PATIENCE.as_secs()),
                    log: self.log(),
                });
            }
            thread::sleep(TICK);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; the guard tries once more.
        let _ = self.kill();
    }
}

/// Starts the listener; what it and its sessions say goes to the end of the log.
fn spawn(place: &Place, recipe: &Recipe, port: u16) -> Result<Child, Error> {
    let log = place.path.join(LOG);
    let output = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log)
        .map_err(Error::file("open", &log))?;
    let errors = output.try_clone().map_err(Error::file("open", &log))?;
    let mut command = (recipe.command)(place, port);
    let child = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(Error::file("start", command.get_program()))?;
    place.note(child.id())?;
    Ok(child)
}

fn wait_until_ready(
    place: &Place,
    recipe: &Recipe,
    child: &mut Child,
    logged: usize,
) -> Result<(), Error> {
    let log = place.path.join(LOG);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ended = exited(child)?;
        let log = read_lossy(&log);
        let news = log.get(logged..).unwrap_or_default();
        let reason = match () {
            () if ended => "it ended",
            () if news.contains(recipe.listening) => return Ok(()),
            () if Instant::now() > deadline => "it did not listen in time",
            () => {
                thread::sleep(TICK);
                continue;
            }
        };
        return Err(Error::Ssh {
            server: recipe.name,
            reason: reason.to_owned(),
            log,
        });
    }
}

/// Kills processes and waits until they are gone.
fn kill_all(processes: &BTreeSet<Process>) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    for process in processes {
        process.signal(Signal::SIGKILL);
    }
    while processes.iter().any(|process| process.is_alive()) {
        if Instant::now() > deadline {
            return Err(Error::State("a session could not be killed".to_owned()));
        }
        thread::sleep(TICK);
    }
    Ok(())
}

fn exited(child: &mut Child) -> Result<bool, Error> {
    child
        .try_wait()
        .map(|status| status.is_some())
        .map_err(Error::file("wait for", "the server"))
}
