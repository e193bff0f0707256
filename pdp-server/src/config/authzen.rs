//! Settings of the AuthZEN door that are more than a number: addresses that callers are told, and
//! the words by which they call people.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use http::Uri;

/// What people are called in requests where no setting says otherwise.
const DEFAULT_PERSON_TYPES: [&str; 2] = ["user", "identity"];

/// The types of subjects that mean themselves and nothing else.
const OWN_TYPES: [&str; 2] = ["person", "account"];

/// An address that callers are told: absolute, without query or fragment, and `https` unless it is on
/// loopback. A slash at its end is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

/// The subject types that are taken as `person`, besides `person` itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonTypes(BTreeSet<String>);

// === impl PublicUrl ===

impl PublicUrl {
    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names a user. Such an address is read, so that who refuses it need not repeat it.
    pub(super) fn names_user(&self) -> bool {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        rest.split('/').next().is_some_and(|authority| authority.contains('@'))
    }

    /// Its path: empty, or begins with a slash and ends without one.
    #[must_use]
    pub fn path(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default()
    }
}

impl FromStr for PublicUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = "it must be an address such as https://pdp.example.com";
        if text.contains(['#', '?']) {
            return Err("it must have neither query nor fragment");
        }
        let uri: Uri = text.parse().map_err(|_| form)?;
        uri.host().filter(|host| !host.is_empty()).ok_or(form)?;
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_loopback(&uri) => {}
            Some("http") => return Err("it must begin with https:// unless it is on loopback"),
            _ => return Err(form),
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether an address is on this machine.
pub(super) fn is_loopback(uri: &Uri) -> bool {
    let is_one = |host: &str| {
        let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
    };
    uri.host().is_some_and(is_one)
}

// === impl PersonTypes ===

impl PersonTypes {
    /// Whether a subject of this type is a person.
    #[must_use]
    pub fn contains(&self, type_name: &str) -> bool {
        self.0.contains(type_name)
    }
}

impl Default for PersonTypes {
    fn default() -> Self {
        Self(DEFAULT_PERSON_TYPES.map(str::to_owned).into())
    }
}

impl FromStr for PersonTypes {
    type Err = String;

    /// Words with commas between them; an empty text is none.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words = text.split(',').map(str::trim);
        let mut types = BTreeSet::new();
        for word in words {
            if text.trim().is_empty() {
                break;
            }
            if word.is_empty() || word.chars().any(char::is_control) {
                return Err("write types of subjects with commas between them".to_owned());
            }
            if OWN_TYPES.contains(&word) {
                return Err(format!("`{word}` is a type of subject already"));
            }
            types.insert(word.to_owned());
        }
        Ok(Self(types))
    }
}

impl fmt::Display for PersonTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, word) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { ", " })?;
            f.write_str(word)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_safe_to_tell() {
        for (text, path) in [
            ("https://pdp.example.com", ""),
            ("https://pdp.example.com/", ""),
            ("https://example.com:8443/a/b/", "/a/b"),
            ("http://127.0.0.1:7071", ""),
            ("http://[::1]:7071", ""),
            ("http://localhost", ""),
        ] {
            let url: PublicUrl = text.parse().unwrap();
            assert_eq!(url.path(), path);
            assert_eq!(url.as_str(), text.trim_end_matches('/'));
        }
        for text in [
            "",
            "pdp.example.com",
            "http://pdp.example.com",
            "http://127.0.0.1.example.com",
            "ftp://example.com",
            "https://",
            "https://example.com?x",
            "https://example.com/#x",
            "/a",
        ] {
            assert!(text.parse::<PublicUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn people_have_the_names_that_the_setting_gives_them() {
        let default = PersonTypes::default();
        assert!(default.contains("user") && default.contains("identity"));
        assert_eq!(default.to_string().parse(), Ok(default));
        let own: PersonTypes = " human,robot ".parse().unwrap();
        assert!(own.contains("human") && own.contains("robot") && !own.contains("user"));
        assert_eq!("".parse::<PersonTypes>().unwrap().to_string(), "");
        for text in ["a,,b", ",", "account", "user, person", "a\nb"] {
            assert!(text.parse::<PersonTypes>().is_err(), "{text:?}");
        }
    }
}
