//! One contract, every file system: scripts with their outcomes, and random steps on which all must
//! agree.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use common::{Runner, Step, parse, read_up_to};
use proptest::{collection::vec, prelude::*, sample::select};
use stratal_fs::{
    Abandoned, Access, Fs, LockMode, MemFs, NewFile, ReadPart, SimFs, StdFs, create_dir_synced,
    read_to_vec, sync_dirs,
};
use stratal_testkit::{OneByteFs, Rng};
use tempfile::TempDir;

/// Every file system, with a directory in it that is empty.
fn everywhere(mut check: impl FnMut(&str, Arc<dyn Fs>, &Path)) {
    let temp = TempDir::new().unwrap();
    let root = Path::new("/");
    check("StdFs", Arc::new(StdFs), temp.path());
    check("MemFs", Arc::new(MemFs::new()), root);
    check("SimFs", Arc::new(SimFs::new(1)), root);
    let temp = TempDir::new().unwrap();
    check("OneByteFs(StdFs)", Arc::new(OneByteFs::new(Arc::new(StdFs), 3)), temp.path());
    check("OneByteFs(MemFs)", Arc::new(OneByteFs::new(Arc::new(MemFs::new()), 2)), root);
    check("OneByteFs(SimFs)", Arc::new(OneByteFs::new(Arc::new(SimFs::new(2)), 5)), root);
}

#[track_caller]
fn check(script: &str) {
    everywhere(|name, fs, root| {
        let mut runner = Runner::new(&fs, root);
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (step, expected) = line.split_once(" => ").unwrap_or((line, "ok"));
            let outcome = runner.run(&parse(step));
            if outcome == "Unsupported" {
                println!("{name}: this disk cannot: {step}");
                return;
            }
            assert_eq!(outcome, expected, "{name}: {step}");
        }
    });
}

#[test]
fn a_file_is_created_once_and_opened_if_it_is_there() {
    check(
        "
        create /a
        create /a => AlreadyExists
        len /b => NotFound
        create /no/a => NotFound
        len /no/a => NotFound
        mkdir /d
        create /d => AlreadyExists
        create /d/a
        create /d/a/b => NotADirectory
        stat /d => dir
        stat /d/a => 0 bytes, 1 names
        stat /d/b => NotFound
        ",
    );
}

#[test]
fn bytes_are_read_where_they_were_written() {
    check(
        r#"
        create /a
        len /a => 0
        read /a 0 10 => ""
        write /a 0 "hello"
        write /a 5 ""
        len /a => 5
        read /a 0 10 => "hello"
        read /a 3 1 => "l"
        read /a 3 0 => ""
        read /a 5 1 => ""
        read /a 99 1 => ""
        write /a 3 "p!!"
        read /a 0 10 => "help!!"
        write /a 8 "gap"
        read /a 0 20 => "help!!..gap"
        write /a 99 ""
        len /a => 11
        "#,
    );
}

#[test]
fn lengths_are_cut_grown_reserved_and_punched() {
    check(
        r#"
        create /a
        write /a 0 "0123456789"
        setlen /a 4
        read /a 0 10 => "0123"
        setlen /a 6
        read /a 0 10 => "0123.."
        allocate /a 0 3
        len /a => 6
        allocate /a 5 4
        read /a 0 10 => "0123....."
        allocate /a 100 0
        len /a => 9
        punch /a 1 2
        read /a 0 10 => "0..3....."
        punch /a 8 100
        len /a => 9
        punch /a 0 0
        setlen /a 0
        read /a 0 10 => ""
        write /a 0 "x"*9000
        punch /a 4000 4200
        setlen /a 8201
        read /a 8198 10 => "..x"
        read /a 3999 2 => "x."
        "#,
    );
}

#[test]
fn a_handle_for_reading_does_not_write() {
    everywhere(|name, fs, root| {
        drop(fs.create(&root.join("a")).unwrap());
        let file = fs.open(&root.join("a"), Access::Read).unwrap();
        assert!(file.write_all_at(b"x", 0).is_err(), "{name}");
        assert!(file.set_len(1).is_err(), "{name}");
        assert_eq!(file.len().unwrap(), 0, "{name}");
    });
}

#[test]
fn directories_are_listed_in_order_and_removed_when_empty() {
    check(
        r#"
        list / => nothing
        mkdir /d/e/f
        mkdir /d/e
        create /d/b
        write /d/b 0 "12"
        create /d/a
        create /d/a.b
        list /d => a:0 a.b:0 b:2 e/
        list / => d/
        list /d/e/f => nothing
        list /x => NotFound
        list /d/a => NotADirectory
        rmdir /d/e => DirectoryNotEmpty
        rmdir /d/e/f
        rmdir /d/e
        rmdir /d/e => NotFound
        rmdir /d/a => NotADirectory
        mkdir /d/a => AlreadyExists
        syncdir /d
        syncdir /x => NotFound
        list /d => a:0 a.b:0 b:2
        "#,
    );
}

#[test]
fn names_are_moved_linked_and_removed() {
    check(
        r#"
        create /a
        write /a 0 "A"
        create /b
        write /b 0 "BB"
        mv /a /c
        read /c 0 9 => "A"
        len /a => NotFound
        mv /c /b
        list / => b:1
        mv /x /y => NotFound
        mv /b /no/b => NotFound
        ln /b /c
        stat /b => 1 bytes, 2 names
        write /c 1 "+"
        read /b 0 9 => "A+"
        ln /b /c => AlreadyExists
        ln /x /y => NotFound
        mv /b /c
        list / => b:2 c:2
        rm /b
        stat /c => 2 bytes, 1 names
        rm /b => NotFound
        mkdir /d
        mv /c /d/c
        list / => d/
        "#,
    );
}

#[test]
fn a_removed_file_lives_as_long_as_its_handle() {
    check(
        r#"
        create /a
        write /a 0 "old"
        hold h /a rw
        rm /a
        create /a
        write /a 0 "new"
        write @h 3 "er"
        read @h 0 9 => "older"
        syncdir /
        read @h 0 9 => "older"
        read /a 0 9 => "new"
        drop h
        read /a 0 9 => "new"
        "#,
    );
}

#[test]
fn locks_exclude_other_handles_and_leave_the_file() {
    check(
        "
        lock a /LOCK exclusive
        lock b /LOCK exclusive => WouldBlock
        lock b /LOCK shared => WouldBlock
        lock c /OTHER exclusive
        unlock a
        lock a /LOCK shared
        lock b /LOCK shared
        lock d /LOCK exclusive => WouldBlock
        unlock a
        lock d /LOCK exclusive => WouldBlock
        unlock b
        lock d /LOCK exclusive
        unlock d
        list / => LOCK:0 OTHER:0
        ",
    );
}

#[test]
fn whole_files_are_read_up_to_a_limit() {
    everywhere(|name, fs, root| {
        let file = fs.create(&root.join("a")).unwrap();
        file.write_all_at(b"12345", 0).unwrap();
        assert_eq!(read_to_vec(&*file, 5).unwrap(), b"12345", "{name}");
        assert_eq!(read_to_vec(&*file, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let mut buf = [0; 6];
        let err = file.read_exact_at(&mut buf, 0).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::UnexpectedEof, "{name}");
        assert!(fs.available_space(root).unwrap() > 0, "{name}");
    });
}

#[test]
fn a_new_file_holds_what_was_written_whatever_the_portions() {
    everywhere(|name, fs, root| {
        let dir = root.join("x/y");
        create_dir_synced(&fs, &dir).unwrap();
        let mut rng = Rng::new(6);
        let bytes = rng.bytes(if name.starts_with("One") { 3_000 } else { 400_000 });
        let mut file = NewFile::create(&fs, dir.join("f")).unwrap();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let max = *rng.choose(&[1, 100, 5_000, 70_000]);
            let (portion, behind) = rest.split_at(rest.len().min(1 + rng.index(max)));
            file.write_all(portion).unwrap();
            rest = behind;
            assert_eq!(file.len(), (bytes.len() - rest.len()) as u64);
            if rng.chance(1, 20) {
                file.sync().unwrap();
            }
        }
        let files = vec![file.finish().unwrap().map(|()| 7)];
        let [synced] = sync_dirs(&fs, files).unwrap().try_into().unwrap();
        assert_eq!((*synced, synced.len()), (7, bytes.len() as u64), "{name}");
        let file = fs.open(synced.path(), Access::Read).unwrap();
        assert!(read_to_vec(&*file, bytes.len()).unwrap() == bytes, "{name}");
        let again = NewFile::create(&fs, synced.path()).unwrap_err();
        assert!(again.kind() == io::ErrorKind::AlreadyExists && !Abandoned::is(&again));
    });
}

#[test]
fn a_full_file_system_refuses_what_does_not_fit_and_keeps_its_books() {
    let sim = SimFs::new(0);
    sim.set_capacity(10);
    for fs in [Box::new(MemFs::with_capacity(10)) as Box<dyn Fs>, Box::new(sim)] {
        let free = || fs.available_space(Path::new("/")).unwrap();
        let full = |result: io::Result<usize>| {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
        };
        let a = fs.create(Path::new("/a")).unwrap();
        assert_eq!(a.write_at(b"123456", 0).unwrap(), 6);
        full(a.write_at(b"x", 10));
        full(a.write_at(b"xyz", u64::from(u32::MAX)));
        full(a.set_len(11).map(|()| 0));
        full(a.allocate(3, 8).map(|()| 0));
        assert_eq!(free(), 4, "what failed took nothing");
        assert_eq!(a.write_at(b"789", 8).unwrap(), 2, "the gap counts");
        assert_eq!((a.len().unwrap(), free()), (10, 0));
        assert_eq!(a.write_at(b"0123456789", 0).unwrap(), 10, "what is there can be replaced");
        assert_eq!(a.write_at(b"", 99).unwrap(), 0);
        a.set_len(7).unwrap();
        a.allocate(0, 8).unwrap();
        assert_eq!(free(), 2);
        fs.hard_link(Path::new("/a"), Path::new("/b")).unwrap();
        fs.remove_file(Path::new("/a")).unwrap();
        drop(a);
        assert_eq!(free(), 2, "there is another name");
        let b = fs.open(Path::new("/b"), Access::Read).unwrap();
        fs.remove_file(Path::new("/b")).unwrap();
        assert_eq!(free(), 2, "there is a handle");
        drop(b);
        assert_eq!(free(), 10);
    }
}

#[test]
fn threads_write_and_read_side_by_side() {
    everywhere(|name, fs, root| {
        const LEN: usize = 300;
        drop(fs.create(&root.join("a")).unwrap());
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                let fs = &fs;
                scope.spawn(move || {
                    let file = fs.open(&root.join("a"), Access::ReadWrite).unwrap();
                    let at = u64::from(thread) * LEN as u64;
                    file.write_all_at(&[b'a' + thread; LEN], at).unwrap();
                    assert_eq!(read_up_to(&*file, at, LEN).unwrap(), [b'a' + thread; LEN]);
                });
            }
        });
        let file = fs.open(&root.join("a"), Access::Read).unwrap();
        let bytes = read_to_vec(&*file, 4 * LEN).unwrap();
        let expected: Vec<u8> = (b'a'..b'e').flat_map(|byte| [byte; LEN]).collect();
        assert!(bytes == expected, "{name}");
    });
}

fn path() -> impl Strategy<Value = String> {
    select(vec!["/a", "/b", "/c", "/d", "/d/a", "/d/b"]).prop_map(String::from)
}

/// A file, by name or by one of two handles.
fn file() -> impl Strategy<Value = String> {
    prop_oneof![4 => path(), 1 => select(vec!["@h", "@i"]).prop_map(String::from)]
}

fn step() -> impl Strategy<Value = Step> {
    let handle = || select(vec!["h", "i"]).prop_map(String::from);
    let offset = || prop_oneof![0u64..20, 4090u64..4100];
    let access = select(vec![Access::Read, Access::ReadWrite]);
    let mode = select(vec![LockMode::Shared, LockMode::Exclusive]);
    let bytes = prop_oneof![vec(b'a'..=b'z', 0..9), Just(vec![b'x'; 4100])];
    prop_oneof![
        2 => path().prop_map(Step::Mkdir),
        6 => path().prop_map(Step::Create),
        3 => (handle(), path(), access).prop_map(|(a, b, c)| Step::Hold(a, b, c)),
        1 => handle().prop_map(Step::Drop),
        8 => (file(), offset(), bytes).prop_map(|(a, b, c)| Step::Write(a, b, c)),
        4 => (file(), offset(), 0usize..40).prop_map(|(a, b, c)| Step::Read(a, b, c)),
        2 => file().prop_map(Step::Len),
        2 => (file(), offset()).prop_map(|(a, b)| Step::SetLen(a, b)),
        1 => (file(), offset(), 1u64..50).prop_map(|(a, b, c)| Step::Allocate(a, b, c)),
        1 => (file(), offset(), 1u64..5000).prop_map(|(a, b, c)| Step::Punch(a, b, c)),
        1 => file().prop_map(Step::Sync),
        1 => select(vec!["/", "/d", "/e"]).prop_map(|dir| Step::SyncDir(dir.into())),
        3 => select(vec!["/", "/d"]).prop_map(|dir| Step::List(dir.into())),
        2 => path().prop_map(Step::Stat),
        3 => path().prop_map(Step::Remove),
        1 => path().prop_map(Step::Rmdir),
        3 => (path(), path()).prop_map(|(a, b)| Step::Rename(a, b)),
        2 => (path(), path()).prop_map(|(a, b)| Step::Link(a, b)),
        2 => (handle(), path(), mode).prop_map(|(a, b, c)| Step::Lock(a, b, c)),
        1 => handle().prop_map(Step::Unlock),
    ]
}

/// Whether a step for files is about a directory, of which the contract says nothing.
fn mistakes_a_dir_for_a_file(step: &Step, runner: &mut Runner<'_>) -> bool {
    let mut is_dir = |path: &str| runner.run(&Step::Stat(path.into())) == "dir";
    match step {
        Step::Rename(from, to) => is_dir(from) || is_dir(to),
        Step::Link(path, _)
        | Step::Hold(_, path, _)
        | Step::Remove(path)
        | Step::Lock(_, path, _)
        | Step::Write(path, ..)
        | Step::Read(path, ..)
        | Step::Len(path)
        | Step::SetLen(path, _)
        | Step::Allocate(path, ..)
        | Step::Punch(path, ..)
        | Step::Sync(path) => is_dir(path),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn all_file_systems_agree_on_random_steps(steps in vec(step(), 1..60)) {
        let temp = TempDir::new().unwrap();
        let disk: Arc<dyn Fs> = Arc::new(StdFs);
        let others: [Arc<dyn Fs>; 3] = [
            Arc::new(MemFs::new()),
            Arc::new(SimFs::new(3)),
            Arc::new(OneByteFs::new(Arc::new(MemFs::new()), 4)),
        ];
        let mut disk = Runner::new(&disk, temp.path());
        let mut others: Vec<Runner<'_>> =
            others.iter().map(|fs| Runner::new(fs, Path::new("/"))).collect();
        for step in &steps {
            if mistakes_a_dir_for_a_file(step, &mut disk) {
                continue;
            }
            // A handle for reading refuses changes in words of its system; and with two paths there
            // may be two errors, of which either may be told.
            let in_own_words = format!("{step:?}").contains('@')
                || matches!(step, Step::Rename(..) | Step::Link(..));
            let expected = disk.try_run(step);
            for other in &mut others {
                let outcome = other.try_run(step);
                match (&expected, &outcome) {
                    (Err(_), Err(_)) if in_own_words => {}
                    (Err(a), Err(b)) => prop_assert_eq!(a.kind(), b.kind(), "{:?}", step),
                    (Ok(a), Ok(b)) => prop_assert_eq!(a, b, "{:?}", step),
                    _ => prop_assert!(false, "{step:?}: {expected:?}, {outcome:?}"),
                }
            }
        }
    }
}

#[test]
fn several_reads_at_once_are_as_one_by_one() {
    let content: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
    everywhere(|name, fs, root| {
        let path = root.join("a");
        let file = fs.create(&path).unwrap();
        file.write_all_at(&content, 0).unwrap();
        let mut rng = Rng::new(7);
        for count in [0, 1, 2, 40] {
            let ranges: Vec<_> = (0..count)
                .map(|_| {
                    let start = rng.index(content.len());
                    start..start + rng.index(3000).min(content.len() - start)
                })
                .collect();
            let mut bufs: Vec<_> = ranges.iter().map(|range| vec![0xff; range.len()]).collect();
            let parts = bufs.iter_mut().zip(&ranges);
            let mut parts: Vec<_> =
                parts.map(|(buf, range)| ReadPart { offset: range.start as u64, buf }).collect();
            file.read_exact_each(&mut parts).unwrap();
            for (buf, range) in bufs.iter().zip(ranges) {
                assert_eq!(buf, &content[range.clone()], "{name}: {range:?}");
            }
        }
        let (mut within, mut beyond) = ([0; 10], [0; 10]);
        let mut parts = [
            ReadPart { offset: 5, buf: &mut within },
            ReadPart { offset: 99_995, buf: &mut beyond },
        ];
        let failed = file.read_exact_each(&mut parts).unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::UnexpectedEof, "{name}");
    });
}
