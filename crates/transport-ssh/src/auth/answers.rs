//! Who answers a server's questions.

use std::sync::{Mutex, PoisonError};

use pgreach_core::{Error, Secret};

use super::{Challenge, Prompter};
use crate::failure::brief;
use crate::{SSH_AUTH, codes};

/// Who answers keyboard-interactive questions.
#[async_trait::async_trait]
pub(super) trait Answers: Send + Sync {
    async fn to(&self, challenge: &Challenge) -> Result<Vec<Secret>, Error>;
}

pub(super) struct Asked<'a>(pub(super) &'a dyn Prompter);

#[async_trait::async_trait]
impl Answers for Asked<'_> {
    async fn to(&self, challenge: &Challenge) -> Result<Vec<Secret>, Error> {
        self.0.answer(challenge).await
    }
}

/// A password, for the one question that asks for it.
pub(super) struct Fixed<'a> {
    password: &'a Secret,
    /// What it answered already.
    given_to: Mutex<Option<String>>,
}

impl<'a> Fixed<'a> {
    pub(super) fn new(password: &'a Secret) -> Self {
        Self {
            password,
            given_to: Mutex::default(),
        }
    }
}

#[async_trait::async_trait]
impl Answers for Fixed<'_> {
    async fn to(&self, challenge: &Challenge) -> Result<Vec<Secret>, Error> {
        let mut given_to = self.given_to.lock().unwrap_or_else(PoisonError::into_inner);
        match (challenge.prompts.as_slice(), given_to.as_deref()) {
            ([], _) => Ok(Vec::new()),
            ([prompt], None) if !prompt.echo => {
                *given_to = Some(prompt.text.clone());
                Ok(vec![self.password.clone()])
            }
            // The same again: it was wrong, and is not offered again.
            ([prompt], Some(before)) if prompt.text == before => {
                let message = "the SSH server refused the password, and asks for it again";
                Err(Error::new(&codes::SSH_AUTH_REFUSED, SSH_AUTH, message))
            }
            // A password is no answer to "Verification code:", and must not be shown.
            (prompts, _) => {
                let questions: Vec<_> = prompts.iter().map(|prompt| prompt.text.trim()).collect();
                let message = format!(
                    "the SSH server asks more than for a password: {}",
                    brief(&questions.join(" / "))
                );
                Err(Error::new(&codes::SSH_AUTH_INCOMPLETE, SSH_AUTH, message)
                    .with_hint("answer the questions through SshAuth::keyboard_interactive"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChallengePrompt;

    fn challenge(prompts: &[(&str, bool)]) -> Challenge {
        let prompts = prompts.iter().map(|(text, echo)| ChallengePrompt {
            text: (*text).to_owned(),
            echo: *echo,
        });
        Challenge {
            name: String::new(),
            instructions: String::new(),
            prompts: prompts.collect(),
        }
    }

    #[tokio::test]
    async fn a_password_is_one_answer_to_one_question() {
        const HIDDEN: (&str, bool) = ("Password: ", false);
        // What comes after the password was given, and what before.
        let later: [(&[(&str, bool)], &str); 3] = [
            (&[HIDDEN], "ssh-auth-refused"),
            (&[("Code: ", false)], "ssh-auth-incomplete"),
            (
                &[("New password: ", false), ("Again: ", false)],
                "ssh-auth-incomplete",
            ),
        ];
        let first: [(&[(&str, bool)], &str); 2] = [
            (&[("Your name: ", true)], "ssh-auth-incomplete"),
            (&[HIDDEN, ("Code: ", false)], "ssh-auth-incomplete"),
        ];
        let password = Secret::new("right");
        for (prompts, code) in later {
            let fixed = Fixed::new(&password);
            assert!(fixed.to(&challenge(&[])).await.unwrap().is_empty());
            let given = fixed.to(&challenge(&[HIDDEN])).await.unwrap();
            assert!(given.len() == 1 && given[0].same_as(&password));
            assert!(fixed.to(&challenge(&[])).await.unwrap().is_empty());
            let error = fixed.to(&challenge(prompts)).await.unwrap_err();
            assert_eq!(error.code().name(), code, "{prompts:?}");
        }
        for (prompts, code) in first {
            let error = Fixed::new(&password)
                .to(&challenge(prompts))
                .await
                .unwrap_err();
            assert_eq!(error.code().name(), code, "{prompts:?}");
        }
    }
}
