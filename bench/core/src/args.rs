//! Arguments of a binary: `--name=value`, or `--name` for 1.
use std::collections::HashMap;

#[derive(Clone, Debug)]
pub struct Args(HashMap<String, String>);

impl Args {
    pub fn parse() -> Self {
        let mut m = HashMap::new();
        for a in std::env::args().skip(1) {
            let a = a.trim_start_matches("--");
            let (k, v) = a.split_once('=').unwrap_or((a, "1"));
            m.insert(k.to_string(), v.to_string());
        }
        Self(m)
    }
    pub fn num(&self, k: &str, d: u64) -> u64 {
        self.0.get(k).map_or(d, |v| v.parse().unwrap_or_else(|_| panic!("--{k}: number expected")))
    }
    pub fn str(&self, k: &str, d: &str) -> String {
        self.0.get(k).cloned().unwrap_or_else(|| d.into())
    }
    pub fn flag(&self, k: &str) -> bool {
        self.num(k, 0) != 0
    }
}
