use core::fmt;

/// Which twins run: a promise that this processor can.
///
/// One byte, copied freely. Whoever searches often detects once and keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Simd(pub(crate) Level);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// F and BW, and BMI2 for the masks.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

#[cfg(target_arch = "x86_64")]
cpufeatures::new!(has_avx2, "avx2", "popcnt");
#[cfg(target_arch = "x86_64")]
cpufeatures::new!(has_avx512, "avx512f", "avx512bw", "bmi2", "popcnt");

impl Simd {
    /// The portable twins, which run everywhere.
    pub const PORTABLE: Self = Self(Level::Portable);

    /// The best that this processor has. Asks it once per process; later calls take a nanosecond or
    /// two.
    #[inline]
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if has_avx512::get() {
                return Self(Level::Avx512);
            }
            if has_avx2::get() {
                return Self(Level::Avx2);
            }
        }
        Self::PORTABLE
    }

    /// All that this processor has, the portable one first: what a test compares.
    pub fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let vectors = [
            has_avx2::get().then_some(Self(Level::Avx2)),
            has_avx512::get().then_some(Self(Level::Avx512)),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let vectors = [None];
        core::iter::once(Self::PORTABLE).chain(vectors.into_iter().flatten())
    }

    /// `portable`, `avx2` or `avx512`.
    pub const fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
        }
    }
}

impl Default for Simd {
    fn default() -> Self {
        Self::detect()
    }
}

impl fmt::Debug for Simd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
