//! Authenticating: which method, in which order, and what the server made of it.

use pgreach_core::{ActiveStage, Error};
use russh::client::{AuthResult, Handle};
use russh::{MethodKind, MethodSet};

use super::answers::{Asked, Fixed};
use super::{SshAuth, Way, agent};
use crate::handler::{Fate, NO_METHOD, Watcher};
use crate::hop::SshHop;
use crate::{SSH_AUTH, codes};

/// What the server said last.
pub(super) struct Progress<'a> {
    /// `None`: nothing yet.
    pub(super) allowed: Option<MethodSet>,
    /// A method was accepted, and the server demands another one.
    partial: bool,
    /// A credential of ours was looked at.
    judged: bool,
    /// The server said no.
    refusals: usize,
    pub(super) agent_failed: Option<Error>,
    /// The program answers questions itself: a password then answers none.
    has_prompter: bool,
    /// What was offered, for the error.
    pub(super) offered: Vec<String>,
    pub(super) sha1_only: bool,
    pub(super) user: &'a str,
    fate: &'a Fate,
}

/// What came of one way to authenticate.
pub(super) enum Outcome {
    Success,
    /// Accepted, and more is demanded.
    Partial,
    Refused,
    /// The server does not allow the method now.
    NotAllowed,
    /// Nothing could be offered.
    Unavailable,
}

/// Authenticates as the hop's user. It is not tried again: sshd locks out clients that do.
pub(crate) async fn authenticate(
    hop: &SshHop,
    handle: &mut Handle<Watcher>,
    fate: &Fate,
    stage: &ActiveStage,
) -> Result<(), Error> {
    let mut progress = Progress {
        allowed: None,
        partial: false,
        judged: false,
        refusals: 0,
        agent_failed: None,
        has_prompter: hop
            .auth
            .iter()
            .any(|auth| matches!(auth.0, Way::Interactive(_))),
        offered: Vec::new(),
        sha1_only: false,
        user: hop.user(),
        fate,
    };
    let mut left: Vec<&SshAuth> = hop.auth.iter().collect();
    // Each round uses a way up, or changes what the server allows; a way that was not allowed may be
    // so after the next success.
    loop {
        let mut next = None;
        for (index, auth) in left.iter().enumerate() {
            let knew = progress.allowed.is_some();
            match progress.attempt(auth, handle).await? {
                Outcome::Success => {
                    stage.note("method", progress.offered.join(", "));
                    return Ok(());
                }
                Outcome::NotAllowed => {}
                // The server did not even look at it, and may ask for it after another one.
                Outcome::Refused if !knew && !progress.allows_any(auth) => {}
                outcome => {
                    next = Some((index, outcome));
                    break;
                }
            }
        }
        let Some((index, outcome)) = next else {
            return Err(progress.refused());
        };
        left.remove(index);
        progress.judged |= !matches!(outcome, Outcome::Unavailable);
        if matches!(outcome, Outcome::Partial) {
            progress.partial = true;
        }
    }
}

impl Progress<'_> {
    async fn attempt(
        &mut self,
        auth: &SshAuth,
        handle: &mut Handle<Watcher>,
    ) -> Result<Outcome, Error> {
        match &auth.0 {
            Way::Key(key) if self.allows(MethodKind::PublicKey) => self.key(key, handle).await,
            Way::Agent(socket) if self.allows(MethodKind::PublicKey) => {
                match agent::open(socket, handle.agent_session_binding()).await {
                    Ok((mut agent, identities)) => self.agent(&mut agent, identities, handle).await,
                    // What comes after it may do; if nothing does, this is why.
                    Err(error) => {
                        self.offered.push("publickey (the agent failed)".into());
                        self.agent_failed.get_or_insert(error);
                        Ok(Outcome::Unavailable)
                    }
                }
            }
            Way::Password(password) if self.allows(MethodKind::Password) => {
                self.offered.push("password".into());
                let result = handle
                    .authenticate_password(self.user, password.expose())
                    .await;
                let outcome = self.note(result, handle)?;
                // A server that asks for it in the other way says so only now.
                let elsewhere = self.allowed.as_ref().is_some_and(|allowed| {
                    !self.has_prompter
                        && !allowed.contains(&MethodKind::Password)
                        && allowed.contains(&MethodKind::KeyboardInteractive)
                });
                if matches!(outcome, Outcome::Refused) && elsewhere {
                    return self.interactive(&Fixed::new(password), handle).await;
                }
                Ok(outcome)
            }
            Way::Password(password)
                if !self.has_prompter && self.allows(MethodKind::KeyboardInteractive) =>
            {
                self.interactive(&Fixed::new(password), handle).await
            }
            Way::Interactive(prompter) if self.allows(MethodKind::KeyboardInteractive) => {
                self.interactive(&Asked(prompter.as_ref()), handle).await
            }
            _ => Ok(Outcome::NotAllowed),
        }
    }

    pub(super) fn allows(&self, method: MethodKind) -> bool {
        match &self.allowed {
            None => true,
            Some(allowed) => allowed.contains(&method),
        }
    }

    /// Whether the server allows a method of this way to authenticate.
    fn allows_any(&self, auth: &SshAuth) -> bool {
        let methods: &[MethodKind] = match &auth.0 {
            Way::Key(_) | Way::Agent(_) => &[MethodKind::PublicKey],
            Way::Password(_) => &[MethodKind::Password, MethodKind::KeyboardInteractive],
            Way::Interactive(_) => &[MethodKind::KeyboardInteractive],
        };
        methods.iter().any(|method| self.allows(*method))
    }

    /// Remembers what the server allows from here on.
    pub(super) fn note(
        &mut self,
        result: Result<AuthResult, russh::Error>,
        handle: &Handle<Watcher>,
    ) -> Result<Outcome, Error> {
        match result {
            Ok(AuthResult::Success) => Ok(Outcome::Success),
            Ok(AuthResult::Failure {
                remaining_methods,
                partial_success,
            }) => {
                // russh reports the end of a session as a failure without any method.
                if remaining_methods.is_empty() && handle.is_closed() {
                    return Err(self.lost());
                }
                self.allowed = Some(remaining_methods);
                Ok(if partial_success {
                    Outcome::Partial
                } else {
                    self.refusals += 1;
                    Outcome::Refused
                })
            }
            Err(_) => Err(self.lost()),
        }
    }

    /// The session ended during authentication.
    pub(super) fn lost(&self) -> Error {
        let reason = self
            .fate
            .reason()
            .unwrap_or("the server closed the connection");
        let new = |code, message| Error::new(code, SSH_AUTH, message);
        if reason == NO_METHOD {
            return new(&codes::SSH_AUTH_NO_METHOD, reason.to_owned());
        }
        // MaxAuthTries. Whatever ended it after a refusal: the same credentials are not offered again.
        if self.refusals > 0 || reason.contains("Too many authentication failures") {
            let (user, offered) = (self.user, self.offered.join(", "));
            let message = format!(
                "the SSH server refused user \"{user}\" with {offered}, and hung up: {reason}"
            );
            return new(&codes::SSH_AUTH_REFUSED, message);
        }
        let message = format!("authentication broke off: {reason}");
        new(&codes::SSH_AUTH_LOST, message)
    }

    fn refused(self) -> Error {
        if let Some(error) = self.agent_failed.filter(|_| !self.judged) {
            return error;
        }
        let allowed = self.allowed.as_deref().unwrap_or_default();
        let allowed = allowed
            .iter()
            .map(Into::<&str>::into)
            .collect::<Vec<_>>()
            .join(", ");
        let offered = self.offered.join(", ");
        let (code, message) = if self.partial {
            let message = format!(
                "the SSH server demands a further credential (it allows {allowed}); given: {offered}"
            );
            (&codes::SSH_AUTH_INCOMPLETE, message)
        } else if !self.judged {
            let message = format!("the SSH server allows only {allowed}");
            (&codes::SSH_AUTH_NO_METHOD, message)
        } else if self.sha1_only {
            let message = "the SSH server accepts RSA keys only with SHA-1 signatures".to_owned();
            (&codes::SSH_AUTH_SHA1_ONLY, message)
        } else {
            let message = format!(
                "the SSH server refused user \"{}\" with {offered} (it allows {allowed})",
                self.user
            );
            (&codes::SSH_AUTH_REFUSED, message)
        };
        Error::new(code, SSH_AUTH, message)
    }
}
