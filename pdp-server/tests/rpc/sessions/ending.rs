//! Renewing and every way to end: what becomes of the session and what work is due.

use pdp_proto::v1::{self, Effect, OnEnd, Reason, SessionEnd, SessionState};

use super::{
    HOUR, SECOND, after, ask, close, exclude, exclusion, folder, get, kinds, opened, renew,
    request, set_clock,
};
use crate::served::{Served, delete};

fn how(session: &v1::Session) -> (SessionState, SessionEnd, Reason) {
    (session.state(), session.end(), session.revoked_by())
}

#[tokio::test]
async fn a_session_is_renewed_up_to_its_longest_time() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let session = opened(&served, "ana", "web", "admin").await;
    set_clock(&served, HOUR / 2);
    let renewed = renew(&served, &session.id).await.unwrap();
    let decision = renewed.decision.unwrap();
    assert_eq!((decision.effect(), decision.revision), (Effect::Allow, 1));
    assert_eq!(renewed.session, Some(session.clone()), "an hour from the first opening is the end");
    // The computer allows more from now on.
    let psm = v1::Psm {
        computer: "web".into(),
        max_session: Some(prost_types::Duration { seconds: 7_200, nanos: 0 }),
        ..psm_of_web(&served).await
    };
    served.apply(vec![crate::served::put(v1::fact::Fact::Psm(psm))]).await.unwrap();
    set_clock(&served, HOUR - 1);
    let renewed = renew(&served, &session.id).await.unwrap().session.unwrap();
    assert_eq!(renewed.not_after, Some(after(2 * HOUR)));
    assert_eq!(get(&served, &session.id).await.unwrap(), renewed);
    set_clock(&served, 2 * HOUR - 1);
    assert!(renew(&served, &session.id).await.unwrap().decision.is_some());
    set_clock(&served, 2 * HOUR);
    let over = renew(&served, &session.id).await.unwrap();
    assert_eq!(over.decision, None);
    let over = over.session.unwrap();
    assert_eq!(how(&over), (SessionState::Ended, SessionEnd::Expired, Reason::Unspecified));
    assert_eq!((over.ended, kinds(&over).len()), (Some(after(2 * HOUR)), 2));
    served.stop().await;
}

async fn psm_of_web(served: &Served) -> v1::Psm {
    let key = Some(v1::FactKey { key: Some(v1::fact_key::Key::Psm("web".into())) });
    let request = v1::PolicyServiceGetRequest { key, ..Default::default() };
    let fact = served.policy().get(request).await.unwrap().into_inner().fact.unwrap().fact;
    let Some(v1::fact::Fact::Psm(psm)) = fact else { panic!("{fact:?}") };
    psm
}

#[tokio::test]
async fn a_session_that_does_not_stand_is_ended_with_the_reason() {
    let folder = folder();
    let served = Served::start(&folder).await;
    // The sweep may come first now and then: what it finds is the same, and Renew tells how it ended.
    let (mut decided, mut round) = (None, 0);
    while decided.is_none() {
        round += 1;
        let asked = request(&format!("k-{round}"), "ana", "web", Some("admin"));
        let session = ask(&served, asked).await.unwrap().session.unwrap();
        let revision = exclude(&served, "ana", "web", "admin").await;
        let renewed = renew(&served, &session.id).await.unwrap();
        let session = renewed.session.unwrap();
        assert_eq!(how(&session), (SessionState::Ended, SessionEnd::Revoked, Reason::Excluded));
        assert_eq!(session.ended, Some(after(0)));
        assert_eq!(kinds(&session), [OnEnd::RemoveFromGroup, OnEnd::DeleteAccount]);
        decided = renewed.decision.map(|decision| (decision, revision));
        let again = renew(&served, &session.id).await.unwrap();
        assert_eq!((again.decision, again.session), (None, Some(session)));
        let key = v1::fact_key::Key::Eligibility(exclusion("ana", "web", "admin"));
        served.apply(vec![delete(key, false)]).await.unwrap();
    }
    let (decision, revision) = decided.unwrap();
    assert_eq!((decision.effect(), decision.reason()), (Effect::Deny, Reason::Excluded));
    assert_eq!(decision.revision, revision);
    served.stop().await;
}

#[tokio::test]
async fn the_upkeep_ends_what_does_not_stand_or_has_run_out() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let (revoked, expired) =
        (opened(&served, "ana", "web", "admin").await, opened(&served, "bo", "web", "admin").await);
    exclude(&served, "ana", "web", "admin").await;
    let works = async |id: &str| {
        loop {
            let session = get(&served, id).await.unwrap();
            if !session.revocations.is_empty() {
                return session;
            }
            tokio::task::yield_now().await;
        }
    };
    let session = works(&revoked.id).await;
    assert_eq!(how(&session), (SessionState::Ended, SessionEnd::Revoked, Reason::Excluded));
    set_clock(&served, HOUR);
    let session = works(&expired.id).await;
    assert_eq!(how(&session), (SessionState::Ended, SessionEnd::Expired, Reason::Unspecified));
    assert_eq!((session.ended, session.revocations[0].due), (Some(after(HOUR)), Some(after(HOUR))));
    served.stop().await;
}

#[tokio::test]
async fn closing_twice_is_closing_once() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let session = opened(&served, "bo", "own", "admin").await;
    set_clock(&served, SECOND);
    let closed = close(&served, &session.id).await.unwrap();
    assert_eq!(how(&closed), (SessionState::Ended, SessionEnd::Closed, Reason::Unspecified));
    assert_eq!((closed.ended, closed.not_after), (Some(after(SECOND)), session.not_after));
    let [work] = closed.revocations.as_slice() else { panic!("{closed:?}") };
    let expected = v1::Revocation {
        id: work.id.clone(),
        kind: OnEnd::RemoveFromGroup.into(),
        session: session.id.clone(),
        computer: "own".into(),
        account: "own/bo".into(),
        group: Some("admins".into()),
        due: Some(after(SECOND)),
        state: v1::RevocationState::Outstanding.into(),
        ..Default::default()
    };
    assert_eq!(*work, expected);
    set_clock(&served, 2 * SECOND);
    assert_eq!(close(&served, &session.id).await.unwrap(), closed);

    // Time ran out before anybody closed it.
    let late = opened(&served, "bo", "own", "operator").await;
    set_clock(&served, 3 * HOUR);
    let late = close(&served, &late.id).await.unwrap();
    assert_eq!((late.end(), late.ended), (SessionEnd::Expired, Some(after(HOUR + 2 * SECOND))));

    // The policy keeps the account in the group: nothing is to be done.
    let listed = opened(&served, "bo", "own", "listed").await;
    assert_eq!(kinds(&close(&served, &listed.id).await.unwrap()), []);
    // Without a level neither.
    let plain = ask(&served, request("k", "bo", "web", None)).await.unwrap().session.unwrap();
    assert_eq!(kinds(&close(&served, &plain.id).await.unwrap()), []);
    served.stop().await;
}

#[tokio::test]
async fn an_account_leaves_its_group_after_the_last_session_of_both() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let open = async |key: &str, level| {
        let answer = ask(&served, request(key, "bo", "own", Some(level))).await.unwrap();
        answer.session.unwrap().id
    };
    let (first, second) = (open("k-1", "admin").await, open("k-2", "admin").await);
    let other = open("k-3", "operator").await;
    assert_eq!(kinds(&close(&served, &first).await.unwrap()), []);
    assert_eq!(kinds(&close(&served, &other).await.unwrap()), [OnEnd::RemoveFromGroup]);
    assert_eq!(kinds(&close(&served, &second).await.unwrap()), [OnEnd::RemoveFromGroup]);
    // Opened again before it was done: not to be done any more, until the end of the new one.
    let third = open("k-4", "admin").await;
    let superseded = get(&served, &second).await.unwrap();
    assert_eq!(superseded.revocations[0].state(), v1::RevocationState::Superseded);
    assert_eq!(superseded.revocations[0].settled, Some(after(0)));
    assert_eq!(kinds(&close(&served, &third).await.unwrap()), [OnEnd::RemoveFromGroup]);
    served.stop().await;
}

async fn force(served: &Served, request: v1::ForceEndRequest) -> u64 {
    served.sessions().force_end(request).await.unwrap().into_inner().ended
}

#[tokio::test]
async fn an_administrator_ends_sessions_by_person_computer_and_level() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let all = v1::ForceEndRequest::default;
    let some = |text: &str| Some(text.to_owned());
    let selections = [
        (
            v1::ForceEndRequest { person: some("bo"), ..all() },
            vec!["bo own admin", "bo own operator", "bo web admin"],
        ),
        (
            v1::ForceEndRequest { computer: some("web"), ..all() },
            vec!["ana web admin", "bo web admin", "plain"],
        ),
        (v1::ForceEndRequest { level: some("operator"), ..all() }, vec!["bo own operator"]),
        (
            v1::ForceEndRequest { person: some("bo"), level: some("admin"), ..all() },
            vec!["bo own admin", "bo web admin"],
        ),
        (
            v1::ForceEndRequest { person: some("bo"), computer: some("own"), ..all() },
            vec!["bo own admin", "bo own operator"],
        ),
        (
            v1::ForceEndRequest {
                person: some("bo"),
                computer: some("own"),
                level: some("operator"),
                note: "a drill".into(),
                ..all()
            },
            vec!["bo own operator"],
        ),
        (v1::ForceEndRequest { person: some("cy"), ..all() }, vec![]),
        (v1::ForceEndRequest { person: some("ana"), computer: some("own"), ..all() }, vec![]),
    ];
    for (round, (selection, expected)) in selections.into_iter().enumerate() {
        let open = async |person, computer, level: Option<&str>| {
            let key = match level {
                Some(level) => format!("{round} {person} {computer} {level}"),
                None => format!("{round} plain"),
            };
            ask(&served, request(&key, person, computer, level)).await.unwrap().session.unwrap().id
        };
        let ids = [
            open("ana", "web", Some("admin")).await,
            open("bo", "own", Some("admin")).await,
            open("bo", "own", Some("operator")).await,
            open("bo", "web", Some("admin")).await,
            open("ana", "web", None).await,
        ];
        let count = u64::try_from(expected.len()).unwrap();
        assert_eq!(force(&served, selection.clone()).await, count, "{selection:?}");
        assert_eq!(force(&served, selection.clone()).await, 0, "they have ended");
        let mut ended = Vec::new();
        for id in &ids {
            let session = close(&served, id).await.unwrap();
            if session.end() == SessionEnd::Forced {
                let key = session.request_key.split_once(' ').unwrap().1.to_owned();
                ended.push(key);
            }
        }
        ended.sort();
        assert_eq!(ended, expected, "{selection:?}");
    }
    served.stop().await;
}
