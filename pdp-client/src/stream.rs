//! A stream of checks: many questions over one call, answered in their order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pdp_proto::v1;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};

use crate::balance::{Picked, Subchannel};
use crate::call::Error;
use crate::client::Client;
use crate::decision::{Decision, Revision, refusal_from_wire};
use crate::question::{Permission, Question};

/// How many questions may be unanswered before asking waits. Far beyond what a round trip needs; without
/// a bound, answers that nobody takes would fill the connection that other calls share.
const MAX_UNANSWERED: usize = 4_096;

/// The asking end of a stream of checks. Dropping it says that no more questions come; those asked are
/// still answered.
#[derive(Debug)]
pub struct CheckQuestions {
    client: Client,
    send: mpsc::Sender<v1::CheckStreamRequest>,
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
}

/// The answering end of a stream of checks. Dropping it gives the stream up.
#[derive(Debug)]
pub struct CheckAnswers {
    client: Client,
    answers: Streaming<v1::CheckStreamResponse>,
    shared: Arc<Shared>,
    /// For questions; closed once there are no more answers.
    room: Arc<Semaphore>,
}

/// What both ends have.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    server: Picked,
}

/// What both ends know.
#[derive(Debug, Default)]
struct State {
    /// What was asked and is not answered, in its order.
    unanswered: VecDeque<Unanswered>,
    /// How many were asked.
    asked: u64,
    /// Why no more answers come.
    broken: Option<Break>,
}

#[derive(Debug)]
struct Unanswered {
    number: u64,
    permission: Permission,
    at_least: Revision,
    /// When its answer is late.
    late: Instant,
}

/// Why a stream has no more answers.
#[derive(Debug, Clone)]
enum Break {
    Ended,
    Told(Status),
    Late(Duration),
    Protocol(String),
}

// === impl Client ===

impl Client {
    /// Opens a stream of checks, for callers with many questions: it takes several times as many a second
    /// as [`Client::check`] does. Questions go in at one end and decisions come out at the other, in the
    /// order of the questions; the two may be used by different tasks, and should be where there are many
    /// questions, since asking waits while 4,096 answers have not been taken.
    ///
    /// The tenant, and the revision that [`Client::at_least`] names, are those of this client. Nothing is
    /// retried. When the stream breaks, every question without an answer is an [`Error`].
    ///
    /// ```no_run
    /// # async fn doc(client: pdp_client::Client, questions: Vec<pdp_client::Question>) -> Result<(), pdp_client::Error> {
    /// let (mut ask, mut answers) = client.check_stream().await?;
    /// tokio::spawn(async move {
    ///     for question in &questions {
    ///         if ask.ask(question).await.is_err() {
    ///             break; // the answers say why
    ///         }
    ///     }
    /// });
    /// while let Some(answer) = answers.next().await {
    ///     match answer {
    ///         Ok(decision) if decision.is_allow() => { /* go ahead */ }
    ///         Ok(_) | Err(_) => { /* do not */ }
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error`] if the server does not open one within the deadline.
    pub async fn check_stream(&self) -> Result<(CheckQuestions, CheckAnswers), Error> {
        let (send, questions) = mpsc::channel(MAX_UNANSWERED);
        // Without a timeout of its own: it stays open.
        let mut request = Request::new(ReceiverStream::new(questions));
        self.authorize(&mut request)?;
        let opening = |server: &Subchannel| {
            let mut service = server.decisions();
            async move { service.check_stream(request).await }
        };
        let (answers, server) = self.open(opening).await?;
        let shared = Arc::new(Shared { state: Mutex::default(), server });
        let room = Arc::new(Semaphore::new(MAX_UNANSWERED));
        let (client, other, place) = (self.clone(), Arc::clone(&shared), Arc::clone(&room));
        let asking = CheckQuestions { client, send, shared: other, room: place };
        Ok((asking, CheckAnswers { client: self.clone(), answers, shared, room }))
    }
}

// === impl CheckQuestions ===

impl CheckQuestions {
    /// Asks one question; waits while too many are unanswered, or the server takes none. That it was asked says nothing: its answer is
    /// the next one that [`CheckAnswers::next`] gives after those to the questions before it.
    ///
    /// # Errors
    /// [`Error`] if the stream is over. This question was not asked then, and has no answer.
    pub async fn ask(&mut self, question: &Question) -> Result<(), Error> {
        let (room, send) = (self.room.acquire().await, self.send.reserve().await);
        let (Ok(room), Ok(send)) = (room, send) else { return Err(self.over()) };
        let (at_least, tenant) = (self.client.oldest(), self.client.tenant().to_owned());
        let mut shared = self.shared.held();
        if shared.broken.is_some() {
            drop(shared);
            return Err(self.over());
        }
        // Given back with the answer.
        room.forget();
        let number = shared.asked;
        shared.asked += 1;
        shared.unanswered.push_back(Unanswered {
            number,
            permission: question.permission.clone(),
            at_least,
            late: Instant::now() + self.client.deadline(),
        });
        let (question, at_least) = (Some(question.to_wire()), at_least.get());
        send.send(v1::CheckStreamRequest { number, tenant, question, at_least });
        Ok(())
    }

    fn over(&self) -> Error {
        let broken = self.shared.held().broken.clone();
        broken.map_or_else(
            || Error::lost(self.shared.server.address(), "the stream of checks is over"),
            |broken| broken.error(&self.shared.server),
        )
    }
}

// === impl CheckAnswers ===

impl CheckAnswers {
    /// The next decision, in the order of the questions. `None` once the asking end is gone and everything
    /// that was asked is answered.
    ///
    /// An error is the answer to its question: it was not well formed, say, or the stream broke before it
    /// was answered, or no answer came within the deadline of the client, which ends the stream. It is
    /// neither `ALLOW` nor `DENY`.
    pub async fn next(&mut self) -> Option<Result<Decision, Error>> {
        loop {
            let due = {
                let shared = self.shared.held();
                if let Some(broken) = shared.broken.clone() {
                    return self.unanswered(shared, &broken);
                }
                shared.unanswered.front().map(|it| it.late)
            };
            // Where nothing is asked, what will be asked meanwhile is looked at again in time.
            let until = due.unwrap_or_else(|| Instant::now() + self.client.deadline());
            let broken = match timeout_at(until, self.answers.message()).await {
                Ok(Ok(Some(answer))) => match self.read(answer) {
                    Ok(answer) => return Some(answer),
                    Err(broken) => broken,
                },
                Ok(Ok(None)) => Break::Ended,
                Ok(Err(status)) => Break::Told(status),
                Err(_elapsed) if due.is_some() => Break::Late(self.client.deadline()),
                Err(_elapsed) => continue,
            };
            let server = &self.shared.server;
            server.note::<()>(Err(&broken.error(server)));
            self.shared.held().broken = Some(broken);
            self.room.close();
        }
    }

    /// The answer to the question that is next, or why it cannot be.
    fn read(&self, answer: v1::CheckStreamResponse) -> Result<Result<Decision, Error>, Break> {
        use v1::check_stream_response::Result as Wire;
        let v1::CheckStreamResponse { number, result } = answer;
        let mut shared = self.shared.held();
        let next = shared.unanswered.front().map(|it| it.number);
        if next != Some(number) {
            let expected = next.map_or_else(|| "nothing".to_owned(), |next| next.to_string());
            let message =
                format!("it answers question {number} where {expected} is to be answered");
            return Err(Break::Protocol(message));
        }
        let Some(Unanswered { permission, at_least, .. }) = shared.unanswered.pop_front() else {
            return Err(Break::Ended);
        };
        drop(shared);
        self.room.add_permits(1);
        Ok(match result {
            Some(Wire::Decision(decision)) => Decision::from_wire(Some(decision), at_least)
                .and_then(|decision| decision.about(&permission)),
            Some(Wire::Error(error)) => Err(Error::Refused(Box::new(refusal_from_wire(error)))),
            None => Err(Error::protocol("it is empty")),
        })
    }

    /// What a question gets that is not answered any more.
    fn unanswered(
        &self,
        mut shared: MutexGuard<'_, State>,
        broken: &Break,
    ) -> Option<Result<Decision, Error>> {
        shared.unanswered.pop_front().map(|_| Err(broken.error(&self.shared.server)))
    }
}

impl Drop for CheckAnswers {
    fn drop(&mut self) {
        self.room.close();
    }
}

// === impl Break ===

impl Break {
    fn error(&self, server: &Subchannel) -> Error {
        let endpoint = server.address();
        match self {
            Self::Ended => Error::lost(endpoint, "the stream of checks ended without an answer"),
            Self::Told(status) => Error::from_status(endpoint, status),
            Self::Late(deadline) => {
                Error::DeadlineExceeded { endpoint: endpoint.to_owned(), deadline: *deadline }
            }
            Self::Protocol(message) => Error::protocol(message.clone()),
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Nothing that is done with the lock panics.
    fn held(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
