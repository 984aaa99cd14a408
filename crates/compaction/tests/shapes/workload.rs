use stratal_testkit::Rng;

/// What is inserted, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Cells drawn evenly from ten times as many as there are inserts: hardly one twice.
    Uniform,
    /// Cells drawn evenly from an eighth as many as there are inserts.
    Updates,
    /// Cells drawn by Zipf's law with exponent 0.99 from half as many as there are inserts, the
    /// popular ones anywhere.
    Zipf,
    /// Cells that ascend, now and then up to a buffer late.
    TimeSeries,
    /// As updates; every second one is a delete.
    Deletes,
}

impl Workload {
    pub(crate) const ALL: [Self; 5] =
        [Self::Uniform, Self::Updates, Self::Zipf, Self::TimeSeries, Self::Deletes];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Updates => "updates",
            Self::Zipf => "Zipf",
            Self::TimeSeries => "time series",
            Self::Deletes => "deletes",
        }
    }

    /// How many cells there are.
    pub(crate) fn cells(self, inserts: u64) -> u64 {
        match self {
            Self::Uniform => inserts * 10,
            Self::Updates | Self::Deletes => inserts / 8,
            Self::Zipf => inserts / 2,
            Self::TimeSeries => inserts,
        }
    }
}

/// Draws cells.
pub(crate) struct Source {
    workload: Workload,
    cells: u64,
    buffer_rows: u64,
    rng: Rng,
    drawn: u64,
    zipf: Zipf,
}

impl Source {
    pub(crate) fn new(workload: Workload, inserts: u64, buffer_rows: u64, seed: u64) -> Self {
        let cells = workload.cells(inserts);
        let zipf = Zipf::new(cells, 0.99);
        Self { workload, cells, buffer_rows, rng: Rng::new(seed), drawn: 0, zipf }
    }

    /// The next cell, and whether it is deleted.
    pub(crate) fn draw(&mut self) -> (u32, bool) {
        let at = self.drawn;
        self.drawn += 1;
        let cell = match self.workload {
            Workload::Uniform | Workload::Updates | Workload::Deletes => self.rng.below(self.cells),
            Workload::Zipf => {
                let rank = self.zipf.draw(&mut self.rng);
                // Popular cells lie anywhere: the factor is odd and not a factor of the number.
                (rank * 2_654_435_761) % self.cells
            }
            Workload::TimeSeries if self.rng.chance(1, 20) => {
                at.saturating_sub(self.rng.below(self.buffer_rows))
            }
            Workload::TimeSeries => at,
        };
        let is_delete = self.workload == Workload::Deletes && self.rng.chance(1, 2);
        (u32::try_from(cell).unwrap(), is_delete)
    }
}

/// Ranks 0 to n - 1, rank `r` with a probability that falls with `(r + 1)^-s`: by inverting the
/// integral of a density that lies above, and throwing away what is too much (Hörmann and Derflinger).
struct Zipf {
    count: f64,
    exponent: f64,
    area_first: f64,
    area_last: f64,
    shift: f64,
}

impl Zipf {
    fn new(count: u64, exponent: f64) -> Self {
        let mut zipf =
            Self { count: count as f64, exponent, area_first: 0.0, area_last: 0.0, shift: 0.0 };
        zipf.area_first = zipf.integral(1.5) - 1.0;
        zipf.area_last = zipf.integral(zipf.count + 0.5);
        zipf.shift = 2.0 - zipf.inverse(zipf.integral(2.5) - 2.0_f64.powf(-exponent));
        zipf
    }

    fn integral(&self, x: f64) -> f64 {
        let power = 1.0 - self.exponent;
        ((x.ln() * power).exp() - 1.0) / power
    }

    fn inverse(&self, area: f64) -> f64 {
        let power = 1.0 - self.exponent;
        ((area * power + 1.0).ln() / power).exp()
    }

    fn draw(&self, rng: &mut Rng) -> u64 {
        loop {
            let share = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
            let area = self.area_last + share * (self.area_first - self.area_last);
            let x = self.inverse(area);
            let rank = x.round().clamp(1.0, self.count);
            let is_below = rank - x <= self.shift
                || area >= self.integral(rank + 0.5) - (-rank.ln() * self.exponent).exp();
            if is_below {
                #[allow(clippy::cast_sign_loss, reason = "at least 1")]
                return rank as u64 - 1;
            }
        }
    }
}

#[test]
fn ranks_follow_zipfs_law() {
    let (zipf, mut rng) = (Zipf::new(1000, 0.99), Rng::new(1));
    let mut counts = vec![0_u32; 1000];
    for _ in 0..200_000 {
        counts[zipf.draw(&mut rng) as usize] += 1;
    }
    let sum: f64 = (1..=1000).map(|rank| f64::from(rank).powf(-0.99)).sum();
    for rank in [1_u32, 2, 3, 10, 100] {
        let expected = 200_000.0 * f64::from(rank).powf(-0.99) / sum;
        let got = f64::from(counts[rank as usize - 1]);
        assert!((got - expected).abs() < 5.0 * expected.sqrt() + 1.0, "{rank}: {got}, {expected}");
    }
}
