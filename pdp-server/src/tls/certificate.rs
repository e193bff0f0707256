//! What is read from certificates: the names that tell who it is of, and its end.

use pdp_bundle::callers::CertificateName;
use pdp_engine::time::Timestamp;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// How many names of a certificate are looked at: each may be looked up with every request.
const MAX_NAMES: usize = 32;

/// A certificate whose owner is at the other end.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// URIs first, then DNS names, each in the order of the certificate.
    pub(crate) names: Vec<CertificateName>,
    /// It is good before this.
    pub(crate) valid_until: Timestamp,
}

// === impl Certificate ===

impl Certificate {
    /// Reads one. Its common name is no name (RFC 9525, section 2).
    pub(super) fn parse(der: &[u8]) -> Result<Self, String> {
        let (_, read) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let alternative = read.subject_alternative_name().map_err(|error| error.to_string())?;
        let all = alternative.map(|extension| &extension.value.general_names);
        let all = all.into_iter().flatten();
        let uris = all.clone().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(CertificateName::Uri((*uri).into())),
            _ => None,
        });
        let dns = all.filter_map(|name| match name {
            GeneralName::DNSName(name) => {
                Some(CertificateName::Dns(name.to_ascii_lowercase().into()))
            }
            _ => None,
        });
        // The last second is of it, too (RFC 5280, section 4.1.2.5).
        let seconds = read.validity().not_after.timestamp().saturating_add(1);
        let valid_until = Timestamp::from_micros(seconds.saturating_mul(1_000_000));
        Ok(Self { names: uris.chain(dns).take(MAX_NAMES).collect(), valid_until })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    fn uris_come_before_dns_names_and_the_common_name_is_none() {
        let mut params = CertificateParams::new(vec!["B.example".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI("spiffe://a/b".try_into().unwrap()));
        params.distinguished_name.push(rcgen::DnType::CommonName, "c.example");
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let key = KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        let read = Certificate::parse(made.der()).unwrap();
        let uri = CertificateName::Uri("spiffe://a/b".into());
        assert_eq!(read.names, [uri, CertificateName::Dns("b.example".into())]);
        assert_eq!(read.valid_until.as_micros(), 1_893_456_001_000_000);
        assert!(Certificate::parse(b"no certificate").is_err());
    }
}
