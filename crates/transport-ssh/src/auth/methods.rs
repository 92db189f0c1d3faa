//! The methods of authentication, each as the protocol has it.

use std::sync::Arc;

use pgreach_core::Error;
use pgreach_core::text::escape_control;
use russh::MethodKind;
use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse as Answer};
use russh::keys::agent::AgentIdentity;
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg};

use super::answers::Answers;
use super::attempt::{Outcome, Progress};
use super::sign::{Local, Unsigned, unsigned};
use super::{Challenge, ChallengePrompt, agent};
use crate::failure::brief;
use crate::handler::Watcher;
use crate::{SSH_AUTH, SshKey, codes};

/// OpenSSH's server ends a session after six failures.
const MAX_AGENT_KEYS: usize = 5;
/// Rounds of questions that a server may ask.
const MAX_ROUNDS: usize = 16;

impl Progress<'_> {
    pub(super) async fn key(
        &mut self,
        key: &SshKey,
        handle: &mut Handle<Watcher>,
    ) -> Result<Outcome, Error> {
        let Some(hash) = self.hash(&key.private().algorithm(), handle).await? else {
            return Ok(Outcome::Refused);
        };
        if let Some(certificate) = key.certificate() {
            self.offered
                .push(format!("publickey (certificate {})", key.fingerprint()));
            let mut signer = Local(Arc::clone(key.private()));
            let result = handle
                .authenticate_certificate_with(self.user, certificate.clone(), hash, &mut signer)
                .await;
            let result = match result {
                Ok(result) => Ok(result),
                Err(Unsigned::Lost) => Err(russh::Error::SendError),
                Err(Unsigned::Key(error)) => return Err(unsigned(&error)),
            };
            match self.note(result, handle)? {
                // As ssh does, the bare key comes after its certificate.
                Outcome::Refused if self.allows(MethodKind::PublicKey) => {}
                outcome => return Ok(outcome),
            }
        }
        self.offered
            .push(format!("publickey ({})", key.fingerprint()));
        let with_hash = PrivateKeyWithHashAlg::new(Arc::clone(key.private()), hash);
        let result = handle.authenticate_publickey(self.user, with_hash).await;
        self.note(result, handle)
    }

    pub(super) async fn agent(
        &mut self,
        agent: &mut agent::Agent,
        identities: Vec<AgentIdentity>,
        handle: &mut Handle<Watcher>,
    ) -> Result<Outcome, Error> {
        let had_any = !identities.is_empty();
        let (mut offered, mut judged) = (0, false);
        for identity in identities {
            if offered == MAX_AGENT_KEYS || !self.allows(MethodKind::PublicKey) {
                break;
            }
            let key = identity.public_key().into_owned();
            let Some(hash) = self.hash(&key.algorithm(), handle).await? else {
                continue;
            };
            let fingerprint = key.fingerprint(HashAlg::Sha256);
            self.offered
                .push(format!("publickey (agent {fingerprint})"));
            offered += 1;
            let result = match identity {
                AgentIdentity::PublicKey { key, .. } => {
                    handle
                        .authenticate_publickey_with(self.user, key, hash, agent)
                        .await
                }
                AgentIdentity::Certificate { certificate, .. } => {
                    handle
                        .authenticate_certificate_with(self.user, certificate, hash, agent)
                        .await
                }
            };
            let result = match result {
                Ok(result) => result,
                // One key that the agent would not use does not rule out the next one.
                Err(_) if !handle.is_closed() => continue,
                Err(_) => return Err(self.lost()),
            };
            judged = true;
            match self.note(Ok(result), handle)? {
                Outcome::Refused => {}
                outcome => return Ok(outcome),
            }
        }
        if judged || self.sha1_only {
            return Ok(Outcome::Refused);
        }
        let message = match had_any {
            false => "the SSH agent holds no key",
            true => "the SSH agent did not sign with any of its keys",
        };
        self.offered.push("publickey (the agent failed)".into());
        let error = Error::new(&codes::SSH_AGENT, SSH_AUTH, message);
        self.agent_failed.get_or_insert(error);
        Ok(Outcome::Unavailable)
    }

    /// The hash for signatures with a key: the server's best for RSA, and none for other keys. `None`
    /// when an RSA key would have to sign with SHA-1.
    async fn hash(
        &mut self,
        algorithm: &Algorithm,
        handle: &Handle<Watcher>,
    ) -> Result<Option<Option<HashAlg>>, Error> {
        if !matches!(algorithm, Algorithm::Rsa { .. }) {
            return Ok(Some(None));
        }
        match handle.best_supported_rsa_hash().await {
            Ok(Some(Some(hash))) => Ok(Some(Some(hash))),
            Ok(Some(None)) => {
                self.sha1_only = true;
                self.offered.push("publickey (RSA)".into());
                Ok(None)
            }
            // The server does not say (RFC 8308); one that is not ancient takes SHA-2.
            Ok(None) => Ok(Some(Some(HashAlg::Sha512))),
            Err(_) => Err(self.lost()),
        }
    }

    pub(super) async fn interactive(
        &mut self,
        answers: &dyn Answers,
        handle: &mut Handle<Watcher>,
    ) -> Result<Outcome, Error> {
        self.offered.push("keyboard-interactive".into());
        let mut answer = handle
            .authenticate_keyboard_interactive_start(self.user, None::<String>)
            .await;
        for _ in 0..MAX_ROUNDS {
            let prompts = match answer {
                Ok(Answer::Success) => return Ok(Outcome::Success),
                Ok(Answer::Failure {
                    remaining_methods,
                    partial_success,
                }) => {
                    let result = AuthResult::Failure {
                        remaining_methods,
                        partial_success,
                    };
                    return self.note(Ok(result), handle);
                }
                Ok(Answer::InfoRequest {
                    name,
                    instructions,
                    prompts,
                }) => Challenge {
                    name: brief(&escape_control(&name)),
                    instructions: brief(&escape_control(&instructions)),
                    prompts: prompts
                        .into_iter()
                        .map(|prompt| ChallengePrompt {
                            text: brief(&escape_control(&prompt.prompt)),
                            echo: prompt.echo,
                        })
                        .collect(),
                },
                Err(_) => return Err(self.lost()),
            };
            let answers = answers.to(&prompts).await?;
            if answers.len() != prompts.prompts.len() {
                let message = format!(
                    "{} answers were given to {} questions of the SSH server",
                    answers.len(),
                    prompts.prompts.len()
                );
                return Err(Error::new(&codes::SSH_AUTH_INCOMPLETE, SSH_AUTH, message));
            }
            let answers = answers.iter().map(|a| a.expose().to_owned()).collect();
            answer = handle
                .authenticate_keyboard_interactive_respond(answers)
                .await;
        }
        let message = "the SSH server does not stop asking questions";
        Err(Error::new(&codes::SSH_AUTH_REFUSED, SSH_AUTH, message))
    }
}
