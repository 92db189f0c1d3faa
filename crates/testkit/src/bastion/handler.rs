//! One session: who may log in, and which channels it gets.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use russh::keys::ssh_key::public::KeyData;
use russh::server::{
    Auth, ChannelOpenHandle, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelOpenFailure};
use tokio::task::JoinSet;

use super::forward::{self, Target};
use super::serve::Shared;
use super::{ChannelAnswer, Counted};

/// Who may log in, and how.
pub(super) struct Logins {
    pub(super) user: String,
    pub(super) keys: Vec<KeyData>,
    pub(super) passwords: HashMap<String, String>,
    pub(super) questions: HashMap<String, Vec<(String, String)>>,
}

pub(super) struct Handler {
    shared: Arc<Shared>,
    /// Until the client has logged in.
    handshake: Option<Counted>,
    /// From then on.
    session: Option<Counted>,
    /// What is forwarded ends with the session.
    forwards: JoinSet<()>,
    /// Requests that are never answered: dropping one refuses it.
    unanswered: Vec<ChannelOpenHandle>,
}

impl Handler {
    pub(super) fn new(shared: Arc<Shared>, handshake: Counted) -> Self {
        Self {
            shared,
            handshake: Some(handshake),
            session: None,
            forwards: JoinSet::new(),
            unanswered: Vec::new(),
        }
    }

    fn knows(&self, user: &str, key: &KeyData) -> Auth {
        let logins = &self.shared.logins;
        answer(user == logins.user && logins.keys.contains(key))
    }

    async fn open(&mut self, channel: Channel<Msg>, target: Target, reply: ChannelOpenHandle) {
        while self.forwards.try_join_next().is_some() {}
        match self.shared.answer() {
            ChannelAnswer::Serve => {}
            ChannelAnswer::Refuse => {
                return reply
                    .reject(ChannelOpenFailure::AdministrativelyProhibited)
                    .await;
            }
            ChannelAnswer::Busy => {
                return reply.reject(ChannelOpenFailure::ResourceShortage).await;
            }
            ChannelAnswer::Never => return self.unanswered.push(reply),
        }
        let counts = Arc::clone(&self.shared.counts);
        // In a task of its own: the session goes on while the target is dialled.
        self.forwards.spawn(async move {
            match target.connect().await {
                Ok(stream) => {
                    reply.accept().await;
                    let _open = Counted::new(&counts, |counts| &counts.channels);
                    counts.opened.fetch_add(1, Ordering::SeqCst);
                    forward::copy(channel, stream).await;
                }
                Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
            }
        });
    }
}

impl russh::server::Handler for Handler {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.knows(user, offer.public_key.key_data()))
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.knows(user, key.public_key.key_data()))
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        let known = self.shared.logins.passwords.get(user);
        Ok(answer(known.is_some_and(|known| known == password)))
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let Some(questions) = self.shared.logins.questions.get(user) else {
            return Ok(Auth::reject());
        };
        let Some(given) = response else {
            let prompts = questions
                .iter()
                .map(|(prompt, _)| (Cow::Owned(prompt.clone()), false));
            return Ok(Auth::Partial {
                name: Cow::Borrowed(""),
                instructions: Cow::Borrowed(""),
                prompts: prompts.collect(),
            });
        };
        let expected = questions.iter().map(|(_, answer)| answer.as_bytes());
        Ok(answer(given.eq(expected)))
    }

    async fn auth_succeeded(&mut self, _session: &mut Session) -> Result<(), Self::Error> {
        self.handshake = None;
        let (session, _) = Counted::new(&self.shared.counts, |counts| &counts.sessions);
        self.session = Some(session);
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host_to_connect: &str,
        port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let target = Target::Tcp(host_to_connect.to_owned(), port_to_connect);
        self.open(channel, target, reply).await;
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        socket_path: &str,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let target = Target::Socket(socket_path.into());
        self.open(channel, target, reply).await;
        Ok(())
    }
}

fn answer(passes: bool) -> Auth {
    if passes { Auth::Accept } else { Auth::reject() }
}
