//! The formats people write: policy bundles, case files, the default library.
