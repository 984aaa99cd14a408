#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::expect_used
)]

use stratal_types::{dump::Dump, varint};

use crate::{KeptOptions, Ttl, kept_options::describe};

/// Longest name of a merge operator, in bytes.
const NAME_LEN_MAX: usize = 255;

/// Tags of fields on disk. Never renumbered.
mod tag {
    pub(super) const MERGE_OPERATOR: u64 = 1;
    pub(super) const TTL: u64 = 33;
}

/// What is stored with a tree about how its contents are to be read, in the manifest. The bytes are
/// described in [`format`](crate::format).
///
/// ```
/// use stratal_engine::TreeSettings;
/// let merge_operator = Some("append".into());
/// let settings = TreeSettings { merge_operator, ..TreeSettings::default() };
/// assert_eq!(TreeSettings::decode(&settings.encode())?, settings);
/// assert_eq!(TreeSettings::default().encode(), [0u8; 0]);
/// # Ok::<(), stratal_engine::SettingsError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TreeSettings {
    /// Name of the merge operator whose operands the tree holds: 1 to 255 bytes. `None` until there
    /// may be any.
    pub merge_operator: Option<String>,
    /// How the tree is kept, by whoever does not say otherwise. `None` until it was said once.
    pub options: Option<KeptOptions>,
    /// For how long it keeps values; `None` for ever.
    pub ttl: Option<Ttl>,
}

/// Why bytes are no settings of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A newer version has stored something that must be known to read the tree.
    #[error("the tree has the setting {tag}, which this build does not know")]
    Unsupported {
        /// Tag of the field.
        tag: u64,
    },
    /// The bytes make no sense.
    #[error("{what} in the tree's settings")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
}

impl TreeSettings {
    /// The settings as they are stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(name) = &self.merge_operator {
            put_field(&mut out, tag::MERGE_OPERATOR, |out| out.extend_from_slice(name.as_bytes()));
        }
        if let Some(options) = &self.options {
            options.encode(&mut out);
        }
        if let Some(Ttl { ttl_ms, since_ms }) = self.ttl {
            put_field(&mut out, tag::TTL, |out| {
                varint::put(out, ttl_ms);
                varint::put(out, since_ms);
            });
        }
        out
    }

    /// Reads settings.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Unsupported`] for a field with an odd tag that is not known; those with an even
    /// one are left out. [`SettingsError::Malformed`] otherwise.
    pub fn decode(bytes: &[u8]) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        let mut rest = bytes;
        let mut last = 0;
        while !rest.is_empty() {
            let (tag, value) = take_field(&mut rest)?;
            if tag <= last {
                return Err(malformed("the fields are not in ascending order"));
            }
            last = tag;
            match tag {
                tag::MERGE_OPERATOR => settings.merge_operator = Some(name(value)?),
                tag::TTL => settings.ttl = Some(ttl(value)?),
                tag if tag % 2 == 1 => return Err(SettingsError::Unsupported { tag }),
                tag => {
                    let mut options = settings.options.clone().unwrap_or_default();
                    if options.take_in(tag, value)? {
                        settings.options = Some(options);
                    }
                }
            }
        }
        Ok(settings)
    }
}

/// Describes stored settings field by field, as far as they can be read.
pub fn annotate_settings(dump: &mut Dump<'_>) {
    let mut rest = dump.remaining();
    while !rest.is_empty() {
        let before = rest.len();
        let Ok((tag, value)) = take_field(&mut rest) else { return };
        let what = match tag {
            tag::MERGE_OPERATOR => format!("merge_operator \"{}\"", value.escape_ascii()),
            tag::TTL => match ttl(value) {
                Ok(Ttl { ttl_ms, since_ms }) => format!("ttl {ttl_ms} ms since {since_ms}"),
                Err(_) => "ttl, not readable".into(),
            },
            tag => describe(tag, value).unwrap_or_else(|| format!("field {tag}, not known")),
        };
        dump.field(before.saturating_sub(rest.len()), what);
    }
}

/// Appends a field with the value that `write` appends.
pub(crate) fn put_field(out: &mut Vec<u8>, tag: u64, write: impl FnOnce(&mut Vec<u8>)) {
    let mut value = Vec::new();
    write(&mut value);
    varint::put(out, tag);
    varint::put(out, value.len() as u64);
    out.extend_from_slice(&value);
}

pub(crate) fn malformed(what: &'static str) -> SettingsError {
    SettingsError::Malformed { what }
}

/// Tag and value of the next field.
fn take_field<'a>(rest: &mut &'a [u8]) -> Result<(u64, &'a [u8]), SettingsError> {
    let tag = varint::take(rest).ok_or(malformed("no tag"))?;
    let len = varint::take_usize(rest).ok_or(malformed("no length"))?;
    let (value, behind) = rest.split_at_checked(len).ok_or(malformed("a field ends too early"))?;
    *rest = behind;
    Ok((tag, value))
}

fn ttl(mut value: &[u8]) -> Result<Ttl, SettingsError> {
    let mut number = || varint::take(&mut value).ok_or(malformed("a ttl ends too early"));
    let (ttl_ms, since_ms) = (number()?, number()?);
    if ttl_ms == 0 || !value.is_empty() {
        return Err(malformed("a ttl is 0 or too long"));
    }
    Ok(Ttl { ttl_ms, since_ms })
}

pub(crate) fn name(value: &[u8]) -> Result<String, SettingsError> {
    let name = str::from_utf8(value).map_err(|_| malformed("a name is not UTF-8"))?;
    check_name(name).map(|()| name.to_owned())
}

/// Whether `name` can be stored.
pub(crate) fn check_name(name: &str) -> Result<(), SettingsError> {
    if (1..=NAME_LEN_MAX).contains(&name.len()) {
        return Ok(());
    }
    Err(malformed("a name's length is out of range"))
}
