//! Every reason in a sentence. A few read differently in some families, which say so themselves.

use pdp_engine::query::Reason;

pub(super) const fn of(reason: Reason) -> &'static str {
    match reason {
        Reason::Granted => "something allows it and nothing denies it",
        Reason::ExplicitDeny => "something denies it, whatever else allows it",
        Reason::Disabled => "nothing allows it, and something disables it",
        Reason::NotGranted => "nothing allows it",
        Reason::UnknownSubject => "the policy knows no such subject",
        Reason::SubjectDisabled => "the subject, or the owner of the account, is disabled",
        Reason::UnknownResource => "the policy knows no such resource",
        Reason::UnknownPermission => "the resource's type declares no such operation or right",
        Reason::MissingOnResource => "it is allowed of the counterpart and not of the resource",
        Reason::MissingOnCounterpart => "it is allowed of the resource and not of the counterpart",
        Reason::MissingOnBoth => "it is allowed neither of the resource nor of the counterpart",
        Reason::SelfDelegation => "nobody hands access to themselves",
        Reason::UnknownLevel => "the policy has no such access level",
        Reason::UnknownLocation => "the policy has no such location",
        Reason::UnknownRecipient => "the policy knows no such recipient",
        Reason::MissingOnRecipient => {
            "it is held on the resource side and not on the recipient side"
        }
        Reason::NotShared => "nothing that applies is shared with the subject",
        Reason::LevelTooLow => "the share that decides does not give the action",
        Reason::RemoteAppUnsupported => "the platform has no remote apps",
        Reason::RemoteAppNotPrivileged => "the subject has no privilege to use remote apps",
        Reason::PsmDisabled => "no sessions can be opened on it",
        Reason::LevelNotOffered => "the computer does not offer the permission level",
        Reason::LevelNotMapped => {
            "the permission level is mapped to no native group of the computer yet"
        }
        Reason::Excluded => "the person is excluded, whatever else makes them eligible",
        Reason::NotEligible => "nothing makes the person eligible",
        Reason::NoAccount => "the person owns no enabled account on the computer",
        Reason::SessionLimit => "as many sessions are open as the computer takes",
        Reason::NeedsApproval => "the person is eligible, and somebody has to agree",
        Reason::UnprivilegedNotAllowed => {
            "the computer takes no sessions without a permission level"
        }
    }
}
