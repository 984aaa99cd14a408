/// The most levels that a strategy may be told to use.
pub const LEVELS_MAX: usize = 64;

/// An option is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("option {name} is {value}, and may be {min} to {max}")]
pub struct OptionsError {
    /// The option.
    pub name: &'static str,
    /// What was given.
    pub value: u64,
    /// The least that makes sense.
    pub min: u64,
    /// The most that does.
    pub max: u64,
}

/// Refuses a value out of its range.
pub(super) fn within(
    name: &'static str,
    value: u64,
    min: u64,
    max: u64,
) -> Result<(), OptionsError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(OptionsError { name, value, min, max }) }
}
