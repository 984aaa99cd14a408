//! The manifest's words for the same things.

use stratal_manifest::{TableMeta, TreeVersion};
use stratal_types::SeqNo;

use super::{Place, Run, Shape, Table};

impl From<&TreeVersion> for Shape {
    /// What the version says. That is no running jobs, nothing quarantined, an
    /// unknown watermark and no time: those the caller fills in. O(tables).
    fn from(version: &TreeVersion) -> Self {
        let run = |run: &stratal_manifest::Run| Run {
            age: run.age,
            tables: run.tables.iter().map(|table| Table::from(&**table)).collect(),
        };
        let levels = version.levels.iter().map(|level| level.runs.iter().map(run).collect());
        Self {
            levels: levels.collect(),
            claims: Vec::new(),
            quarantined: Vec::new(),
            watermark: SeqNo::ZERO,
            dead: SeqNo::ZERO,
            stale: SeqNo::ZERO,
            refuse_below: SeqNo::ZERO,
            now_ms: 0,
        }
    }
}

impl From<&TableMeta> for Table {
    /// A table that no job takes. Its numbers are those a reader sees.
    fn from(meta: &TableMeta) -> Self {
        Self {
            number: meta.number,
            span: meta.span.clone(),
            len: meta.file_len,
            seqnos: (meta.seqno_overlay.unwrap_or(meta.seqno_min), meta.visible_seqno_max()),
            entries: meta.entries,
            deletes: meta.deletes,
            tombstones: meta.range_tombstones,
            created_at_ms: meta.created_at_ms,
            expired_at: meta.expired_at,
            judged_to: meta.judged_to.unwrap_or(SeqNo::ZERO),
            busy: meta.expired_at.is_some(),
        }
    }
}

impl From<stratal_manifest::Place> for Place {
    fn from(place: stratal_manifest::Place) -> Self {
        Self { level: usize::try_from(place.level).unwrap_or(usize::MAX), age: place.age }
    }
}

impl From<Place> for stratal_manifest::Place {
    fn from(place: Place) -> Self {
        Self { level: u32::try_from(place.level).unwrap_or(u32::MAX), age: place.age }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stratal_manifest::{Level, TreeId};
    use stratal_types::{Bytewise, KeyRange};

    use super::*;

    #[test]
    fn a_version_has_the_shape_of_its_levels() {
        let meta = |number, from: &str, to: &str, seqno_overlay: Option<SeqNo>| {
            Arc::new(TableMeta {
                number,
                file_len: 100 * number,
                span: KeyRange::closed(from, to),
                seqno_min: 3u32.into(),
                seqno_max: 9u32.into(),
                entries: 20,
                deletes: 4,
                range_tombstones: 1,
                seqno_overlay,
                ..TableMeta::default()
            })
        };
        let run =
            |age, tables: &[Arc<TableMeta>]| stratal_manifest::Run { age, tables: tables.into() };
        let newer = run(8, &[meta(4, "a", "m", None)]);
        let older = run(5, &[meta(2, "a", "c", Some(7u32.into())), meta(3, "d", "e", None)]);
        let last = run(1, &[meta(1, "b", "z", None)]);
        let version = TreeVersion {
            id: TreeId(1),
            name: "t".into(),
            comparator: Arc::new(Bytewise),
            options: Arc::new([]),
            flushed: 10u32.into(),
            levels: vec![
                Level { runs: vec![newer, older] },
                Level::default(),
                Level { runs: vec![last] },
            ],
        };
        let shape = Shape::from(&version);
        shape.check(&Bytewise).unwrap();
        let places: Vec<_> =
            shape.tables().map(|(place, table)| (place.level, place.age, table.number)).collect();
        assert_eq!(places, [(0, 8, 4), (0, 5, 2), (0, 5, 3), (2, 1, 1)]);
        let same = version.tables().map(|(place, _)| Place::from(place));
        assert!(same.eq(shape.tables().map(|(place, _)| place)));
        let ingested = &shape.levels[0][1].tables[0];
        assert_eq!(ingested.seqnos, (7u32.into(), 7u32.into()));
        assert_eq!((ingested.len, ingested.entries, ingested.deletes), (200, 20, 4));
        let place = Place { level: 2, age: 1 };
        assert_eq!(Place::from(stratal_manifest::Place::from(place)), place);
    }
}
