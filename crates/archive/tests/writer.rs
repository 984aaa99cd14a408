//! The writer: what it refuses, and what it does when its sink fails.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::{
    cell::RefCell,
    io::{self, ErrorKind, Write},
    rc::Rc,
};

use common::{DATA, HEADER, INDEX, PROPERTIES, file_of, open};
use stratal_archive::{ArchiveWriter, MIRRORED_LEN_MAX, SECTIONS_MAX, SectionTag, Toc, WriteError};

/// What a sink does with a call, given the call's number and what it was asked to write.
type Behaviour = fn(usize, &[u8]) -> io::Result<usize>;

/// A sink whose bytes outlive it, and that accepts `limit` of them.
#[derive(Clone)]
struct Sink {
    bytes: Rc<RefCell<Vec<u8>>>,
    calls: usize,
    limit: usize,
    behaviour: Behaviour,
    flush_fails: bool,
}

impl Sink {
    fn new(behaviour: Behaviour) -> Self {
        Self { bytes: Rc::default(), calls: 0, limit: usize::MAX, behaviour, flush_fails: false }
    }

    fn with_limit(limit: usize) -> Self {
        Self { limit, ..Self::new(|_, bytes| Ok(bytes.len())) }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        let mut stored = self.bytes.borrow_mut();
        let room = self.limit - stored.len();
        if room == 0 && !bytes.is_empty() {
            return Err(ErrorKind::StorageFull.into());
        }
        let len = (self.behaviour)(self.calls, &bytes[..bytes.len().min(room)])?;
        stored.extend(bytes.iter().take(len));
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.flush_fails { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

/// The same archive as [`expected`], into any sink.
fn write(sink: Sink) -> Result<(Sink, Toc), WriteError> {
    let mut writer = ArchiveWriter::new(sink, HEADER)?;
    writer.section(DATA)?;
    for piece in [&b"some "[..], b"", b"data"] {
        writer.write_all(piece)?;
    }
    writer.section(PROPERTIES)?;
    writer.write_all(b"items=1")?;
    writer.mirror(PROPERTIES, b"items=1".to_vec())?;
    writer.finish()
}

fn expected() -> (Vec<u8>, Toc) {
    let properties = (PROPERTIES, &b"items=1"[..]);
    file_of(HEADER, &[(DATA, b"some data"), properties], &[properties])
}

#[test]
fn short_and_interrupted_writes_make_the_same_file() {
    let behaviours: [(&str, Behaviour); 3] = [
        ("one byte a call", |_, bytes| Ok(bytes.len().min(1))),
        ("half of it", |_, bytes| Ok(bytes.len().div_ceil(2))),
        ("interrupted every other call", |call, bytes| match call % 2 {
            0 => Ok(bytes.len().min(100)),
            _ => Err(ErrorKind::Interrupted.into()),
        }),
    ];
    for (name, behaviour) in behaviours {
        let (sink, toc) = write(Sink::new(behaviour)).unwrap();
        assert_eq!((sink.bytes.take(), toc), expected(), "{name}");
    }
}

#[test]
fn a_full_disk_is_reported_wherever_it_strikes_and_nothing_opens() {
    let (file, toc) = expected();
    for limit in 0..file.len() {
        let sink = Sink::with_limit(limit);
        let bytes = Rc::clone(&sink.bytes);
        match write(sink) {
            Err(WriteError::Io(error)) => assert_eq!(error.kind(), ErrorKind::StorageFull),
            other => panic!("limit {limit}: {:?}", other.map(|(_, toc)| toc)),
        }
        let bytes = bytes.take();
        assert_eq!(bytes, file[..limit]);
        assert!(open(&bytes).is_err());
    }
    assert_eq!(write(Sink::with_limit(file.len())).unwrap().1, toc);
}

#[test]
fn after_an_error_every_call_fails_and_nothing_is_appended() {
    let sinks: [(&str, Behaviour, ErrorKind); 3] = [
        (
            "failing",
            |call, bytes| fail_once(call, bytes, Err(ErrorKind::Other.into())),
            ErrorKind::Other,
        ),
        ("taking nothing", |call, bytes| fail_once(call, bytes, Ok(0)), ErrorKind::WriteZero),
        ("taking too much", |call, bytes| fail_once(call, bytes, Ok(99)), ErrorKind::Other),
    ];
    for (name, behaviour, kind) in sinks {
        let sink = Sink::new(behaviour);
        let bytes = Rc::clone(&sink.bytes);
        let mut writer = ArchiveWriter::new(sink, HEADER).unwrap();
        writer.section(DATA).unwrap();
        assert_eq!(writer.write_all(b"some data").unwrap_err().kind(), kind, "{name}");
        let (position, len) = (writer.position(), bytes.borrow().len());

        assert!(writer.write_all(b"more").is_err(), "{name}");
        assert!(writer.flush().is_err(), "{name}");
        assert!(matches!(writer.section(INDEX), Err(WriteError::Poisoned)), "{name}");
        assert!(matches!(writer.mirror(DATA, vec![]), Err(WriteError::Poisoned)), "{name}");
        assert_eq!((writer.position(), bytes.borrow().len()), (position, len), "{name}");
        assert!(matches!(writer.finish(), Err(WriteError::Poisoned)), "{name}");
        assert_eq!(bytes.borrow().len(), len, "{name}");
    }
}

/// The second write, which is the first to a section, goes wrong; all others go well.
fn fail_once(call: usize, bytes: &[u8], failure: io::Result<usize>) -> io::Result<usize> {
    if call == 2 { failure } else { Ok(bytes.len()) }
}

#[test]
fn a_failing_flush_fails_the_archive() {
    let sink = Sink { flush_fails: true, ..Sink::with_limit(usize::MAX) };
    assert!(matches!(write(sink.clone()), Err(WriteError::Io(_))));
    let mut writer = ArchiveWriter::new(sink, HEADER).unwrap();
    assert!(writer.flush().is_err());
    assert!(matches!(writer.finish(), Err(WriteError::Poisoned)));
}

#[test]
fn mistakes_are_refused_and_change_nothing() {
    let mut writer = ArchiveWriter::new(Vec::new(), HEADER).unwrap();
    assert_eq!(writer.write_all(b"x").unwrap_err().kind(), ErrorKind::InvalidInput);
    writer.section(DATA).unwrap();
    writer.write_all(b"some ").unwrap();

    let refused = |result| matches!(result, Err(WriteError::InvalidSection { .. }));
    assert!(refused(writer.section(SectionTag(*b"a b "))), "malformed");
    assert!(refused(writer.section(DATA)), "twice");
    assert!(refused(writer.mirror(PROPERTIES, vec![])), "not begun");
    let too_long = vec![0; usize::try_from(MIRRORED_LEN_MAX).unwrap() + 1];
    let too_large = writer.mirror(DATA, too_long);
    assert!(matches!(too_large, Err(WriteError::MirrorTooLarge { max: MIRRORED_LEN_MAX, .. })));

    writer.write_all(b"data").unwrap();
    writer.section(PROPERTIES).unwrap();
    writer.write_all(b"items=1").unwrap();
    writer.mirror(PROPERTIES, b"items=1".to_vec()).unwrap();
    assert!(refused(writer.mirror(PROPERTIES, vec![])), "mirrored twice");
    assert_eq!(writer.finish().unwrap(), expected());
}

#[test]
fn one_section_too_many_is_refused_whether_first_or_second_copy() {
    let mut writer = ArchiveWriter::new(Vec::new(), HEADER).unwrap();
    let tag = |i: usize| {
        let letter = |place: usize| b'a' + u8::try_from(i >> (4 * place) & 15).unwrap();
        SectionTag([letter(3), letter(2), letter(1), letter(0)])
    };
    for i in 0..SECTIONS_MAX - 1 {
        writer.section(tag(i)).unwrap();
    }
    writer.mirror(tag(0), vec![]).unwrap();
    for result in [writer.section(tag(SECTIONS_MAX)), writer.mirror(tag(1), vec![])] {
        assert!(matches!(result, Err(WriteError::InvalidSection { .. })), "{result:?}");
    }
    let (file, toc) = writer.finish().unwrap();
    assert_eq!(toc.entries.len(), SECTIONS_MAX);
    assert_eq!(open(&file).unwrap(), toc);
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing_that_opens() {
    let sink = Sink::with_limit(usize::MAX);
    let bytes = Rc::clone(&sink.bytes);
    let mut writer = ArchiveWriter::new(sink, HEADER).unwrap();
    writer.section(DATA).unwrap();
    writer.write_all(&[1; 10_000]).unwrap();
    drop(writer);
    let error = open(&bytes.take()).unwrap_err();
    assert!(matches!(error, stratal_archive::Error::ContentsLost { .. }), "{error}");
}
