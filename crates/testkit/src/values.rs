use crate::Rng;

/// A value of `len` bytes of which about `compressible_percent` in a hundred repeat what stands
/// before them: 0 is noise, 100 one byte over and over.
///
/// ```
/// use stratal_testkit::{Rng, value};
/// assert_eq!(value(1000, 50, &mut Rng::new(1)).len(), 1000);
/// let constant = value(64, 100, &mut Rng::new(1));
/// assert!(constant.iter().all(|byte| *byte == constant[0]));
/// ```
pub fn value(len: usize, compressible_percent: u8, rng: &mut Rng) -> Vec<u8> {
    /// Bytes decided together: long enough for a codec to find as a match.
    const RUN_LEN: usize = 16;
    let filler = rng.bytes(1).first().copied().unwrap_or(0);
    let mut bytes = vec![filler; len];
    for run in bytes.chunks_mut(RUN_LEN) {
        if !rng.chance(compressible_percent.into(), 100) {
            rng.fill(run);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_grows_as_compressibility_falls() {
        let noise = |percent| {
            let bytes = value(64 << 10, percent, &mut Rng::new(4));
            bytes.windows(2).filter(|pair| pair[0] != pair[1]).count()
        };
        let counts = [100, 75, 50, 25, 0].map(noise);
        assert!(counts.is_sorted() && counts[0] == 0, "{counts:?}");
        assert!(counts[4] > 60 << 10, "{counts:?}");
    }
}
