//! The workspace's packages, as cargo sees them.

use std::{path::Path, process::Stdio};

use serde_json::Value;

use crate::process;

/// A member of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Where it lies, from the root, with `/` between the parts: `crates/sst`.
    pub(crate) folder: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a manifest's dependency tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The package meant, whatever the manifest calls it.
    pub(crate) package: String,
    pub(crate) kind: DependencyKind,
}

/// Which table the line stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DependencyKind {
    Normal,
    Build,
    Dev,
}

/// Asks cargo for the members of the workspace at `root`. Needs no network and takes no lock.
pub(crate) fn read(root: &Path) -> Result<Vec<Package>, String> {
    let output = process::cargo(root)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err("cargo metadata failed".into());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata: {error}"))?;
    parse(root, &metadata).ok_or_else(|| "cargo metadata has another shape than expected".into())
}

fn parse(root: &Path, metadata: &Value) -> Option<Vec<Package>> {
    metadata.get("packages")?.as_array()?.iter().map(|value| package(root, value)).collect()
}

fn package(root: &Path, value: &Value) -> Option<Package> {
    let manifest = Path::new(value.get("manifest_path")?.as_str()?);
    let folder = manifest.parent()?.strip_prefix(root).ok()?;
    Some(Package {
        name: value.get("name")?.as_str()?.into(),
        folder: folder.to_str()?.replace('\\', "/"),
        dependencies: value
            .get("dependencies")?
            .as_array()?
            .iter()
            .map(dependency)
            .collect::<Option<_>>()?,
    })
}

fn dependency(value: &Value) -> Option<Dependency> {
    let kind = match value.get("kind")? {
        Value::Null => DependencyKind::Normal,
        Value::String(kind) if kind == "build" => DependencyKind::Build,
        Value::String(kind) if kind == "dev" => DependencyKind::Dev,
        _ => return None,
    };
    Some(Dependency { package: value.get("name")?.as_str()?.into(), kind })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_package_is_read_from_cargos_answer() {
        let answer = json!({ "packages": [{
            "name": "stratal-sst",
            "manifest_path": "/there/crates/sst/Cargo.toml",
            "dependencies": [
                { "name": "bytes", "rename": "octets", "kind": null },
                { "name": "cc", "kind": "build" },
                { "name": "proptest", "kind": "dev" },
            ],
        }]});
        let line = |package: &str, kind| Dependency { package: package.into(), kind };
        let expected = Package {
            name: "stratal-sst".into(),
            folder: "crates/sst".into(),
            dependencies: vec![
                line("bytes", DependencyKind::Normal),
                line("cc", DependencyKind::Build),
                line("proptest", DependencyKind::Dev),
            ],
        };
        assert_eq!(parse(Path::new("/there"), &answer), Some(vec![expected]));
    }

    #[test]
    fn an_answer_of_another_shape_is_noticed() {
        let packages = [
            json!({ "name": "x", "manifest_path": "/elsewhere/Cargo.toml", "dependencies": [] }),
            json!({ "name": "x", "manifest_path": "/there/x/Cargo.toml" }),
            json!({ "name": "x", "manifest_path": "/there/x/Cargo.toml",
                    "dependencies": [{ "name": "y", "kind": "moonlight" }] }),
        ];
        for package in packages {
            let answer = json!({ "packages": [package] });
            assert_eq!(parse(Path::new("/there"), &answer), None, "{answer}");
        }
    }
}
