//! The rules as plainly as they can be written, over the collected versions of one key, and the
//! simpler forms of them that lose data.

use stratal_types::EntryKind;

use crate::model::{Compactor, Facts, Source, Version};

/// A form of the rules that looks right and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Simpler {
    /// Rule 0: fragments are applied to what the other rules left, not first.
    FragmentsLast,
    /// Rule 1: any version with another below the watermark under it counts as replaced.
    NewestBelowIsLost,
    /// Rule 1: only the newest below the watermark stays, also when it is an operand.
    ChainsAreCut,
    /// Rule 2: a delete below the watermark goes with what it hides, whatever may lie deeper.
    DeletesGoAnywhere,
    /// Rule 3: puts do not remember that a delete was dropped under them.
    NoMarks,
    /// Rule 3: a weak delete takes everything older of its key along, not only the one put.
    WeakDeletesTakeAll,
    /// Rule 4: operands without a base fold onto nothing, whatever may lie deeper.
    FoldsOntoNothing,
    /// Rule 7: a number is zeroed although a fragment covers the key.
    ZeroesUnderFragments,
    /// Rule 0: a fragment hides also versions of its own number.
    FragmentsHideEquals,
}

/// The rules, or a simpler form of one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) simpler: Option<Simpler>,
}

impl Rules {
    fn is(self, simpler: Simpler) -> bool {
        self.simpler == Some(simpler)
    }
}

impl Compactor for Rules {
    fn compact(&mut self, inputs: &[Source], facts: Facts) -> Source {
        let mut versions: Vec<Version> =
            inputs.iter().flat_map(|source| source.versions.iter().cloned()).collect();
        versions.sort_by_key(|version| std::cmp::Reverse(version.seqno));
        let fragments = || inputs.iter().flat_map(|source| source.fragments.iter().copied());
        let cover = fragments().filter(|seqno| *seqno < facts.watermark).max();

        let at = versions.partition_point(|version| version.seqno >= facts.watermark);
        let mut below = versions.split_off(at);
        let mut kept = versions;
        let hides_equals = self.is(Simpler::FragmentsHideEquals);
        let covered = |version: &Version| {
            cover.is_some_and(|cover| {
                cover > version.seqno || hides_equals && cover == version.seqno
            })
        };
        let fragments_first = !self.is(Simpler::FragmentsLast);
        if fragments_first {
            below.retain(|version| !covered(version));
        }
        if self.is(Simpler::NewestBelowIsLost) && !kept.is_empty() {
            below.clear();
        }
        if self.is(Simpler::ChainsAreCut) {
            below.truncate(1);
        }

        let mut left: Vec<u64> = fragments().filter(|seqno| *seqno >= facts.watermark).collect();
        left.extend(cover.filter(|_| !facts.fragments_go));

        let onto_nothing = facts.nothing_older || (cover.is_some() && fragments_first);
        let mut judged = self.judge(below, facts.nothing_older, onto_nothing);
        if !fragments_first {
            judged.retain(|version| !covered(version));
        }
        let covered_somewhere = facts.fragment_above || !left.is_empty();
        let may_zero = !covered_somewhere || self.is(Simpler::ZeroesUnderFragments);
        if let [only] = judged.as_mut_slice()
            && facts.nothing_older
            && only.kind.is_value()
            && may_zero
        {
            only.seqno = 0;
        }
        kept.extend(judged);
        Source { versions: kept, fragments: left }
    }
}

impl Rules {
    /// Rules 1 to 4 over the versions below the watermark that no fragment hides, newest first.
    fn judge(
        self,
        mut below: Vec<Version>,
        nothing_older: bool,
        onto_nothing: bool,
    ) -> Vec<Version> {
        let marked = |lost: &[Version]| {
            let counts = |version: &Version| {
                version.kind.is_delete()
                    || version.kind == EntryKind::PutOverDelete
                    || version.kind == EntryKind::ValuePointerOverDelete
            };
            lost.iter().any(counts) && !nothing_older && !self.is(Simpler::NoMarks)
        };
        let put = |mark| if mark { EntryKind::PutOverDelete } else { EntryKind::Put };
        let pointer = |mark| {
            if mark { EntryKind::ValuePointerOverDelete } else { EntryKind::ValuePointer }
        };
        loop {
            let Some(head) = below.first().cloned() else { return Vec::new() };
            match head.kind {
                EntryKind::Put | EntryKind::PutOverDelete => {
                    return vec![Version { kind: put(marked(&below)), ..head }];
                }
                EntryKind::ValuePointer | EntryKind::ValuePointerOverDelete => {
                    return vec![Version { kind: pointer(marked(&below)), ..head }];
                }
                EntryKind::Delete => {
                    let goes = nothing_older || self.is(Simpler::DeletesGoAnywhere);
                    return if goes { Vec::new() } else { vec![head] };
                }
                EntryKind::WeakDelete => match below.get(1).map(|under| under.kind) {
                    None if nothing_older => return Vec::new(),
                    None => return vec![head],
                    Some(EntryKind::Put | EntryKind::ValuePointer) => {
                        if self.is(Simpler::WeakDeletesTakeAll) {
                            return Vec::new();
                        }
                        below.drain(..2);
                    }
                    Some(_) if nothing_older => return Vec::new(),
                    Some(_) => {
                        let marks = !self.is(Simpler::NoMarks);
                        let kind = if marks { EntryKind::Delete } else { EntryKind::WeakDelete };
                        return vec![Version { kind, ..head }];
                    }
                },
                EntryKind::Merge => {
                    let is_operand = |version: &&Version| version.kind == EntryKind::Merge;
                    let operands = below.iter().take_while(is_operand).count();
                    let base = below.get(operands);
                    let proven = base.is_some() || onto_nothing;
                    if !proven && !self.is(Simpler::FoldsOntoNothing) {
                        return below;
                    }
                    let value = base.filter(|base| base.kind.is_value());
                    let mut value = value.map_or_else(Vec::new, |base| base.value.clone());
                    let folded = below[..operands].iter().rev();
                    folded.for_each(|operand| value.extend_from_slice(&operand.value));
                    let kind = put(marked(&below[operands..]));
                    return vec![Version { seqno: head.seqno, kind, value }];
                }
                other => panic!("the model knows no {other}"),
            }
        }
    }
}
