//! Rows like the places the project bundles, but more of them.
//!
//! A new place has the country and region of one place, a name made of the first half of that name
//! and the second half of another's of the same country, and numbers near those of the first. So
//! lengths, alphabets and what neighbours have in common stay as they are, and names repeat seldom.
use std::{collections::BTreeMap, collections::HashMap, fs};

use pb_core::data::Rng;
use pb_tables::{Res, RowsBuilder};

use crate::probed;

const BUNDLED: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../../crates/cli/data/cities15000.tsv.zst");

/// What is taken over of a bundled place.
struct Place {
    country: String,
    region: String,
    name: String,
    latitude: f64,
    longitude: f64,
    population: u64,
    /// The value from the time zone to its end.
    tail: String,
}

pub fn fill(n: usize, builder: &mut RowsBuilder) -> Res<()> {
    let places = bundled()?;
    let mut by_country: HashMap<&str, Vec<usize>> = HashMap::new();
    for (i, place) in places.iter().enumerate() {
        by_country.entry(&place.country).or_default().push(i);
    }
    let mut rng = Rng::new(5);
    let mut rows = BTreeMap::new();
    // Ids as they are given out: ascending with gaps, in no order of place.
    let mut id = 200_000;
    while rows.len() < n {
        id += 1 + rng.below(22);
        let place = &places[rng.below(places.len() as u64) as usize];
        let peers = &by_country[place.country.as_str()];
        let other = &places[peers[rng.below(peers.len() as u64) as usize]];
        let name = format!("{}{}", halves(&place.name).0, halves(&other.name).1);
        let key = format!("{}/{}/{name}/{id}", place.country, place.region);
        rows.insert(key.into_bytes(), value(place, &name, id, &mut rng).into_bytes());
    }
    let keys: Vec<&Vec<u8>> = rows.keys().collect();
    for (key, value) in &rows {
        builder.row(key, value)?;
    }
    for row in probed(n) {
        // Another id under the name of a place that is there.
        let mut absent = keys[rng.below(n as u64) as usize].clone();
        let last = absent.len() - 1;
        absent[last] = b'0' + (absent[last] - b'0' + 1 + rng.below(9) as u8) % 10;
        while rows.contains_key(&absent) {
            absent.push(b'7');
        }
        builder.probe(row, &absent)?;
    }
    Ok(())
}

fn value(place: &Place, name: &str, id: u64, rng: &mut Rng) -> String {
    let near = |at: f64, rng: &mut Rng| at + (rng.below(100_000) as f64 - 50_000.0) / 100_000.0;
    let (latitude, longitude) = (near(place.latitude, rng), near(place.longitude, rng));
    let population = place.population / 2 + rng.below(place.population.max(1));
    format!(
        "{{\"geonameid\":{id},\"name\":\"{name}\",\"latitude\":{latitude:.5},\"longitude\":{longitude:.5},\
         \"countrycode\":\"{}\",\"population\":{population},{}",
        place.country, place.tail
    )
}

/// A name in two, between characters.
fn halves(name: &str) -> (&str, &str) {
    let middle = name.char_indices().map(|(at, _)| at).find(|at| 2 * at >= name.len());
    name.split_at(middle.unwrap_or(name.len()))
}

fn bundled() -> Res<Vec<Place>> {
    let plain = String::from_utf8(zstd::decode_all(&fs::read(BUNDLED)?[..])?)?;
    plain
        .lines()
        .map(|line| parse(line).ok_or_else(|| format!("not a place: {line}").into()))
        .collect()
}

fn parse(line: &str) -> Option<Place> {
    let (key, value) = line.split_once('\t')?;
    let mut parts = key.splitn(3, '/');
    let (country, region) = (parts.next()?, parts.next()?);
    let name = parts.next()?.rsplit_once('/')?.0;
    let number = |field: &str| value.split_once(field)?.1.split(',').next();
    Some(Place {
        country: country.into(),
        region: region.into(),
        name: name.into(),
        latitude: number("\"latitude\":")?.parse().ok()?,
        longitude: number("\"longitude\":")?.parse().ok()?,
        population: number("\"population\":")?.parse().ok()?,
        tail: value[value.find("\"timezone\"")?..].into(),
    })
}
