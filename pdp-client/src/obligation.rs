//! What goes with the `ALLOW` of a session.

use std::fmt;
use std::time::SystemTime;

use pdp_proto::v1;

use crate::call::Error;

/// What whoever opens a session takes upon themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obligations {
    /// When the session has to end.
    pub not_after: SystemTime,
    /// For a session with a permission level; `None` without one.
    pub privileged: Option<Privileged>,
}

/// What a session with a permission level does on the computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privileged {
    /// The id of the native group that the account is put into.
    pub group: String,
    /// Which account is used.
    pub account: AccountMode,
    /// What is due when the session ends.
    pub on_end: Vec<OnEnd>,
}

/// Which account a session uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountMode {
    /// The person's own account on the computer, by id.
    Existing(String),
    /// One made for the session.
    JitNew,
    /// One kept from an earlier session, by id.
    JitReuse(String),
}

/// What is due when a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnEnd {
    /// Take the account out of the native group.
    RemoveFromGroup,
    /// Delete the account.
    DeleteAccount,
}

// === impl Obligations ===

impl Obligations {
    /// What is not understood cannot be done: it is an error and no obligation to leave out.
    pub(crate) fn from_wire(wire: v1::Obligations) -> Result<Self, Error> {
        let v1::Obligations { not_after, privileged } = wire;
        let not_after = not_after
            .ok_or_else(|| Error::protocol("its obligations name no end of the session"))?;
        let not_after = SystemTime::try_from(not_after)
            .map_err(|error| Error::protocol(format!("the end of the session: {error}")))?;
        Ok(Self { not_after, privileged: privileged.map(Privileged::from_wire).transpose()? })
    }
}

// === impl Privileged ===

impl Privileged {
    fn from_wire(wire: v1::PrivilegedObligations) -> Result<Self, Error> {
        let v1::PrivilegedObligations { group, account_mode, account, on_end } = wire;
        if group.is_empty() {
            return Err(Error::protocol("its obligations name no native group"));
        }
        let on_end = on_end.into_iter().map(OnEnd::from_wire).collect::<Result<Vec<_>, _>>()?;
        let account = AccountMode::from_wire(account_mode, account)?;
        Ok(Self { group, account, on_end })
    }
}

// === impl AccountMode ===

impl AccountMode {
    /// The mode's code.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Existing(_) => "EXISTING",
            Self::JitNew => "JIT_NEW",
            Self::JitReuse(_) => "JIT_REUSE",
        }
    }

    /// The account's id; `None` for one that is made for the session.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        match self {
            Self::Existing(id) | Self::JitReuse(id) => Some(id),
            Self::JitNew => None,
        }
    }

    pub(crate) fn from_wire(mode: i32, account: Option<String>) -> Result<Self, Error> {
        use v1::AccountMode as Wire;
        match (Wire::try_from(mode), account) {
            (Ok(Wire::Existing), Some(id)) => Ok(Self::Existing(id)),
            (Ok(Wire::JitNew), None) => Ok(Self::JitNew),
            (Ok(Wire::JitReuse), Some(id)) => Ok(Self::JitReuse(id)),
            (Ok(Wire::Unspecified) | Err(_), _) => {
                Err(Error::protocol(format!("its account mode {mode} is not a known one")))
            }
            (Ok(Wire::JitNew), Some(_)) => {
                Err(Error::protocol("it names the account that is yet to be made"))
            }
            (Ok(Wire::Existing | Wire::JitReuse), None) => {
                Err(Error::protocol("its obligations name no account"))
            }
        }
    }
}

// === impl OnEnd ===

impl OnEnd {
    /// Its code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RemoveFromGroup => "REMOVE_FROM_GROUP",
            Self::DeleteAccount => "DELETE_ACCOUNT",
        }
    }

    pub(crate) fn from_wire(number: i32) -> Result<Self, Error> {
        match v1::OnEnd::try_from(number) {
            Ok(v1::OnEnd::RemoveFromGroup) => Ok(Self::RemoveFromGroup),
            Ok(v1::OnEnd::DeleteAccount) => Ok(Self::DeleteAccount),
            Ok(v1::OnEnd::Unspecified) | Err(_) => Err(Error::protocol(format!(
                "what is due at the end of the session, {number}, is not known"
            ))),
        }
    }
}

impl fmt::Display for OnEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn wire(mode: i32, account: Option<&str>, on_end: Vec<i32>) -> v1::Obligations {
        v1::Obligations {
            not_after: Some(prost_types::Timestamp { seconds: 60, nanos: 5_000 }),
            privileged: Some(v1::PrivilegedObligations {
                group: "web-07/Administrators".into(),
                account_mode: mode,
                account: account.map(str::to_owned),
                on_end,
            }),
        }
    }

    #[test]
    fn obligations_are_read_whole() {
        let read = Obligations::from_wire(wire(1, Some("corp/ana"), vec![1])).unwrap();
        assert_eq!(read.not_after, UNIX_EPOCH + Duration::from_micros(60_000_005));
        let privileged = read.privileged.unwrap();
        assert_eq!(privileged.account, AccountMode::Existing("corp/ana".into()));
        assert_eq!(privileged.on_end, [OnEnd::RemoveFromGroup]);
        let read = Obligations::from_wire(wire(2, None, vec![1, 2])).unwrap().privileged.unwrap();
        assert_eq!((read.account.as_str(), read.account.account()), ("JIT_NEW", None));
        assert_eq!(read.on_end[1].to_string(), "DELETE_ACCOUNT");
        let read = Obligations::from_wire(wire(3, Some("k"), vec![1])).unwrap().privileged.unwrap();
        assert_eq!((read.account.as_str(), read.account.account()), ("JIT_REUSE", Some("k")));
    }

    #[test]
    fn an_obligation_that_is_not_understood_is_an_error() {
        let unusable = |wire| Obligations::from_wire(wire).is_err();
        for (mode, account, on_end) in [
            (0, Some("a"), vec![1]),
            (4, None, vec![1]),
            (1, None, vec![1]),
            (2, Some("a"), vec![1]),
            (3, None, vec![1]),
            (2, None, vec![1, 0]),
            (2, None, vec![1, 3]),
        ] {
            assert!(unusable(wire(mode, account, on_end.clone())), "{mode} {account:?} {on_end:?}");
        }
        assert!(unusable(v1::Obligations { not_after: None, ..wire(2, None, vec![1]) }));
        let mut nameless = wire(2, None, vec![1]);
        if let Some(privileged) = &mut nameless.privileged {
            privileged.group.clear();
        }
        assert!(unusable(nameless));
    }
}
