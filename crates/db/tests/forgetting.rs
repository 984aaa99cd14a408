//! Keyspaces that forget: for age, and whole ranges at once.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use stratal::{Database, Executor, KeyspaceOptions};
use stratal_fs::MemFs;

#[test]
fn values_go_in_the_background_when_they_are_old_and_not_before() {
    let fs = Arc::new(MemFs::new());
    let open = || Database::builder("/db").fs(fs.clone()).open().unwrap();
    let ttl = Duration::from_millis(700);
    let db = open();
    let sessions = db.open_keyspace("default").unwrap();
    sessions.set_ttl(Some(ttl)).unwrap();
    let begin = Instant::now();
    for number in 0..100 {
        sessions.put(format!("{number:03}"), "1").unwrap();
    }
    sessions.flush().unwrap();
    while begin.elapsed() < ttl {
        // What is found was looked for in time; what is not must not have been.
        let found = sessions.len().unwrap();
        assert!(found == 100 || begin.elapsed() >= ttl, "{found} rows are left");
        thread::sleep(Duration::from_millis(20));
    }
    while !sessions.is_empty().unwrap() {
        assert!(begin.elapsed() < Duration::from_mins(1), "nothing goes");
        thread::sleep(Duration::from_millis(50));
    }
    drop(sessions);
    db.close().unwrap();
    let db = open();
    let sessions = db.open_keyspace("default").unwrap();
    assert_eq!(sessions.ttl(), Some(ttl), "it is kept with the keyspace");
    assert!(sessions.set_ttl(Some(Duration::ZERO)).is_err());
    sessions.set_ttl(None).unwrap();
    assert_eq!(sessions.ttl(), None);
    drop(sessions);
    db.close().unwrap();
}

#[test]
fn a_keyspace_may_be_made_with_a_ttl() {
    let fs = Arc::new(MemFs::new());
    let open = || Database::builder("/db").fs(fs.clone()).executor(Executor::Inline).open();
    let (hour, day) = (Duration::from_hours(1), Duration::from_hours(24));
    let with = |ttl| KeyspaceOptions { ttl, ..KeyspaceOptions::default() };
    let db = open().unwrap();
    assert!(db.keyspace("sessions", with(Some(Duration::ZERO))).is_err());
    assert!(db.open_keyspace("sessions").is_err(), "nothing was made");
    assert_eq!(db.keyspace("sessions", with(Some(hour))).unwrap().ttl(), Some(hour));
    db.close().unwrap();
    let db = open().unwrap();
    assert_eq!(db.keyspace("sessions", with(None)).unwrap().info().ttl, Some(hour));
    assert_eq!(db.keyspace("sessions", with(Some(day))).unwrap().ttl(), Some(day));
    assert_eq!(db.keyspace("other", with(None)).unwrap().ttl(), None);
    db.close().unwrap();
}

#[test]
fn the_space_of_a_range_is_back_when_it_was_dropped() {
    let fs = Arc::new(MemFs::new());
    let open =
        || Database::builder("/db").fs(fs.clone()).executor(Executor::Inline).open().unwrap();
    let db = open();
    let events = db.open_keyspace("default").unwrap();
    for year in [2022, 2023, 2024] {
        for number in 0..500 {
            events.put(format!("{year}-{number:04}"), [7; 100]).unwrap();
        }
        events.flush().unwrap();
    }
    let len = || events.stats().levels.iter().map(|level| level.len).sum::<u64>();
    let before = len();
    let snapshot = db.snapshot();
    events.drop_range("2023", "2024").unwrap();
    assert!(len() >= before, "somebody reads it");
    assert_eq!(events.range_at::<&[u8]>(.., &snapshot).unwrap().count(), 1500);
    assert_eq!(events.len().unwrap(), 1000);
    drop(snapshot);
    events.drop_range("2022", "2023").unwrap();
    assert!(len() < before / 2, "{} of {before} bytes are left", len());
    assert_eq!(events.len().unwrap(), 500);
    drop(events);
    db.close().unwrap();
    let db = open();
    let events = db.open_keyspace("default").unwrap();
    assert_eq!(events.len().unwrap(), 500);
    assert_eq!(events.get("2023-0001").unwrap(), None);
    drop(events);
    db.close().unwrap();
}
