//! What the audit says of sessions.

use pdp_proto::v1::audit_record::Event;
use pdp_proto::v1::audit_session::Event as Told;
use pdp_proto::v1::{self, AuditKind, OnEnd, Reason, RevocationState, SessionEnd};

use super::{
    HOUR, SECOND, acknowledge, after, ask, close, done, exclude, failed, folder, get, opened,
    renew, request, set_clock,
};
use crate::served::Served;

async fn list(served: &Served, request: v1::AuditServiceListRequest) -> Vec<v1::AuditRecord> {
    served.audit().list(request).await.unwrap().into_inner().records
}

async fn verify(served: &Served) -> u64 {
    let request = v1::AuditServiceVerifyRequest::default();
    let verified = served.audit().verify(request).await.unwrap().into_inner();
    assert_eq!(verified.broken, None);
    verified.records
}

/// What was told of a session, with the instants of the records.
async fn of_session(served: &Served, id: &str) -> Vec<(Option<prost_types::Timestamp>, Told)> {
    let session = Some(id.to_owned());
    let records = list(served, v1::AuditServiceListRequest { session, ..Default::default() }).await;
    let told = records.into_iter().map(|record| {
        let Some(Event::Session(event)) = record.event else { panic!("{:?}", record.event) };
        assert_eq!(event.session, id);
        (record.at, event.event.unwrap())
    });
    told.collect()
}

fn ended(at: i64, end: SessionEnd, revoked_by: Reason, note: &str) -> Told {
    Told::Ended(v1::AuditSessionEnded {
        at: Some(after(at)),
        end: end.into(),
        revoked_by: revoked_by.into(),
        note: note.into(),
    })
}

fn due(kind: OnEnd) -> Told {
    Told::RevocationDue(v1::AuditRevocationDue { kind: kind.into() })
}

fn settled(kind: OnEnd, state: RevocationState) -> Told {
    let (kind, state) = (kind.into(), state.into());
    Told::RevocationSettled(v1::AuditRevocationSettled { kind, state })
}

#[tokio::test]
async fn the_life_of_a_session_is_told_in_order() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let session = opened(&served, "ana", "web", "admin").await;
    set_clock(&served, SECOND);
    renew(&served, &session.id).await.unwrap();
    // Asking again, reading and denials are not in it.
    ask(&served, request("ana web admin", "ana", "web", Some("admin"))).await.unwrap();
    ask(&served, request("x", "eve", "web", Some("admin"))).await.unwrap();
    get(&served, &session.id).await.unwrap();
    set_clock(&served, 2 * SECOND);
    let work = close(&served, &session.id).await.unwrap().revocations;
    close(&served, &session.id).await.unwrap();
    set_clock(&served, 3 * SECOND);
    acknowledge(&served, &work[0].id, failed("no answer")).await.unwrap();
    set_clock(&served, 4 * SECOND);
    acknowledge(&served, &work[0].id, done()).await.unwrap();
    acknowledge(&served, &work[1].id, done()).await.unwrap();
    acknowledge(&served, &work[1].id, done()).await.unwrap();

    let (group, account) = (OnEnd::RemoveFromGroup, OnEnd::DeleteAccount);
    let not_after = Some(after(HOUR));
    let at = |second: i64| Some(after(second * SECOND));
    let expected = [
        (at(0), Told::Opened(v1::AuditSessionOpened { group: Some("admins".into()), not_after })),
        (at(1), Told::Renewed(v1::AuditSessionRenewed { not_after })),
        (at(2), ended(2 * SECOND, SessionEnd::Closed, Reason::Unspecified, "")),
        (at(2), due(group)),
        (at(2), due(account)),
        (
            at(3),
            Told::RevocationFailed(v1::AuditRevocationFailed {
                kind: group.into(),
                message: "no answer".into(),
            }),
        ),
        (at(4), settled(group, RevocationState::Done)),
        (at(4), settled(account, RevocationState::Done)),
    ];
    assert_eq!(of_session(&served, &session.id).await, expected);

    let records = list(&served, v1::AuditServiceListRequest::default()).await;
    assert_eq!(records.len(), 2 + expected.len());
    for record in &records[2..] {
        assert_eq!((record.person.as_deref(), record.revision), (Some("ana"), 1));
        let Some(Event::Session(event)) = &record.event else { panic!("{record:?}") };
        assert_eq!((event.computer.as_str(), event.level.as_deref()), ("web", Some("admin")));
        assert_eq!(event.account, session.account);
    }
    assert_eq!(verify(&served).await, 10);
    served.stop().await;
    let served = Served::start(&folder).await;
    assert_eq!(list(&served, v1::AuditServiceListRequest::default()).await, records);
    assert_eq!(verify(&served).await, 10);
    served.stop().await;
}

#[tokio::test]
async fn every_way_to_end_is_told() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let revoked = opened(&served, "bo", "web", "admin").await;
    let forced = opened(&served, "bo", "own", "admin").await;
    let plain = ask(&served, request("p", "bo", "web", None)).await.unwrap().session.unwrap();
    exclude(&served, "bo", "web", "admin").await;
    renew(&served, &revoked.id).await.unwrap();
    let force = v1::ForceEndRequest {
        computer: Some("own".into()),
        note: "an incident".into(),
        ..Default::default()
    };
    served.sessions().force_end(force).await.unwrap();
    let again = ask(&served, request("k", "bo", "own", Some("admin"))).await.unwrap();
    set_clock(&served, HOUR + SECOND);
    close(&served, &plain.id).await.unwrap();
    close(&served, &again.session.unwrap().id).await.unwrap();

    let (group, account) = (OnEnd::RemoveFromGroup, OnEnd::DeleteAccount);
    let told = async |id: &str| -> Vec<Told> {
        of_session(&served, id).await.into_iter().skip(1).map(|(_, told)| told).collect()
    };
    assert_eq!(
        told(&revoked.id).await,
        [ended(0, SessionEnd::Revoked, Reason::Excluded, ""), due(group), due(account)]
    );
    assert_eq!(
        told(&forced.id).await,
        [
            ended(0, SessionEnd::Forced, Reason::Unspecified, "an incident"),
            due(group),
            settled(group, RevocationState::Superseded),
        ]
    );
    // It ended when its time was over, and was found a second later.
    assert_eq!(told(&plain.id).await, [ended(HOUR, SessionEnd::Expired, Reason::Unspecified, "")]);
    verify(&served).await;
    served.stop().await;
}

#[tokio::test]
async fn the_records_are_narrowed_by_person_kind_session_and_computer() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let ana = opened(&served, "ana", "web", "admin").await;
    let bo = opened(&served, "bo", "own", "admin").await;
    renew(&served, &ana.id).await.unwrap();
    let work = close(&served, &bo.id).await.unwrap().revocations;
    acknowledge(&served, &work[0].id, failed("no answer")).await.unwrap();
    set_clock(&served, SECOND);
    acknowledge(&served, &work[0].id, done()).await.unwrap();

    let all = v1::AuditServiceListRequest::default;
    let some = |text: &str| Some(text.to_owned());
    let kind =
        |kind: AuditKind| v1::AuditServiceListRequest { kind: kind.into(), ..Default::default() };
    // 1 and 2 are the tenant and its policy.
    for (request, expected) in [
        (v1::AuditServiceListRequest { person: some("ana"), ..all() }, vec![3, 5]),
        (v1::AuditServiceListRequest { person: some("bo"), ..all() }, vec![4, 6, 7, 8, 9]),
        (v1::AuditServiceListRequest { computer: some("web"), ..all() }, vec![3, 5]),
        (v1::AuditServiceListRequest { computer: some("nowhere"), ..all() }, vec![]),
        (v1::AuditServiceListRequest { session: some(&bo.id), ..all() }, vec![4, 6, 7, 8, 9]),
        (v1::AuditServiceListRequest { session: some("none"), ..all() }, vec![]),
        (kind(AuditKind::SessionOpened), vec![3, 4]),
        (kind(AuditKind::SessionRenewed), vec![5]),
        (kind(AuditKind::SessionEnded), vec![6]),
        (kind(AuditKind::RevocationDue), vec![7]),
        (kind(AuditKind::RevocationFailed), vec![8]),
        (kind(AuditKind::RevocationSettled), vec![9]),
        (kind(AuditKind::PolicyChanged), vec![2]),
        (
            v1::AuditServiceListRequest {
                person: some("bo"),
                computer: some("own"),
                session: some(&bo.id),
                ..kind(AuditKind::SessionOpened)
            },
            vec![4],
        ),
        (
            v1::AuditServiceListRequest { computer: some("web"), session: some(&bo.id), ..all() },
            vec![],
        ),
    ] {
        let numbers: Vec<_> =
            list(&served, request.clone()).await.iter().map(|record| record.sequence).collect();
        assert_eq!(numbers, expected, "{request:?}");
    }
    served.stop().await;
}
