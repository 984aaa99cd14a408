//! What the processes printed.

use serde_json::{Map, Value};

use super::{engines, verdict::median};

/// A phase of a process.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) engine: String,
    pub(super) suite: String,
    pub(super) comp: String,
    pub(super) work: String,
    pub(super) n: u64,
    pub(super) round: u64,
    fields: Map<String, Value>,
}

impl Sample {
    /// A figure of the line, if it has one of this name.
    pub(super) fn get(&self, name: &str) -> Option<f64> {
        self.fields.get(name)?.as_f64()
    }
}

/// Everything that was measured, and where.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) samples: Vec<Sample>,
    /// Names and values, as they were put down before the first process ran.
    pub(super) facts: Vec<(String, String)>,
    /// What processes said that could not go on.
    pub(super) failures: Vec<String>,
}

impl Results {
    /// Reads lines of JSON.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut results = Self::default();
        for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let value: Value = serde_json::from_str(line)
                .map_err(|error| format!("line {} of the results: {error}", i + 1))?;
            let Value::Object(fields) = value else {
                return Err(format!("line {} of the results is no object", i + 1));
            };
            results.add(fields);
        }
        Ok(results)
    }

    fn add(&mut self, fields: Map<String, Value>) {
        if let Some(Value::Object(facts)) = fields.get("facts") {
            let facts = facts.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
            // Results may be of several commands.
            for (name, value) in facts {
                match self.facts.iter_mut().find(|(known, _)| known == name) {
                    Some((_, known)) if known.contains(value) => {}
                    Some((_, known)) => *known = format!("{known}; {value}"),
                    None => self.facts.push((name.clone(), value.to_owned())),
                }
            }
            return;
        }
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        let number = |name: &str| fields.get(name).and_then(Value::as_u64).unwrap_or_default();
        if text("work") == "ERROR" {
            self.failures.push(format!(
                "{}, suite {}, compression {}: {}",
                text("engine"),
                text("suite"),
                text("comp"),
                text("err")
            ));
            return;
        }
        self.samples.push(Sample {
            engine: text("engine").into(),
            suite: text("suite").into(),
            comp: text("comp").to_lowercase(),
            work: text("work").into(),
            n: number("n"),
            round: number("round"),
            fields,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Puts processor time in the place of time. Latencies stay.
    pub(super) fn show_processor_time(&mut self) {
        for sample in &mut self.samples {
            let Some(cpu) = sample.get("cpu").filter(|cpu| *cpu > 0.0) else { continue };
            let bytes = sample.get("ubytes");
            let fields = &mut sample.fields;
            fields.insert("secs".into(), cpu.into());
            if let Some(ns) = fields.get("cpu_ns_op").cloned() {
                fields.insert("ns_op".into(), ns);
            }
            if let Some(bytes) = bytes {
                fields.insert("mb_s".into(), (bytes / 1e6 / cpu).into());
            }
        }
        self.facts.push(("times".into(), "of the processor".into()));
    }

    /// Runs in which an engine gave a wrong answer.
    pub(super) fn wrong_answers(&self) -> Vec<String> {
        let is_wrong = |sample: &&Sample| sample.get("bad").is_some_and(|bad| bad > 0.0);
        let mut wrong: Vec<String> = self
            .samples
            .iter()
            .filter(is_wrong)
            .map(|s| format!("{} in suite {} ({}, round {})", s.engine, s.suite, s.comp, s.round))
            .collect();
        wrong.dedup();
        wrong
    }

    /// The engines of these samples, in the order of tables.
    pub(super) fn engines<'a>(samples: impl Iterator<Item = &'a Sample>) -> Vec<String> {
        let mut names: Vec<String> = samples.map(|sample| sample.engine.clone()).collect();
        names.sort_by_key(|name| (engines::place(name), name.clone()));
        names.dedup();
        names
    }

    /// The figure that most phases of this suite and work have, by rounds.
    pub(super) fn medians_of(
        &self,
        is_meant: impl Fn(&Sample) -> bool,
        value: impl Fn(&Sample) -> Option<f64>,
    ) -> Option<f64> {
        let meant = self.samples.iter().filter(|sample| is_meant(sample));
        median(meant.filter_map(value).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_samples_facts_and_failures() {
        let text = concat!(
            r#"{"facts":{"commit":"abc","date":"today"}}"#,
            "\n",
            r#"{"facts":{"commit":"def","date":"today"}}"#,
            "\n",
            r#"{"engine":"a","suite":"rand","comp":"Lz4","n":5,"round":1,"work":"get","ns_op":2.5,"bad":1}"#,
            "\n\n",
            r#"{"engine":"a","suite":"rand","comp":"None","n":5,"round":1,"work":"ERROR","err":"no"}"#,
        );
        let results = Results::parse(text).unwrap();
        let [sample] = results.samples.as_slice() else { panic!("one sample") };
        assert_eq!((sample.comp.as_str(), sample.get("ns_op")), ("lz4", Some(2.5)));
        let facts = [("commit", "abc; def"), ("date", "today")];
        assert_eq!(results.facts, facts.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(results.failures, ["a, suite rand, compression None: no"]);
        assert_eq!(results.wrong_answers(), ["a in suite rand (lz4, round 1)"]);
        let text =
            r#"{"work":"scan","cpu":0.5,"secs":9.0,"cpu_ns_op":4.0,"ns_op":9.0,"ubytes":1e6}"#;
        let mut results = Results::parse(text).unwrap();
        results.show_processor_time();
        let sample = results.samples.first().unwrap();
        let names = ["secs", "ns_op", "mb_s"];
        assert_eq!(names.map(|name| sample.get(name)), [Some(0.5), Some(4.0), Some(2.0)]);
        let error = Results::parse("{\"engine\":").unwrap_err();
        assert!(error.starts_with("line 1 of the results"), "{error}");
    }
}
