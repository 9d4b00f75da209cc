//! Requirements and the tests that carry their numbers: the table in docs/testing.md is true.
//!
//! A test is called by what it holds: `r4_…` or `r10_r31_…`. Each row of the table names the
//! packages that have such a test, or says that what it is about is not built yet.

use std::collections::{BTreeMap, BTreeSet};

use crate::source;
use crate::workspace::TextFile;

const TABLE: &str = "docs/testing.md";
/// Stands in the place of the packages.
const NOT_BUILT: &str = "not built yet";

type Packages = BTreeSet<String>;

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    line: usize,
    number: u32,
    packages: Packages,
    is_built: bool,
}

/// Returns what is wrong with the table, and each test of a number that is not in it.
pub(crate) fn check(files: &[TextFile]) -> Vec<String> {
    let table = files.iter().find(|file| file.path == TABLE);
    let rows = rows(table.map_or("", |file| &file.text));
    let numbers: BTreeSet<u32> = rows.iter().map(|row| row.number).collect();
    let mut found = Vec::new();
    let mut tested: BTreeMap<u32, Packages> = BTreeMap::new();
    for file in files.iter().filter(|file| file.has_extension("rs")) {
        for (name, line) in tests(&file.text) {
            for number in numbers_of(&name) {
                if !numbers.contains(&number) {
                    let at = &file.path;
                    found.push(format!("{at}:{line}: `{name}`: no R{number} in {TABLE}"));
                }
                let packages = tested.entry(number).or_default();
                packages.insert(package(&file.path).to_owned());
            }
        }
    }
    let mut before = None;
    for row in &rows {
        if before >= Some(row.number) {
            found.push(format!(
                "{TABLE}:{}: R{} is out of order",
                row.line, row.number
            ));
        }
        before = Some(row.number);
        check_row(row, tested.get(&row.number), &mut found);
    }
    found
}

fn check_row(row: &Row, tested: Option<&Packages>, found: &mut Vec<String>) {
    let Row { line, number, .. } = row;
    let none = Packages::new();
    let tested = tested.unwrap_or(&none);
    for package in row.packages.difference(tested) {
        found.push(format!(
            "{TABLE}:{line}: `{package}` has no test r{number}_…"
        ));
    }
    for package in tested.difference(&row.packages) {
        found.push(format!(
            "{TABLE}:{line}: R{number} has tests in `{package}` too"
        ));
    }
    if row.is_built && row.packages.is_empty() {
        found.push(format!("{TABLE}:{line}: R{number} has no test"));
    }
}

/// Returns the rows of the table: `| R1 | what it says | where its tests are |`.
fn rows(text: &str) -> Vec<Row> {
    let row = |(line, number): (&str, usize)| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, _, places, _] = cells[..] else {
            return None;
        };
        Some(Row {
            line: number,
            number: name.strip_prefix('R')?.parse().ok()?,
            packages: places
                .split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect(),
            is_built: !places.starts_with(NOT_BUILT),
        })
    };
    text.lines().zip(1..).filter_map(row).collect()
}

/// Returns the tests in a source file, with their lines.
fn tests(text: &str) -> Vec<(String, usize)> {
    let code = source::code(text);
    let name = |at: usize| {
        let before = &code[..at];
        let item = before
            .rfind(['{', '}', ';'])
            .map_or(before, |end| &before[end..]);
        let rest = code[at..].strip_prefix("fn ")?;
        let name = rest
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()?;
        item.contains("#[test]")
            .then(|| (name.to_owned(), source::line_of(&code, at)))
    };
    source::mentions(&code, "fn")
        .into_iter()
        .filter_map(name)
        .collect()
}

/// Returns the numbers of requirements that a test carries. Other letters stand for other lists.
fn numbers_of(name: &str) -> Vec<u32> {
    let number = |part: &str| {
        let digits = part.strip_prefix(|c: char| c.is_ascii_lowercase())?;
        let number = digits.parse().ok()?;
        Some((part.starts_with('r'), number))
    };
    let numbers = name.split('_').map_while(number);
    numbers
        .filter_map(|(is_ours, number)| is_ours.then_some(number))
        .collect()
}

/// Returns the directory of the package that a file belongs to.
fn package(path: &str) -> &str {
    let path = path.strip_prefix("crates/").unwrap_or(path);
    path.split('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_found(table: &str, tests: &[(&str, &str)], expected: &[&str]) {
        let file = |path: &str, text: String| TextFile {
            path: path.to_owned(),
            text,
        };
        let mut files = vec![file(TABLE, format!("# x\n{table}"))];
        for (path, name) in tests {
            files.push(file(path, format!("//! x\n#[test]\nfn {name}() {{}}\n")));
        }
        assert_eq!(check(&files), expected, "of {table:?} and {tests:?}");
    }

    #[test]
    fn a_row_names_the_packages_that_have_tests_of_its_number() {
        let (a, b) = ("crates/a/tests/it/x.rs", "xtask/src/x.rs");
        let both = "| R1 | a law | `a`, `xtask` |\n";
        check_found(both, &[(a, "r1_x"), (b, "r1_y")], &[]);
        check_found(
            both,
            &[(a, "r1_x")],
            &["docs/testing.md:2: `xtask` has no test r1_…"],
        );
        check_found(both, &[(a, "r1_x"), (b, "p1_r1_y")], &[]);
        check_found(
            "| R1 | a law | `a` |\n",
            &[(a, "r1_x"), (b, "r2_r1_y")],
            &[
                "xtask/src/x.rs:3: `r2_r1_y`: no R2 in docs/testing.md",
                "docs/testing.md:2: R1 has tests in `xtask` too",
            ],
        );
    }

    #[test]
    fn a_row_without_a_test_says_that_it_is_not_built() {
        let row = |places: &str| format!("| R3 | a law | {places} |\n");
        check_found(&row("not built yet: images"), &[], &[]);
        check_found(&row(""), &[], &["docs/testing.md:2: R3 has no test"]);
        check_found(
            &row("not built yet"),
            &[("crates/a/src/x.rs", "r3_x")],
            &["docs/testing.md:2: R3 has tests in `a` too"],
        );
        check_found(
            &[row("not built yet"), row("not built yet")].concat(),
            &[],
            &["docs/testing.md:3: R3 is out of order"],
        );
    }

    #[test]
    fn only_tests_count_and_only_numbers_at_the_beginning_of_their_names() {
        let text = "/// fn r1_a\n#[test]\n// x\n#[cfg(x)]\nfn r2_b() { }\nfn r3_c() {}\nproptest! {\n    #[test]\n    fn r4_d(x in y()) {}\n}";
        let names = ["r2_b".to_owned(), "r4_d".to_owned()];
        assert_eq!(
            tests(text),
            names.into_iter().zip([5, 9]).collect::<Vec<_>>()
        );
        for (name, expected) in [
            ("r10_r2_a_tree", &[10, 2][..]),
            ("p5_r34_x", &[34]),
            ("rule_r2_x", &[]),
            ("u8_x", &[]),
            ("a_r2", &[]),
        ] {
            assert_eq!(numbers_of(name), expected, "{name}");
        }
    }
}
