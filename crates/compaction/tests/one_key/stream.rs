//! The crate's stream as a compactor of the model.

use stratal_compaction::{
    SpanSet,
    gc::{CompactionFilter, GcContext, GcStream, JobTombstones, Verdict},
};
use stratal_testkit::Rng;
use stratal_types::{
    Bytewise, EntryKind, EntryRef, Fragments, KeyRange, RangeTombstone, SeqNo, Trailer,
};

use crate::{
    model::{Compactor, Facts, Judged, Source, Version},
    rules::Rules,
    support::{Append, Itself, Row, RowCursor, sort, unlike},
};

const KEY: &[u8] = b"k";

/// What a job brings along beside the facts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means {
    operator: bool,
    composes: bool,
    values: bool,
    chain_len_max: usize,
    filter: Filter,
}

/// What the job's filter says of every value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    None,
    Remove,
    /// Where that is legal, else nothing.
    WeakRemove,
    Replace,
    Destroy,
}

impl Filter {
    pub(crate) const ALL: [Self; 5] =
        [Self::None, Self::Remove, Self::WeakRemove, Self::Replace, Self::Destroy];
}

impl Means {
    /// Everything that the plain rules assume.
    pub(crate) const AS_THE_RULES: Self = Self {
        operator: true,
        composes: false,
        values: true,
        chain_len_max: usize::MAX,
        filter: Filter::None,
    };

    /// Operands compose.
    pub(crate) const COMPOSING: Self = Self { composes: true, ..Self::AS_THE_RULES };

    /// Operands compose two at once.
    pub(crate) const IN_PIECES: Self = Self { chain_len_max: 20, ..Self::COMPOSING };

    /// Nothing folds.
    pub(crate) const WITHOUT_OPERATOR: Self = Self { operator: false, ..Self::AS_THE_RULES };

    /// Everything that the plain rules assume, and a filter.
    pub(crate) const fn filtering(filter: Filter) -> Self {
        Self { filter, ..Self::AS_THE_RULES }
    }

    fn random(rng: &mut Rng) -> Self {
        Self {
            filter: if rng.chance(1, 2) { *rng.choose(&Filter::ALL) } else { Filter::None },
            operator: rng.chance(7, 8),
            composes: rng.chance(1, 2),
            values: rng.chance(1, 2),
            chain_len_max: *rng.choose(&[0, 20, 50, usize::MAX]),
        }
    }
}

/// Merges through [`GcStream`] and compares with the plain rules, entry for entry.
#[derive(Debug, Default)]
pub(crate) struct LikeTheRules;

impl Compactor for LikeTheRules {
    fn compact(&mut self, inputs: &[Source], facts: Facts) -> Source {
        let (output, _) = stream(inputs, facts, Means::AS_THE_RULES);
        let mut expected = Rules::default().compact(inputs, facts);
        expected.fragments.sort_by(|a, b| b.cmp(a));
        assert_eq!(output, expected, "{inputs:#?} {facts:?}");
        output
    }
}

/// Merges through [`GcStream`] with these means.
#[derive(Debug)]
pub(crate) struct With {
    means: Means,
    judged: Option<Judged>,
}

impl With {
    pub(crate) fn new(means: Means) -> Self {
        Self { means, judged: None }
    }
}

impl Compactor for With {
    fn compact(&mut self, inputs: &[Source], facts: Facts) -> Source {
        let (output, judged) = stream(inputs, facts, self.means);
        self.judged = judged;
        output
    }

    fn judged(&mut self) -> Option<Judged> {
        self.judged.take()
    }
}

/// Merges through [`GcStream`], every time with other means.
#[derive(Debug)]
pub(crate) struct AnyMeans {
    rng: Rng,
    judged: Option<Judged>,
    /// How often filters were asked and did something.
    pub(crate) judgements: u64,
}

impl AnyMeans {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), judged: None, judgements: 0 }
    }
}

impl Compactor for AnyMeans {
    fn compact(&mut self, inputs: &[Source], facts: Facts) -> Source {
        let (output, judged) = stream(inputs, facts, Means::random(&mut self.rng));
        self.judgements += u64::from(judged.is_some());
        self.judged = judged;
        output
    }

    fn judged(&mut self) -> Option<Judged> {
        self.judged.take()
    }
}

fn seqno(number: u64) -> SeqNo {
    SeqNo::new(number).unwrap()
}

/// Judges every value alike, and remembers it.
struct Judge {
    filter: Filter,
    facts: Facts,
    judged: Option<Judged>,
}

impl CompactionFilter for Judge {
    fn judge(&mut self, entry: EntryRef<'_>) -> Verdict {
        assert_eq!((entry.key, self.judged.is_some()), (KEY, false), "a key is asked about once");
        assert!(entry.kind().is_value() && entry.seqno().get() < self.facts.watermark);
        let last = *entry.value.last().unwrap();
        let seqno = u64::from(last & 0x7f);
        let mut value = None;
        let verdict = match self.filter {
            Filter::None => return Verdict::Keep,
            Filter::Remove => Verdict::Remove,
            Filter::WeakRemove if (self.facts.weakly >> seqno) & 1 == 0 => return Verdict::Keep,
            Filter::WeakRemove => Verdict::WeakRemove,
            Filter::Destroy => Verdict::Destroy,
            Filter::Replace => Verdict::Replace(value.insert(vec![b'r', last]).clone()),
        };
        self.judged = Some(Judged { seqno, value });
        verdict
    }
}

fn stream(inputs: &[Source], facts: Facts, means: Means) -> (Source, Option<Judged>) {
    let versions = inputs.iter().flat_map(|source| &source.versions);
    let mut rows: Vec<Row> = versions
        .map(|version| Row {
            key: KEY.to_vec(),
            trailer: Trailer::new(seqno(version.seqno), version.kind),
            value: version.value.clone(),
        })
        .collect();
    sort(&mut rows, &Bytewise);

    let numbers = inputs.iter().flat_map(|source| &source.fragments);
    let fragments: Vec<_> =
        numbers.map(|number| RangeTombstone::new("a", "z", seqno(*number))).collect();
    let key = |key: &[u8]| SpanSet::of([KeyRange::closed(key, key)], &Bytewise);
    let older = match facts {
        Facts { nothing_older: false, .. } => key(KEY),
        Facts { fragments_go: false, .. } => key(b"b"),
        _ => SpanSet::default(),
    };
    let elsewhere = if facts.fragment_above { key(KEY) } else { SpanSet::default() };
    let watermark = seqno(facts.watermark);
    let fragments = Fragments::build(&fragments, &Bytewise);
    let tombstones = JobTombstones::new(fragments, watermark, &older, &Bytewise);
    let operator = Append { composes: means.composes };
    let context = GcContext {
        covered_elsewhere: Some(&elsewhere),
        operator: if means.operator { Some(&operator) } else { None },
        values: if means.values { Some(&Itself) } else { None },
        chain_len_max: means.chain_len_max,
        ..GcContext::new(&Bytewise, watermark, &tombstones, &older)
    };

    let mut departed: Vec<Vec<u8>> = Vec::new();
    let mut depart = |key: &[u8], pointer: &[u8]| {
        assert_eq!(key, KEY);
        departed.push(pointer.to_vec());
    };
    let mut judge = Judge { filter: means.filter, facts, judged: None };
    let stream = GcStream::new(RowCursor::new(&rows), context, &mut depart);
    let mut stream = stream.with_filter(&mut judge).with_digests();
    let mut output: Vec<Row> = Vec::new();
    stream.advance().unwrap();
    while let Some(entry) = stream.entry() {
        // What passes keeps its digest, and only that has one.
        if let Some(digest) = stream.digest() {
            assert_eq!(digest, unlike(entry));
            assert!(rows.iter().any(|row| row.value == entry.value), "{entry:?} of {rows:?}");
        } else {
            // What is made may be what was there: a value replaced by itself, an operand composed alone.
            let is_made_again = means.filter == Filter::Replace
                || entry.kind() == EntryKind::Merge && means.chain_len_max < usize::MAX;
            let is_as_it_was = rows.contains(&entry.into());
            assert!(!is_as_it_was || is_made_again, "{entry:?} lost its digest");
        }
        output.push(entry.into());
        stream.advance().unwrap();
    }
    let summary = stream.finish().expect("the stream ended");
    assert_eq!(summary.entries_in, rows.len() as u64);
    assert_eq!(summary.entries_out, output.len() as u64);
    assert!(output.is_sorted_by(|newer, older| newer.trailer > older.trailer));

    // Every pointer either comes out again or departs, once.
    let pointers = |rows: &[Row]| -> Vec<Vec<u8>> {
        let pointers = rows.iter().filter(|row| row.trailer.kind().is_pointer());
        pointers.map(|row| row.value.clone()).collect()
    };
    let mut accounted = [pointers(&output), departed].concat();
    let mut given = pointers(&rows);
    accounted.sort();
    given.sort();
    assert_eq!(accounted, given);

    let covering = tombstones.kept().iter().map(|fragment| fragment.seqno);
    let source = Source {
        versions: output
            .into_iter()
            .map(|row| Version {
                seqno: row.trailer.seqno().get(),
                kind: row.trailer.kind(),
                value: row.value,
            })
            .collect(),
        fragments: covering.map(SeqNo::get).collect(),
    };
    (source, judge.judged)
}
