//! What every manifest and crate root must say, as part of `tidy`.

use cargo_metadata::{Metadata, Package, TargetKind};

use crate::workspace::{self, TextFile};

/// May hold unsafe code, in one module: their roots can deny it but not forbid it.
const MAY_HOLD_UNSAFE: [&str; 2] = ["layergraph-fs", "layergraph-cli"];

/// Returns what members of the workspace leave out.
pub(crate) fn check(metadata: &Metadata, files: &[TextFile]) -> Vec<String> {
    let mut found = Vec::new();
    for package in metadata.workspace_packages() {
        let missing = |what: &str| format!("{}: {what}", package.name);
        found.extend(missing_metadata(package).into_iter().map(missing));
        if !text(files, package.manifest_path.as_str()).contains("[lints]\nworkspace = true\n") {
            found.push(missing("does not take the lints of the workspace"));
        }
        if MAY_HOLD_UNSAFE.contains(&package.name.as_str()) {
            continue;
        }
        for root in roots(package) {
            if !text(files, root).contains("\n#![forbid(unsafe_code)]\n") {
                found.push(missing("a root without `#![forbid(unsafe_code)]`"));
            }
        }
    }
    found
}

fn missing_metadata(package: &Package) -> Vec<&'static str> {
    // `publish = false` is an empty list of registries.
    let published = package.publish.as_ref().is_none_or(|to| !to.is_empty());
    [
        (package.license.is_none(), "no license"),
        (package.rust_version.is_none(), "no rust-version"),
        (published && package.description.is_none(), "no description"),
        (published && package.repository.is_none(), "no repository"),
    ]
    .into_iter()
    .filter_map(|(missing, what)| missing.then_some(what))
    .collect()
}

/// Returns the files that cargo compiles as the package's library and programs.
fn roots(package: &Package) -> impl Iterator<Item = &str> {
    let ships = |kind: &TargetKind| matches!(kind, TargetKind::Lib | TargetKind::Bin);
    package
        .targets
        .iter()
        .filter(move |target| target.kind.iter().any(ships))
        .map(|target| target.src_path.as_str())
}

fn text<'a>(files: &'a [TextFile], absolute: &str) -> &'a str {
    let is_it = |file: &&TextFile| workspace::root().join(&file.path).as_os_str() == absolute;
    files.iter().find(is_it).map_or("", |file| &file.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Result;

    #[test]
    fn a_manifest_that_says_nothing_is_found() -> Result {
        let mut metadata = workspace::metadata()?;
        let ids = metadata.workspace_members.clone();
        let ours = metadata
            .packages
            .iter_mut()
            .find(|p| *p.name == "truncindex");
        let ours = ours.ok_or("truncindex is a member")?;
        ours.license = None;
        ours.description = None;
        assert!(ids.contains(&ours.id));
        let found = check(&metadata, &[]);
        for what in [
            "truncindex: no license",
            "truncindex: no description",
            "truncindex: does not take the lints of the workspace",
            "truncindex: a root without `#![forbid(unsafe_code)]`",
        ] {
            assert!(found.iter().any(|line| line == what), "{what} in {found:?}");
        }
        Ok(())
    }
}
