//! Opening: what is decided, what a session is like, and asking again.

use pdp_proto::v1::{self, AccountMode, Effect, OnEnd, Reason, SessionEnd, SessionState};
use tonic::Code;

use super::{
    HOUR, SECOND, after, ask, close, exclude, folder, opened, opening, reason, renew, request,
    set_clock,
};
use crate::errors::{metadata, told};
use crate::served::{Served, delete, put_person};

#[tokio::test]
async fn a_session_is_opened_where_the_check_allows_it_and_nowhere_else() {
    let folder = folder();
    let served = Served::start(&folder).await;
    opened(&served, "bo", "one", "admin").await;
    for (who, computer, level, expected) in [
        ("zoe", "web", Some("admin"), Reason::UnknownSubject),
        ("dee", "web", Some("admin"), Reason::SubjectDisabled),
        ("dee", "web", None, Reason::SubjectDisabled),
        ("ana", "nowhere", Some("admin"), Reason::UnknownResource),
        ("ana", "plain", Some("admin"), Reason::PsmDisabled),
        ("ana", "off", Some("admin"), Reason::PsmDisabled),
        ("ana", "web", Some("unused"), Reason::LevelNotOffered),
        ("ana", "web", Some("nonsense"), Reason::LevelNotOffered),
        ("ana", "web", Some("unmapped"), Reason::LevelNotMapped),
        ("cy", "web", Some("admin"), Reason::Excluded),
        ("eve", "web", Some("admin"), Reason::NotEligible),
        ("ana", "own", Some("admin"), Reason::NoAccount),
        ("ana", "one", Some("admin"), Reason::SessionLimit),
        ("ana", "one", None, Reason::SessionLimit),
        ("ana", "web", Some("operator"), Reason::NeedsApproval),
        ("ana", "keep", None, Reason::UnprivilegedNotAllowed),
        ("ana", "web", Some("admin"), Reason::Granted),
        ("ana", "web", None, Reason::Granted),
        ("eve", "web", None, Reason::Granted),
        ("bo", "own", Some("operator"), Reason::Granted),
    ] {
        let checked = served.check(opening(who, computer, level)).await;
        let effect = match expected {
            Reason::Granted => Effect::Allow,
            Reason::NeedsApproval => Effect::RequiresApproval,
            _ => Effect::Deny,
        };
        assert_eq!((checked.effect(), checked.reason()), (effect, expected), "{who} {computer}");
        let key = format!("{who} {computer} {level:?}");
        let answer = ask(&served, request(&key, who, computer, level)).await.unwrap();
        assert_eq!(answer.decision, Some(checked), "{key}");
        assert_eq!(answer.session.is_some(), effect == Effect::Allow, "{key}");
        assert!(!answer.replayed);
    }
    // A denial is not remembered: the same key may ask for something else.
    let again = ask(&served, request("eve web Some(\"admin\")", "bo", "web", None)).await.unwrap();
    assert!(again.session.is_some());
    served.stop().await;
}

#[tokio::test]
async fn a_session_tells_what_was_decided() {
    let folder = folder();
    let served = Served::start(&folder).await;
    set_clock(&served, 7);
    let answer = ask(&served, request("k-1", "ana", "web", Some("admin"))).await.unwrap();
    let session = answer.session.unwrap();
    let account = "web/ana_000000000001";
    let expected = v1::Session {
        id: session.id.clone(),
        person: "ana".into(),
        computer: "web".into(),
        level: Some("admin".into()),
        account: Some(account.into()),
        jit: true,
        group: Some("admins".into()),
        opened: Some(after(7)),
        not_after: Some(after(HOUR + 7)),
        state: SessionState::Open.into(),
        request_key: "k-1".into(),
        delete_account: true,
        account_mode: AccountMode::JitNew.into(),
        ..Default::default()
    };
    assert_eq!(session, expected);
    assert_eq!(session.id.len(), 32, "nobody guesses it");
    let obligations = answer.decision.unwrap().obligations.unwrap();
    assert_eq!(obligations.not_after, session.not_after);
    let privileged = obligations.privileged.unwrap();
    assert_eq!(privileged.account_mode(), AccountMode::JitNew);
    assert_eq!(privileged.on_end, [OnEnd::RemoveFromGroup, OnEnd::DeleteAccount].map(i32::from));

    let own = opened(&served, "bo", "own", "admin").await;
    assert_eq!(own.account.as_deref(), Some("own/bo"), "the least of one's own");
    assert!(!own.jit && !own.delete_account);

    let plain = ask(&served, request("k-2", "bo", "web", None)).await.unwrap().session.unwrap();
    assert_eq!((&plain.level, &plain.account, &plain.group), (&None, &None, &None));
    assert!(!plain.jit && !plain.delete_account);

    // A kept account is used again; numbers are not.
    let first = opened(&served, "ana", "keep", "admin").await;
    assert_eq!(first.account.as_deref(), Some("keep/ana_000000000002"));
    assert!(first.jit && !first.delete_account);
    close(&served, &first.id).await.unwrap();
    let answer = ask(&served, request("k-3", "ana", "keep", Some("admin"))).await.unwrap();
    let privileged = answer.decision.unwrap().obligations.unwrap().privileged.unwrap();
    assert_eq!(privileged.account_mode(), AccountMode::JitReuse);
    assert_eq!(privileged.account, first.account);
    assert_eq!(answer.session.unwrap().account, first.account);
    let third = opened(&served, "bo", "keep", "admin").await;
    assert_eq!(third.account.as_deref(), Some("keep/bo_000000000003"));
    served.stop().await;
}

#[tokio::test]
async fn a_request_that_is_sent_again_opens_nothing_more() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let asked = || request("k", "bo", "one", Some("admin"));
    let first = ask(&served, asked()).await.unwrap();
    let session = first.session.unwrap();
    set_clock(&served, SECOND);
    let again = ask(&served, asked()).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.session.as_ref(), Some(&session));
    assert_eq!(again.decision, first.decision, "with the same obligations");
    for other in [
        request("k", "ana", "one", Some("admin")),
        request("k", "bo", "web", Some("admin")),
        request("k", "bo", "one", Some("operator")),
        request("k", "bo", "one", None),
    ] {
        let refused = ask(&served, other).await.unwrap_err();
        let expected = (Code::AlreadyExists, "REQUEST_KEY_REUSED".to_owned(), Vec::new());
        assert_eq!(told(&refused), expected);
        assert_eq!(metadata(&refused, "request_key"), "k");
    }
    // Renewed, and ended: the same session as it is now.
    let renewed = renew(&served, &session.id).await.unwrap().session;
    assert_eq!(ask(&served, asked()).await.unwrap().session, renewed);
    let closed = close(&served, &session.id).await.unwrap();
    let again = ask(&served, asked()).await.unwrap();
    assert!(again.replayed);
    assert_eq!((again.session, again.decision), (Some(closed.clone()), None), "nothing to go by");
    assert_eq!((closed.state(), closed.end()), (SessionState::Ended, SessionEnd::Closed));
    // Also after a restart, and where the person has gone.
    served.stop().await;
    let served = Served::start(&folder).await;
    served.apply(vec![delete(v1::fact_key::Key::Account("own/bo".into()), true)]).await.unwrap();
    let again = ask(&served, asked()).await.unwrap();
    assert_eq!((again.session, again.decision), (Some(closed), None));
    // One whose time is over is told to have ended, swept or not.
    let other = opened(&served, "ana", "one", "admin").await;
    set_clock(&served, HOUR);
    let request = request("ana one admin", "ana", "one", Some("admin"));
    let again = ask(&served, request).await.unwrap();
    assert_eq!(again.decision, None);
    let again = again.session.unwrap();
    assert_eq!((again.end(), again.id), (SessionEnd::Expired, other.id));
    served.stop().await;
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_no_allow_for_whom_it_was_taken_from() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let asked = || request("k", "ana", "web", Some("admin"));
    let session = ask(&served, asked()).await.unwrap().session.unwrap();
    let revision = exclude(&served, "ana", "web", "admin").await;
    let again = ask(&served, asked()).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.session.unwrap().id, session.id);
    // Absent where the sweep has been.
    if let Some(decision) = again.decision {
        assert_eq!((decision.effect(), decision.reason()), (Effect::Deny, Reason::Excluded));
        assert_eq!((decision.revision, decision.obligations), (revision, None));
    }
    served.stop().await;
}

#[tokio::test]
async fn the_revision_that_is_asked_for_is_waited_for() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let asked = v1::SessionServiceOpenRequest { at_least: 2, ..request("k", "zoe", "web", None) };
    let (opened, applied) =
        tokio::join!(ask(&served, asked), served.apply(vec![put_person("zoe")]));
    assert_eq!(applied.unwrap().revision, 2);
    let opened = opened.unwrap();
    assert_eq!(opened.decision.unwrap().revision, 2);
    let id = opened.session.expect("at revision 2 there is a Zoe").id;
    let renew = v1::SessionServiceRenewRequest { session: id, at_least: 3, ..Default::default() };
    let mut sessions = served.sessions();
    let (renewed, _) = tokio::join!(sessions.renew(renew), served.apply(vec![put_person("yva")]));
    let decision = renewed.unwrap().into_inner().decision.unwrap();
    assert_eq!((decision.effect(), decision.revision), (Effect::Allow, 3));
    assert_eq!(reason(&served, opening("yva", "web", None)).await, Reason::Granted);
    served.stop().await;
}
