//! The engines: which binary, with which arguments, and what may be compared with it.

/// An engine, or one of its ways.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Engine {
    pub(super) name: &'static str,
    /// The package in `bench/`, which is the binary's name too.
    pub(super) package: &'static str,
    pub(super) arguments: &'static [&'static str],
    pub(super) comps: &'static [&'static str],
    pub(super) kind: Kind,
    /// Whether it takes part unless others are named.
    pub(super) is_usual: bool,
}

impl Engine {
    /// Whether a put of its can wait until it is on stable storage.
    pub(super) fn is_durable(&self) -> bool {
        match self.kind {
            Kind::Ours => self.package == OURS,
            Kind::Logged | Kind::Other => true,
            Kind::Bare | Kind::Memory => false,
        }
    }
}

/// What an engine is compared as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Ours; with a log, or without.
    Ours,
    /// An LSM engine with a log.
    Logged,
    /// An LSM engine without one.
    Bare,
    /// Something else, named where it leads.
    Other,
    /// In memory: what is possible.
    Memory,
}

/// The database.
const OURS: &str = "pb-stratal";
const ALL_COMPS: &[&str] = &["none", "lz4", "zstd"];

pub(super) const ENGINES: &[Engine] = &[
    usual("stratal", OURS, &[], ALL_COMPS, Kind::Ours),
    usual("stratal-tree", "pb-stratal-tree", &[], ALL_COMPS, Kind::Ours),
    usual("lsmtree3", "pb-lsmtree3", &[], &["none", "lz4"], Kind::Bare),
    usual("fjall3", "pb-fjall3", &[], &["none", "lz4"], Kind::Logged),
    usual("coord7", "pb-coord7", &[], ALL_COMPS, Kind::Bare),
    usual("rocksdb7", "pb-rocksdb7", &[], ALL_COMPS, Kind::Logged),
    usual("rocksdb7-nolog", "pb-rocksdb7", &["--wal=0", "--suffix=-nolog"], ALL_COMPS, Kind::Bare),
    usual("redb4", "pb-redb4", &[], &["none"], Kind::Other),
    usual("btreemap", "pb-reference", &[], &["none"], Kind::Memory),
    preset("stratal-default", &["--preset=default", "--suffix=-default"]),
    preset("stratal-full", &["--preset=full", "--suffix=-full"]),
    // As shapes have it.
    preset("stratal-lazy", &["--strategy=lazy", "--suffix=-lazy"]),
];

const fn usual(
    name: &'static str,
    package: &'static str,
    arguments: &'static [&'static str],
    comps: &'static [&'static str],
    kind: Kind,
) -> Engine {
    Engine { name, package, arguments, comps, kind, is_usual: true }
}

const fn preset(name: &'static str, arguments: &'static [&'static str]) -> Engine {
    let is_usual = false;
    Engine { name, package: OURS, arguments, comps: ALL_COMPS, kind: Kind::Ours, is_usual }
}

pub(super) fn named(name: &str) -> Result<&'static Engine, String> {
    let found = ENGINES.iter().find(|engine| engine.name == name);
    found.ok_or_else(|| format!("no such engine: {name}"))
}

/// Those that take part unless others are named.
pub(super) fn usual_ones() -> Vec<&'static Engine> {
    ENGINES.iter().filter(|engine| engine.is_usual).collect()
}

/// Where an engine of that name stands in tables.
pub(super) fn place(name: &str) -> usize {
    ENGINES.iter().position(|engine| engine.name == name).unwrap_or(ENGINES.len())
}
