use crate::{Checksum, Error};

mod reed_solomon;
mod sec_ded;
mod shards;
mod trailer;

pub(crate) use trailer::{Tail, annotate_trailer, reidentify_tail, write_trailer};

/// What a block has beside itself to be repaired from.
///
/// Parity is of the payload as stored, and lies behind the check, outside of it: a block whose check
/// holds is read without a look at its parity. Header and check have a copy there too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Parity {
    /// Nothing.
    #[default]
    None,
    /// A check byte for each eight bytes of payload, by which one flipped bit in those nine is
    /// corrected and two are found. An eighth more bytes, for memory and media that lose single
    /// bits. No help against a lost sector.
    SecDed,
    /// The payload in `data` shards, and their exclusive or: one damaged shard is made anew.
    Xor {
        /// 1 to 31.
        data: u8,
    },
    /// The payload in `data` shards and `parity` more: as many damaged ones, of either sort, are
    /// made anew. Needs the `reed-solomon` feature and a 64-bit [`Checksum`](crate::Checksum).
    ReedSolomon {
        /// At least 1; `data` and `parity` are 32 at most together.
        data: u8,
        /// At least 1.
        parity: u8,
    },
}

impl Parity {
    /// Most shards that a block has, of data and parity together.
    pub const SHARDS_MAX: u8 = 32;

    /// Shards are a multiple of this, in bytes.
    const SHARD_UNIT: usize = 64;

    /// Scheme, data shards and parity shards on disk. Schemes are never renumbered.
    pub(crate) const fn tags(self) -> (u8, [u8; 2]) {
        match self {
            Self::None => (0, [0, 0]),
            Self::SecDed => (1, [0, 0]),
            Self::Xor { data } => (2, [data, 1]),
            Self::ReedSolomon { data, parity } => (3, [data, parity]),
        }
    }

    #[inline]
    pub(crate) fn from_tags(scheme: u8, shards: [u8; 2]) -> Option<Self> {
        if (scheme, shards) == (0, [0, 0]) {
            return Some(Self::None);
        }
        let found = match (scheme, shards) {
            (1, [0, 0]) => Self::SecDed,
            (2, [data, 1]) => Self::Xor { data },
            (3, [data, parity]) => Self::ReedSolomon { data, parity },
            _ => return None,
        };
        found.check_shards().is_ok().then_some(found)
    }

    fn check_shards(self) -> Result<(), Error> {
        let (_, [data, parity]) = self.tags();
        let in_range = |field, value, min, max| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            let (value, min, max) = (i64::from(value), i64::from(min), i64::from(max));
            Err(Error::InvalidArgument { field, value, min, max })
        };
        match self {
            Self::None | Self::SecDed => Ok(()),
            Self::Xor { .. } | Self::ReedSolomon { .. } => {
                in_range("shards of data", data, 1, Self::SHARDS_MAX - 1)?;
                in_range("shards of parity", parity, 1, Self::SHARDS_MAX - data)
            }
        }
    }

    /// Fails if it is out of range, or its provider not compiled in.
    pub(crate) fn validate(self) -> Result<(), Error> {
        self.check_shards()?;
        match self {
            Self::ReedSolomon { .. } => reed_solomon::SUPPORTED,
            _ => Ok(()),
        }
    }

    /// Whether a check is strong enough to tell repaired from made up.
    pub(crate) const fn goes_with(self, checksum: Checksum) -> bool {
        !matches!((self, checksum), (Self::ReedSolomon { .. }, Checksum::Crc32c))
    }

    /// Shards of data and of parity; none of a scheme without shards.
    pub(crate) const fn shards(self) -> (usize, usize) {
        let (_, [data, parity]) = self.tags();
        (data as usize, parity as usize)
    }

    /// Length of a shard of a payload of `stored_len` bytes, in bytes. The last ones of data may be
    /// shorter, or have nothing; zeros stand in for what they lack, and are not stored.
    pub(crate) const fn shard_len(self, stored_len: usize) -> usize {
        match self.shards() {
            (0, _) => 0,
            (data, _) => {
                // It does not overflow: there is at least one shard, and a multiple of the unit
                // above 2³² has room on the platforms that can hold such a payload at all.
                let len = stored_len.div_ceil(data);
                match len % Self::SHARD_UNIT {
                    0 => len,
                    over => len.saturating_add(Self::SHARD_UNIT - over),
                }
            }
        }
    }

    /// Bytes of parity for a payload of `stored_len` bytes.
    pub(crate) const fn parity_len(self, stored_len: usize) -> usize {
        match self {
            Self::None => 0,
            Self::SecDed => stored_len.div_ceil(sec_ded::WORD_LEN),
            Self::Xor { .. } | Self::ReedSolomon { .. } => {
                let (_, parity) = self.shards();
                self.shard_len(stored_len).saturating_mul(parity)
            }
        }
    }

    /// Bytes that the checks of all shards take.
    pub(crate) const fn shard_checks_len(self) -> usize {
        let (data, parity) = self.shards();
        size_of::<u32>() * (data + parity)
    }

    /// Bytes that this adds to a block whose payload as stored has `stored_len` bytes.
    pub const fn overhead(self, stored_len: usize) -> usize {
        match self {
            Self::None => 0,
            _ => self
                .parity_len(stored_len)
                .saturating_add(self.shard_checks_len())
                .saturating_add(Tail::LEN),
        }
    }
}

/// Computes the parity of `payload` to `out`, which has its length.
fn encode(parity: Parity, payload: &[u8], out: &mut [u8]) -> Result<(), Error> {
    match parity {
        Parity::None => Ok(()),
        Parity::SecDed => {
            sec_ded::encode(payload, out);
            Ok(())
        }
        Parity::Xor { .. } => {
            shards::xor(payload, out);
            Ok(())
        }
        Parity::ReedSolomon { .. } => reed_solomon::encode(parity, payload, out),
    }
}

/// What there was to repair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Shards, or words of a scheme without, that are not as they were written.
    pub(crate) damaged: usize,
    /// Whether it was more than can be repaired.
    pub(crate) lost: bool,
}

/// Repairs `payload` by `parity_bytes`; `shard_checks` are read as they lie, damaged or not.
pub(crate) fn repair(
    parity: Parity,
    payload: &mut [u8],
    parity_bytes: &[u8],
    shard_checks: &[u8],
) -> Result<Damage, Error> {
    match parity {
        Parity::None => Ok(Damage::default()),
        Parity::SecDed => Ok(sec_ded::correct(payload, parity_bytes)),
        Parity::Xor { .. } | Parity::ReedSolomon { .. } => {
            shards::repair(parity, payload, parity_bytes, shard_checks)
        }
    }
}
