//! The sections about vault sharing: resource groups and shares.

use pdp_engine::id::ResourceGroupId;
use pdp_engine::resource::ResourceRef;
use pdp_engine::share::{Entity, Grantee, ResourceGroup, Share, ShareKey, ShareLevel};

use super::sorted;
use crate::diagnostic::shown;
use crate::read::At;

pub(super) fn resource_group(at: &At<'_>) -> Option<ResourceGroup> {
    let fields = at.fields(&["id", "members", "default"])?;
    let id = fields.required("id").and_then(|at| at.parsed(ResourceGroupId::new));
    Some(ResourceGroup {
        members: sorted(fields.list("members", |at| at.parsed(ResourceRef::parse))),
        default: fields.flag("default", false),
        id: id?,
    })
}

pub(super) fn share(at: &At<'_>) -> Option<Share> {
    let fields = at.fields(&["to", "on", "level"])?;
    let to = fields.required("to").and_then(|at| at.parsed(grantee));
    let on = fields.required("on").and_then(|at| at.parsed(Entity::parse));
    let words = ShareLevel::ALL.map(|level| (level.as_str(), level));
    let level = fields.required("level").and_then(|at| at.word(&words));
    Some(Share { key: ShareKey { to: to?, on: on? }, level: level? })
}

/// Only people and groups are shared with.
fn grantee(text: &str) -> Result<Grantee, String> {
    use pdp_engine::actor::ActorRef;
    let wrong =
        || format!("`{}` is nobody to share with; write `person:ID` or `group:ID`", shown(text));
    let kind = text.split_once(':').map(|(kind, _)| kind);
    if !matches!(kind, Some("person" | "group")) {
        return Err(wrong());
    }
    let actor = ActorRef::parse(text).map_err(|error| error.to_string())?;
    Grantee::from_actor(&actor).ok_or_else(wrong)
}
