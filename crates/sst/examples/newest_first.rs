//! An order of one's own, and a filter over prefixes: readings of sensors, the newest of each first.
//!
//! A key is the sensor (2 bytes) and the time (8 bytes), both big-endian. Sensors ascend and times
//! descend, so that the latest reading of a sensor is the first row of its prefix.
#![allow(clippy::big_endian_bytes, reason = "keys whose order is that of the numbers")]

use std::{cmp::Ordering, error::Error, ops::Bound, sync::Arc};

use bytes::Bytes;
use stratal_sst::{FilterMembership, Table, TableContext, TableOptions, TableWriter};
use stratal_types::{Comparator, FileUid, FixedPrefix, PrefixRange};

const SENSOR_LEN: u16 = 2;
const TIME_LEN: usize = 8;

#[derive(Debug)]
struct NewestFirst;

impl NewestFirst {
    fn split(key: &[u8]) -> (&[u8], &[u8]) {
        key.split_at(key.len().min(SENSOR_LEN.into()))
    }
}

impl Comparator for NewestFirst {
    /// Stored in the table: one that is opened under another order is refused.
    fn name(&self) -> &'static str {
        "example.newest-first"
    }

    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        let ((a_sensor, a_time), (b_sensor, b_time)) = (Self::split(a), Self::split(b));
        a_sensor.cmp(b_sensor).then_with(|| b_time.cmp(a_time))
    }

    /// Without this, a scan of a prefix would look at every row.
    fn prefix_range(&self, prefix: &[u8]) -> PrefixRange {
        let at = |byte| Bound::Included([prefix, &[byte; TIME_LEN]].concat());
        if prefix.len() == usize::from(SENSOR_LEN) {
            return PrefixRange { start: at(0xff), end: at(0x00), exact: false };
        }
        PrefixRange { start: Bound::Unbounded, end: Bound::Unbounded, exact: prefix.is_empty() }
    }
}

fn key(sensor: u16, time: u64) -> Vec<u8> {
    [&sensor.to_be_bytes()[..], &time.to_be_bytes()].concat()
}

fn main() -> Result<(), Box<dyn Error>> {
    let ctx = TableContext {
        comparator: Arc::new(NewestFirst),
        prefix_extractor: Some(Arc::new(FixedPrefix::new(SENSOR_LEN))),
        ..TableContext::default()
    };
    let options =
        TableOptions { filter_membership: FilterMembership::Prefixes, ..TableOptions::default() };
    let spec = Arc::new(options.validate()?);
    let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([1; 16]), spec)?;
    for sensor in (0..100).step_by(2) {
        for time in (0..500u64).rev() {
            writer.put(&key(sensor, time), format!("{} degrees", time % 30).as_bytes())?;
        }
    }
    let table = Table::open(&ctx, Arc::new(Bytes::from(writer.finish()?.sink)))?;

    let sensor = 42u16.to_be_bytes();
    let (latest, reading) = table.prefix(&sensor).next().ok_or("no reading")??;
    assert_eq!(latest, key(42, 499));
    println!("the latest reading of sensor 42 is {reading:?}");
    assert_eq!(table.prefix(&sensor).count(), 500);

    // Of sensors with odd numbers there is nothing, and the filter knows most of them.
    let odd = (1..100u16).step_by(2);
    let mut known = 0;
    for sensor in odd {
        known += usize::from(!table.may_contain_prefix(&sensor.to_be_bytes())?);
        assert_eq!(table.prefix(&sensor.to_be_bytes()).count(), 0);
    }
    println!("the filter alone answers for {known} of 50 sensors that are not there");
    assert!(known > 40);
    Ok(())
}

#[test]
fn it_runs() {
    main().unwrap();
}
