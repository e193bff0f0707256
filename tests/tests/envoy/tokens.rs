//! Tokens that no gateway should take, and some that it takes without their getting anywhere. The keys
//! that signed them were thrown away.

/// Good, of somebody whom the policy does not know.
pub(crate) const NOBODY: &str = concat!(
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImV4YW1wbGUtMSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2xvZ2l",
    "uLmJhbmsuZXhhbXBsZSIsImF1ZCI6ImJhbmstYXBpcyIsImV4cCI6NDEwMjQ0NDgwMCwic3ViIjoibm9ib2R5In0",
    ".x5ClB2Lab5LnG1gUPwVLbA1LufyC2fikElPMRuPhsX2We1HH_h_ZFlOax8coUjY8dFhk8Ednf9fweiYzxPZeMA",
);

/// Good, of somebody without any access.
pub(crate) const LEA: &str = concat!(
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImV4YW1wbGUtMSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2xvZ2l",
    "uLmJhbmsuZXhhbXBsZSIsImF1ZCI6ImJhbmstYXBpcyIsImV4cCI6NDEwMjQ0NDgwMCwic3ViIjoibGVhIn0.Hj8",
    "ZjN_g9cn0-SHl8-e3j2NumkEY8BGwttponOFz-SM0Dx7iXLiYJpvGWvsZxvJpLbWhA5R04ERBqbJtan-vfg",
);

/// Good, without a `sub`.
pub(crate) const UNNAMED: &str = concat!(
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImV4YW1wbGUtMSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2xvZ2l",
    "uLmJhbmsuZXhhbXBsZSIsImF1ZCI6ImJhbmstYXBpcyIsImV4cCI6NDEwMjQ0NDgwMH0.W1vM9ldJ1r7ADz7YpI-",
    "UJY4uR82uFCbOh3L24K6jiSqNQRjsQLQ0kt-3v7NdbK78_F7I9ZmyaGPb1Z2hr08JwA",
);

/// Signed with another key.
pub(crate) const FORGED: &str = concat!(
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImV4YW1wbGUtMSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2xvZ2l",
    "uLmJhbmsuZXhhbXBsZSIsImF1ZCI6ImJhbmstYXBpcyIsImV4cCI6NDEwMjQ0NDgwMCwic3ViIjoiYW5hIn0.JWA",
    "1ct3d8lLk0zS-llxx4J-sMcmynMDhB2IlhKwHM5i7PNyCGj4Fo3F-6QU32QSFIUv9OrSVGOlJvJPFJeKPrA",
);

/// Good until 2001.
pub(crate) const EXPIRED: &str = concat!(
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImV4YW1wbGUtMSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2xvZ2l",
    "uLmJhbmsuZXhhbXBsZSIsImF1ZCI6ImJhbmstYXBpcyIsImV4cCI6MTAwMDAwMDAwMCwic3ViIjoiYW5hIn0.pxL",
    "2dkZt6kfXCc0s2QBoJ8bt9xN5E89gg0vMacpNKYaLy3FjmBKGSZrXAEWXKxiBZ2epZexW_eLk1V9amrLWzQ",
);

/// For another audience.
pub(crate) const ELSEWHERE: &str = concat!(
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImV4YW1wbGUtMSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2xvZ2l",
    "uLmJhbmsuZXhhbXBsZSIsImF1ZCI6Im90aGVyIiwiZXhwIjo0MTAyNDQ0ODAwLCJzdWIiOiJhbmEifQ.UUeDBo3H",
    "mTH6oyx7IBIbnzTZXlDHsUDOtERbQ1FQxs0P2waBZlwF2ubPpd7eJ8VonLJ_INeiEWh0wdmasZQXSw",
);
