//! The attempts that a call has: which server each goes to, when there is another, and when two are under way.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::time::{sleep, timeout};
use tonic::{Code, Request, Response, Status, Streaming};

use crate::balance::{Load, Picked, Subchannel, Tried};
use crate::call::{Deadline, Error, random_part};
use crate::client::Client;

/// How often a call may reach a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It changes nothing: as often as wanted, also to two servers at once.
    Read,
    /// It has the same effect once and several times: again, where it is not known whether it was done.
    Idempotent,
    /// It may be sent once.
    Never,
}

/// An answer, and who gave it.
pub(crate) type Answered<Res> = (Response<Res>, Picked);

// === impl Client ===

impl Client {
    pub(crate) fn start(&self) -> Deadline {
        Deadline::of(self.deadline())
    }

    /// Sends a request and waits for its one answer. On `UNAVAILABLE` it is sent again, to another
    /// server where there is one, while `repeat`, deadline and budget allow. `make` makes each attempt's message
    /// anew.
    pub(crate) async fn unary<Req, Res, Sent>(
        &self,
        repeat: Repeat,
        make: impl Fn() -> Req,
        send: impl Fn(&Subchannel, Request<Req>) -> Sent,
    ) -> Result<Res, Error>
    where
        Sent: Future<Output = Result<Response<Res>, Status>>,
    {
        let deadline = self.start();
        let (response, _picked) = self.attempts(deadline, repeat, make, send).await?;
        Ok(response.into_inner())
    }

    /// [`Client::unary`] within a deadline that has begun, for answers that are more than one.
    pub(crate) async fn attempts<Req, Res, Sent>(
        &self,
        deadline: Deadline,
        repeat: Repeat,
        make: impl Fn() -> Req,
        send: impl Fn(&Subchannel, Request<Req>) -> Sent,
    ) -> Result<Answered<Res>, Error>
    where
        Sent: Future<Output = Result<Response<Res>, Status>>,
    {
        self.budget().deposit();
        let (mut attempt, mut tried, mut told) = (1, Tried::default(), None);
        loop {
            let picked = self.balancer().pick(Load::Call, &mut tried, self.stay());
            let once = |picked| self.once(deadline, picked, &make, &send);
            let error = match self.hedged(repeat, picked, &mut tried, once).await {
                Ok(answered) => return Ok(answered),
                Err(error) => error,
            };
            let retries = self.retries();
            let again = repeat != Repeat::Never && attempt < retries.max_attempts;
            let again = again && error.code() == Code::Unavailable;
            // What one server asks for is no reason to wait for another.
            let another = self.balancer().has_another(tried);
            let asked = error.retry_delay().filter(|_| !another);
            let pause = retries.pause(attempt, random_part(), asked);
            if !again || pause >= deadline.remaining() || !self.budget().withdraw() {
                // What a server said holds, also where the next says nothing.
                return Err(told.filter(|_| error.is_silence()).unwrap_or(error));
            }
            // Of a write it has to be told that the last attempt may have done it.
            if repeat == Repeat::Read && !error.is_silence() {
                told = Some(error);
            }
            sleep(pause).await;
            attempt += 1;
        }
    }

    /// Sends what cannot be made anew, and waits for its one answer.
    pub(crate) async fn only_once<Res, Sent>(
        &self,
        deadline: Deadline,
        send: impl FnOnce(&Subchannel) -> Sent,
    ) -> Result<Res, Error>
    where
        Sent: Future<Output = Result<Response<Res>, Status>>,
    {
        let picked = self.balancer().pick(Load::Call, &mut Tried::default(), None);
        let answer = deadline.wait(picked.address(), send(&picked)).await;
        picked.note(answer.as_ref());
        answer.map(Response::into_inner)
    }

    /// Begins a stream that has no end of its own, and stays with its server.
    pub(crate) async fn open<Res, Sent>(
        &self,
        send: impl FnOnce(&Subchannel) -> Sent,
    ) -> Result<(Streaming<Res>, Picked), Error>
    where
        Sent: Future<Output = Result<Response<Streaming<Res>>, Status>>,
    {
        let picked = self.balancer().pick(Load::Stream, &mut Tried::default(), None);
        let opened = self.start().wait(picked.address(), send(&picked)).await;
        picked.note(opened.as_ref());
        Ok((opened?.into_inner(), picked))
    }

    /// One attempt, at one server.
    pub(crate) async fn once<Req, Res, Sent>(
        &self,
        deadline: Deadline,
        picked: Picked,
        make: impl Fn() -> Req,
        send: impl Fn(&Subchannel, Request<Req>) -> Sent,
    ) -> Result<Answered<Res>, Error>
    where
        Sent: Future<Output = Result<Response<Res>, Status>>,
    {
        let mut request = Request::new(make());
        request.set_timeout(deadline.remaining());
        self.authorize(&mut request)?;
        let answer = deadline.wait(picked.address(), send(&picked, request)).await;
        picked.note(answer.as_ref());
        let response = answer?;
        if let Some(stay) = self.stay() {
            stay.at(&picked);
        }
        Ok((response, picked))
    }

    /// One attempt; for a read whose answer is late a second one beside it, at another server. Who answers first
    /// is heard, and the other is told that nobody waits any more.
    async fn hedged<T, Sent>(
        &self,
        repeat: Repeat,
        picked: Picked,
        tried: &mut Tried,
        once: impl Fn(Picked) -> Sent,
    ) -> Result<T, Error>
    where
        Sent: Future<Output = Result<T, Error>>,
    {
        let Some(after) = self.hedge_after().filter(|_| repeat == Repeat::Read) else {
            return once(picked).await;
        };
        let mut first = pin!(once(picked));
        if let Ok(answered) = timeout(after, first.as_mut()).await {
            return answered;
        }
        if !self.balancer().has_another(*tried) || !self.budget().withdraw() {
            return first.await;
        }
        match self.balancer().pick_another(Load::Call, tried) {
            Some(another) => earlier(first, pin!(once(another))).await,
            None => first.await,
        }
    }
}

/// How much an error says: that there was no server, that one may have been at work, or what it said.
fn weight(error: &Error) -> u8 {
    match error {
        error if error.is_away() => 0,
        error if error.is_silence() => 1,
        _ => 2,
    }
}

/// What comes first: an answer, or an error that any server would give. Where both fail otherwise, the error of
/// the first, unless that of the second says more.
async fn earlier<T, Sent>(mut first: Pin<&mut Sent>, mut second: Pin<&mut Sent>) -> Result<T, Error>
where
    Sent: Future<Output = Result<T, Error>>,
{
    let counts = |result: &Result<T, Error>| match result {
        Ok(_) => true,
        Err(error) => error.is_final(),
    };
    let (mut of_first, mut of_second) = (None, None);
    poll_fn(|context| {
        for (sent, failed) in [(&mut first, &mut of_first), (&mut second, &mut of_second)] {
            if failed.is_some() {
                continue;
            }
            match sent.as_mut().poll(context) {
                Poll::Ready(result) if counts(&result) => return Poll::Ready(result),
                Poll::Ready(result) => *failed = Some(result),
                Poll::Pending => {}
            }
        }
        match (of_first.take(), of_second.take()) {
            (Some(Err(first)), Some(Err(second))) => {
                let second_says_more = weight(&second) > weight(&first);
                Poll::Ready(Err(if second_says_more { second } else { first }))
            }
            pending => {
                (of_first, of_second) = pending;
                Poll::Pending
            }
        }
    })
    .await
}
