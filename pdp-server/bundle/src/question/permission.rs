//! What a subject would do, in one text: gateways and their mappings write permissions so.

use std::fmt;

use pdp_engine::list::AnyPermission;
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::PermissionRef;

use super::session::{NO_LEVEL, OwnedSession};

/// Reads a permission: `Edit` and `operation:Edit` are an operation, `right:ReadData` a native right,
/// `vault:view_password` a vault action, `session:local-admin` a session with that permission level
/// and `session:none` one without. Any other text is an operation's name, colons and all. The names
/// may be malformed.
#[must_use]
pub fn parse_permission(text: &str) -> AnyPermission<'_> {
    let access = |kind, name| AnyPermission::Access(PermissionRef { kind, name });
    match text.split_once(':') {
        Some(("operation", name)) => access(PermissionKind::Operation, name),
        Some(("right", name)) => access(PermissionKind::Right, name),
        Some(("vault", action)) => AnyPermission::Vault(action),
        Some(("session", level)) => AnyPermission::Session(OwnedSession::level_named(level)),
        _ => access(PermissionKind::Operation, text),
    }
}

/// A permission as [`parse_permission`] reads it, in the shortest form that reads back the same.
#[derive(Debug, Clone, Copy)]
pub struct WrittenPermission<'a>(pub AnyPermission<'a>);

impl fmt::Display for WrittenPermission<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            AnyPermission::Access(PermissionRef { kind: PermissionKind::Right, name }) => {
                write!(f, "right:{name}")
            }
            AnyPermission::Access(PermissionRef { name, .. }) => {
                if parse_permission(name) != self.0 {
                    f.write_str("operation:")?;
                }
                f.write_str(name)
            }
            AnyPermission::Vault(action) => write!(f, "vault:{action}"),
            AnyPermission::Session(level) => write!(f, "session:{}", level.unwrap_or(NO_LEVEL)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_reads_back_as_written() {
        for text in [
            "Edit",
            "right:ReadData",
            "right:operation:x",
            "vault:view_password",
            "session:local-admin",
            "session:none",
            "operation:vault:x",
            "Send: now",
        ] {
            assert_eq!(WrittenPermission(parse_permission(text)).to_string(), text);
        }
        assert_eq!(WrittenPermission(parse_permission("operation:Edit")).to_string(), "Edit");
        assert_eq!(parse_permission("session:none"), AnyPermission::Session(None));
    }
}
