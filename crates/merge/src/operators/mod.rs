//! Merge operators for everyday use.

mod add_u64;
mod append;
#[cfg(feature = "json-patch")]
mod json_patch;

pub use add_u64::AddU64;
pub use append::Append;
#[cfg(feature = "json-patch")]
pub use json_patch::JsonPatch;
