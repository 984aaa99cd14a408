//! What was done to a database, and for whom that is kept.

use serde_json::{Value, json};
use stratal::{Change, Database, Error, Keyspace, Operation};
use stratal_types::SeqNo;

use crate::{
    args::{ChangesArgs, Common},
    database::{Access, open, with_keyspace},
    failure::Failure,
    output::Output,
};

pub(crate) fn run(args: &ChangesArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let since = args.since.and_then(SeqNo::new);
    if args.holders {
        return with_database(args, Access::Read, common, |db| {
            db.held_history().iter().try_for_each(|(holder, bound)| show(holder, *bound, out))
        });
    }
    if let Some(holder) = &args.release {
        return with_database(args, Access::Write, common, |db| {
            if db.release_history(holder)? { Ok(()) } else { Err(nobody(holder)) }
        });
    }
    if let Some(holder) = &args.hold {
        return with_database(args, Access::Write, common, |db| {
            let mut bound = match since {
                // Going on is for who is there.
                Some(_) => bound_of(db, holder)?,
                None => db.hold_history(holder)?,
            };
            if let Some(since) = since {
                db.advance_history(holder, since)?;
                bound = bound.max(since);
            }
            show(holder, bound, out)
        });
    }
    let since = since.unwrap_or(SeqNo::ZERO);
    with_keyspace(&args.db, Access::Read, common, |_, keyspace| {
        print(keyspace, since, args.limit, out)
    })
}

fn with_database<T>(
    args: &ChangesArgs,
    access: Access,
    common: &Common,
    work: impl FnOnce(&Database) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let db = open(&args.db, access, common)?;
    let done = work(&db);
    let closed = db.close();
    let done = done?;
    closed?;
    Ok(done)
}

fn bound_of(db: &Database, holder: &str) -> Result<SeqNo, Failure> {
    let held = db.held_history();
    let bound = held.iter().find(|(name, _)| name == holder).map(|(_, bound)| *bound);
    bound.ok_or_else(|| nobody(holder))
}

fn nobody(holder: &str) -> Failure {
    Failure::Absent(Some(format!("no history is held for {holder:?}")))
}

fn show(holder: &str, bound: SeqNo, out: &mut Output) -> Result<(), Failure> {
    if out.json {
        return out.json(&json!({ "holder": holder, "since": bound.get() }));
    }
    out.line(format!("{holder}\t{bound}"))
}

fn print(
    keyspace: &Keyspace,
    since: SeqNo,
    limit: Option<u64>,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut changes = match keyspace.changes_since(since) {
        Err(Error::SnapshotTooOld { floor, .. }) => {
            return Err(Failure::Absent(Some(format!(
                "changes from seqno {since} on are not all there any more, only those from {floor} on"
            ))));
        }
        changes => changes?,
    };
    let until = changes.until();
    let mut printed = 0;
    let next = loop {
        let Some(change) = changes.next().transpose()? else { break until };
        if limit.is_some_and(|limit| printed >= limit) {
            break change.seqno;
        }
        out.json(&as_json(&change, out)?)?;
        printed += 1;
    };
    out.flush()?;
    out.remark(format!("{printed} changes; go on with --since {next}"));
    Ok(())
}

fn as_json(change: &Change, out: &Output) -> Result<Value, Failure> {
    let text = |bytes: &[u8]| out.json_text(bytes);
    let (kind, fields) = match &change.operation {
        Operation::Put { key, value } => ("put", vec![("key", key), ("value", value)]),
        Operation::Delete { key } => ("delete", vec![("key", key)]),
        Operation::WeakDelete { key } => ("weak_delete", vec![("key", key)]),
        Operation::Merge { key, operand } => ("merge", vec![("key", key), ("operand", operand)]),
        Operation::DeleteRange { from, to } => ("delete_range", vec![("from", from), ("to", to)]),
        other => return Err(Failure::Refused(format!("a change cannot be printed: {other:?}"))),
    };
    let mut object = json!({ "seqno": change.seqno.get(), "kind": kind });
    for (name, bytes) in fields {
        object[name] = text(bytes);
    }
    Ok(object)
}
