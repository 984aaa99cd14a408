use alloc::{borrow::Cow, vec::Vec};
use core::ops::Deref;

use crate::{
    BlockId, Error, Frame, FrameHeader, Parity,
    parity::{self, Tail, write_trailer},
    verify,
};

/// A payload, and what it took to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    /// The payload: lent, if it was stored as it is and intact.
    pub payload: Cow<'a, [u8]>,
    /// Whether it had to be repaired.
    pub outcome: Outcome,
}

/// A payload, in memory of the caller's choice if it needs any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a, M> {
    /// Stored as it is and intact: a part of the stored bytes.
    Lent(&'a [u8]),
    /// All of this.
    Made(M),
}

/// How a block was found that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Header, payload and check were intact. Parity was not looked at.
    Clean,
    /// Something of it was damaged and is repaired, in what was handed out: the stored bytes are as
    /// they were, and [`scrub`] gives those to put in their place.
    Healed,
}

impl Deref for Opened<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.payload
    }
}

/// What [`scrub`] found of a block that is not lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scrubbed {
    /// Every byte is as it was written, parity included.
    Clean,
    /// Some are not. These are all the block's bytes as they were written.
    Healed(Vec<u8>),
}

/// Checks every byte of the block that `id` names, its parity included, and repairs what it can.
///
/// No keys or dictionaries are needed. Costs a computation of the parity beside one of the check.
///
/// ```
/// use stratal_block::{
///     BlockContext, BlockId, BlockKind, BlockSpec, Outcome, Parity, Scrubbed, scrub,
/// };
/// use stratal_types::FileUid;
///
/// let spec = BlockSpec { parity: Parity::Xor { data: 4 }, ..BlockSpec::default() };
/// let codec = spec.resolve(&BlockContext::default())?;
/// let id = BlockId { uid: FileUid([7; 16]), ordinal: 0, kind: BlockKind(1) };
/// let written = codec.seal(id, &[42; 4096])?;
///
/// let mut stored = written.clone();
/// stored[100..612].fill(0);
/// let opened = codec.open(id, &stored)?;
/// assert_eq!(opened.outcome, Outcome::Healed);
/// assert_eq!(opened[..], [42; 4096]);
/// assert_eq!(scrub(id, &stored)?, Scrubbed::Healed(written));
///
/// stored[2000..3000].fill(0);
/// assert!(scrub(id, &stored).unwrap_err().is_corruption());
/// # Ok::<(), stratal_block::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`verify`], if nothing can be done; [`Error::Lost`] if there is more damage than parity;
/// and [`Error::Unsupported`] if the parity's provider is not compiled in.
pub fn scrub(id: BlockId, stored: &[u8]) -> Result<Scrubbed, Error> {
    let written = match verify(id, stored) {
        Ok(header) if header.parity == Parity::None => return Ok(Scrubbed::Clean),
        Ok(header) => {
            let frame = Frame::from_exact(stored)?;
            assemble(&header, frame.payload(), frame.check())?
        }
        Err(error) => heal(id, stored, error)?,
    };
    Ok(if written == stored { Scrubbed::Clean } else { Scrubbed::Healed(written) })
}

/// All bytes of the block that `id` names, as they were written; `error` is why they are not found
/// in `stored` as it is.
///
/// Header, check, shards and parity each may be damaged. What the tail says is tried first, then
/// what the header says; the result has to verify, whatever it was made from.
#[cold]
pub(crate) fn heal(id: BlockId, stored: &[u8], error: Error) -> Result<Vec<u8>, Error> {
    let tail = Tail::header(stored);
    let front = FrameHeader::split_from(stored).ok().map(|(header, _)| header);
    let front = front.filter(|header| {
        header.parity != Parity::None
            && header.frame_len() == stored.len()
            && tail.as_ref() != Some(header)
    });
    let mut outcome = Err(error);
    for header in [tail, front].into_iter().flatten() {
        if header.kind != id.kind {
            outcome = Err(Error::WrongKind { expected: id.kind.0, found: header.kind.0 });
            continue;
        }
        match heal_as(id, stored, &header)? {
            Healing::Healed(written) => return Ok(written),
            Healing::Lost(error) => outcome = Err(error),
            Healing::NotThisBlock => {}
        }
    }
    outcome
}

enum Healing {
    /// These bytes verify.
    Healed(Vec<u8>),
    /// There is more damage than parity.
    Lost(Error),
    /// The damage, if any, was repaired, and what came of it does not verify.
    NotThisBlock,
}

/// Takes `header` as the block's, and repairs its payload.
fn heal_as(id: BlockId, stored: &[u8], header: &FrameHeader) -> Result<Healing, Error> {
    let (_, rest) = stored.split_at_checked(header.encoded_len()).unwrap_or_default();
    let (payload, rest) = rest.split_at_checked(header.stored_len as usize).unwrap_or_default();
    let (check, rest) = rest.split_at_checked(size_of::<u64>()).unwrap_or_default();
    let parity_len = header.parity.parity_len(payload.len());
    let (parity_bytes, rest) = rest.split_at_checked(parity_len).unwrap_or_default();
    let (shard_checks, _) =
        rest.split_at_checked(header.parity.shard_checks_len()).unwrap_or_default();

    let mut payload = payload.to_vec();
    let damage = parity::repair(header.parity, &mut payload, parity_bytes, shard_checks)?;
    if damage.lost {
        return Ok(Healing::Lost(Error::Lost { damaged: damage.damaged }));
    }
    let mut covered = Vec::new();
    header.encode_into(&mut covered);
    covered.extend_from_slice(&payload);
    let expected = header.checksum.check(&covered, id);
    let stated = [check.first_chunk().map(|check| u64::from_le_bytes(*check)), Tail::check(stored)];
    if !stated.contains(&Some(expected)) {
        return Ok(Healing::NotThisBlock);
    }
    assemble(header, &payload, expected).map(Healing::Healed)
}

/// The block of this header, payload and check, with the parity that belongs to it.
fn assemble(header: &FrameHeader, payload: &[u8], check: u64) -> Result<Vec<u8>, Error> {
    let mut written = Vec::with_capacity(header.frame_len());
    header.encode_into(&mut written);
    written.extend_from_slice(payload);
    written.extend_from_slice(&check.to_le_bytes());
    write_trailer(header, check, 0, &mut written)?;
    Ok(written)
}
