//! Whether wrong answers are noticed.
use super::*;
use crate::RowsBuilder;

/// A table that is a file of rows, and tells one kind of lie.
struct Told<const LIE: u8>(Rows);

const TRUTH: u8 = 0;
const LOSES_A_ROW: u8 = 1;
const LOSES_A_ROW_BACKWARD: u8 = 2;
const LOSES_A_ROW_ONCE: u8 = 3;
const ANSWERS_WITH_ANOTHER: u8 = 4;
const FINDS_EVERYTHING: u8 = 5;
const SEEKS_BEYOND: u8 = 6;
const MIXES_ANSWERS: u8 = 7;

impl<const LIE: u8> Told<LIE> {
    fn find(&self, key: &[u8]) -> Result<usize, usize> {
        let at = (0..self.0.len()).position(|i| self.0.row(i).0 >= key);
        let at = at.unwrap_or(self.0.len());
        if at < self.0.len() && self.0.row(at).0 == key { Ok(at) } else { Err(at) }
    }
}

impl<const LIE: u8> Table for Told<LIE> {
    const NAME: &'static str = "told";
    const VERSION: &'static str = "0";
    const COMPS: &'static [Comp] = &[Comp::None];
    const MULTI_GET: bool = true;
    type Cache = ();
    type Seeker<'a> = &'a Self;

    fn cache(_: u64) {}
    fn write<'a>(
        path: &Path,
        _: u64,
        _: Comp,
        rows: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Res<()> {
        let mut builder = RowsBuilder::default();
        for (key, value) in rows {
            builder.row(key, value)?;
        }
        builder.save(path)?;
        Ok(())
    }
    fn open(path: &Path, _: u64, _: &()) -> Res<Self> {
        Ok(Self(Rows::load(path)?))
    }
    fn get<R>(&self, key: &[u8], f: impl FnOnce(&[u8]) -> R) -> Res<Option<R>> {
        Ok(match (LIE, self.find(key)) {
            (ANSWERS_WITH_ANOTHER, Ok(i)) => Some(f(self.0.row((i + 1) % self.0.len()).1)),
            (FINDS_EVERYTHING, Err(_)) => Some(f(b"")),
            (_, found) => found.ok().map(|i| f(self.0.row(i).1)),
        })
    }
    fn seeker(&self) -> &Self {
        self
    }
    fn seek<R>(table: &mut &Self, key: &[u8], f: impl FnOnce(&[u8], &[u8]) -> R) -> Res<Option<R>> {
        let i = table.find(key).unwrap_or_else(|i| i) + usize::from(LIE == SEEKS_BEYOND);
        Ok((i < table.0.len()).then(|| table.0.row(i)).map(|(key, value)| f(key, value)))
    }
    fn forward(&self, f: &mut impl FnMut(&[u8], &[u8])) -> Res<()> {
        let lost = usize::from(LIE == LOSES_A_ROW);
        (0..self.0.len() - lost).map(|i| self.0.row(i)).for_each(|(key, value)| f(key, value));
        Ok(())
    }
    fn backward(&self, f: &mut impl FnMut(&[u8], &[u8])) -> Res<()> {
        let lost = usize::from(LIE == LOSES_A_ROW_BACKWARD);
        (lost..self.0.len()).rev().map(|i| self.0.row(i)).for_each(|(key, value)| f(key, value));
        Ok(())
    }
    fn forward_once(&self, f: &mut impl FnMut(&[u8], &[u8])) -> Res<()> {
        let lost = usize::from(LIE == LOSES_A_ROW_ONCE);
        (lost..self.0.len()).map(|i| self.0.row(i)).for_each(|(key, value)| f(key, value));
        Ok(())
    }
    fn multi_get(&self, keys: &[&[u8]], f: &mut impl FnMut(usize, Option<&[u8]>)) -> Res<()> {
        for i in 0..keys.len() {
            let asked = keys[(i + usize::from(LIE == MIXES_ANSWERS)) % keys.len()];
            f(i, self.find(asked).ok().map(|row| self.0.row(row).1));
        }
        Ok(())
    }
}

/// How many wrong answers a whole run counts.
fn wrong<const LIE: u8>() -> u64 {
    let dir = env::temp_dir().join(format!("pb-tables-{LIE}-{}", process::id()));
    fs::create_dir_all(&dir).unwrap();
    let mut builder = RowsBuilder::default();
    let rows: Vec<_> = (0..64).map(|i| (format!("key{i:03}"), format!("{i:030}"))).collect();
    for (key, value) in &rows {
        builder.row(key.as_bytes(), value.as_bytes()).unwrap();
    }
    for i in 0..64 {
        builder.probe(i * 29 % 64, format!("key{i:03}?").as_bytes()).unwrap();
    }
    let path = dir.join("told.rows");
    builder.save(&path).unwrap();
    let mut run = Run::<Told<LIE>> {
        rows: Rows::load(&path).unwrap(),
        dir: dir.clone(),
        comp: Comp::None,
        cache: 0,
        small: 0,
        tables: 4,
        head: String::new(),
        bad: 0,
        files: 0,
        table: None,
    };
    run.all().unwrap();
    fs::remove_dir_all(dir).unwrap();
    run.bad
}

#[test]
fn whoever_tells_the_truth_is_believed() {
    assert_eq!(wrong::<TRUTH>(), 0);
}

#[test]
fn every_kind_of_lie_is_counted() {
    assert_ne!(wrong::<LOSES_A_ROW>(), 0);
    assert_ne!(wrong::<LOSES_A_ROW_BACKWARD>(), 0);
    assert_ne!(wrong::<LOSES_A_ROW_ONCE>(), 0);
    assert_ne!(wrong::<ANSWERS_WITH_ANOTHER>(), 0);
    assert_ne!(wrong::<FINDS_EVERYTHING>(), 0);
    assert_ne!(wrong::<SEEKS_BEYOND>(), 0);
    assert_ne!(wrong::<MIXES_ANSWERS>(), 0);
}
