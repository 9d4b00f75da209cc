//! `tidy`: what a reader would trip over, found by looking at the text of the project.

use std::path::Path;

use crate::Result;
use crate::manifests;
use crate::requirements;
use crate::source;
use crate::workspace::{self, TextFile};

/// Lines of a source file: one story. From the first number on it is worth a look.
const FILE_LONG: usize = 450;
const FILE_TOO_LONG: usize = 700;
/// Lines of a function outside of tests: a screen.
const FUNCTION_TOO_LONG: usize = 70;
/// Columns of a comment; rustfmt sees to the code, but not to these.
const LINE_TOO_LONG: usize = 100;

/// Words of unfinished work. Written in halves, so that this list is not found by itself.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[", "ignore"),
];

/// Words that have a better one in this field. In halves as well.
const WORDS: &[(&str, &str)] = &[
    (concat!("fol", "der"), "directory"),
    (concat!("can", " not"), "cannot"),
];

/// Directories of one machine or one person, which mean nothing on another.
const MACHINE_DIRECTORIES: &[&str] = &["work", "root", "home"];

/// Checks the project, and prints each thing out of order.
pub(crate) fn run() -> Result {
    let files = workspace::text_files()?;
    for file in files.iter().filter(|file| is_source(file)) {
        let lines = file.text.lines().count();
        if (FILE_LONG + 1..=FILE_TOO_LONG).contains(&lines) {
            eprintln!("warning: {}: {lines} lines: perhaps two stories", file.path);
        }
    }
    workspace::report("tidy", &findings(&files)?)
}

fn findings(files: &[TextFile]) -> Result<Vec<String>> {
    let mut found = manifests::check(&workspace::metadata()?, files);
    found.extend(requirements::check(files));
    for file in files.iter().filter(|file| !is_data(file)) {
        check_text(file, &mut found);
        if file.has_extension("rs") {
            check_rust(file, &mut found);
        }
        if file.has_extension("md") {
            check_links(file, &mut found);
        }
    }
    Ok(found)
}

/// What tests read is kept as it was made, and may say anything.
fn is_data(file: &TextFile) -> bool {
    ["/data/", "/fixtures/", "/proptest-regressions/"]
        .iter()
        .any(|part| file.path.contains(part))
}

fn is_source(file: &TextFile) -> bool {
    file.has_extension("rs") && file.path.contains("src/")
}

fn check_text(file: &TextFile, found: &mut Vec<String>) {
    let path = &file.path;
    for (line, number) in file.text.lines().zip(1..) {
        if line.ends_with([' ', '\t', '\r']) {
            found.push(format!("{path}:{number}: blanks at the end of the line"));
        }
        for (word, better) in WORDS {
            if contains_word(line, word) {
                found.push(format!("{path}:{number}: `{word}`: here it is `{better}`"));
            }
        }
        if let Some(directory) = machine_path(line) {
            found.push(format!(
                "{path}:{number}: `/{directory}/` is a path of one machine"
            ));
        }
    }
    if !file.text.is_empty() && (!file.text.ends_with('\n') || file.text.ends_with("\n\n")) {
        found.push(format!("{path}: should end with one newline"));
    }
}

/// Returns whether the line has the word, in any case, at the beginning of a word.
fn contains_word(line: &str, word: &str) -> bool {
    let line = line.to_lowercase();
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(char::is_alphanumeric))
}

/// Returns the directory of a machine that a path in this line begins with. In the middle of a path
/// the same name is innocent.
fn machine_path(line: &str) -> Option<&'static str> {
    MACHINE_DIRECTORIES.iter().copied().find(|directory| {
        line.match_indices(&format!("/{directory}/"))
            .any(|(at, _)| {
                !line[..at].ends_with(|c: char| c.is_alphanumeric() || "./_->})]*".contains(c))
            })
    })
}

fn check_rust(file: &TextFile, found: &mut Vec<String>) {
    let path = &file.path;
    if !file.text.starts_with("//!") {
        found.push(format!(
            "{path}: does not begin by saying what it owns (`//!`)"
        ));
    }
    for (line, number) in file.text.lines().zip(1..) {
        if let Some(word) = UNFINISHED.iter().find(|word| line.contains(**word)) {
            found.push(format!("{path}:{number}: `{word}`: finish it, or file it"));
        }
        let columns = line.chars().count();
        if columns > LINE_TOO_LONG && line.trim_start().starts_with("//") && !line.contains("://") {
            found.push(format!("{path}:{number}: a comment of {columns} columns"));
        }
    }
    if is_source(file) {
        let lines = file.text.lines().count();
        if lines > FILE_TOO_LONG {
            found.push(format!("{path}: {lines} lines, more than {FILE_TOO_LONG}"));
        }
        for (name, line, lines) in functions(&file.text) {
            if lines > FUNCTION_TOO_LONG {
                found.push(format!(
                    "{path}:{line}: `{name}` has {lines} lines, more than {FUNCTION_TOO_LONG}"
                ));
            }
        }
    }
}

/// Returns every function outside of tests: its name, its first line, how many lines it has.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let code = source::without_tests(&source::code(text));
    source::mentions(&code, "fn")
        .into_iter()
        .filter_map(|at| {
            // `fn(u8) -> u8` is a type: no name follows.
            let rest = code[at..].strip_prefix("fn ")?;
            let name = rest
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()?;
            let last = source::item_end(&code, at).saturating_sub(1).max(at);
            let first_line = source::line_of(&code, at);
            let lines = source::line_of(&code, last) - first_line + 1;
            Some((name.to_owned(), first_line, lines))
        })
        .collect()
}

fn check_links(file: &TextFile, found: &mut Vec<String>) {
    let here = Path::new(&file.path).parent().unwrap_or(Path::new(""));
    for (target, line) in links(&file.text) {
        let target_file = target.split('#').next().unwrap_or_default();
        let elsewhere = target.contains("://") || target.starts_with("mailto:");
        if !elsewhere && !workspace::root().join(here).join(target_file).exists() {
            found.push(format!("{}:{line}: no such file: {target}", file.path));
        }
    }
}

/// Returns the targets of `[text](target)`, with their lines; not those in blocks of code.
fn links(markdown: &str) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (line, number) in markdown.lines().zip(1..) {
        in_code ^= line.trim_start().starts_with("```");
        if !in_code {
            let targets = line
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split(')').next());
            found.extend(targets.map(|target| (target, number)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_project_is_tidy() -> Result {
        assert_eq!(findings(&workspace::text_files()?)?, Vec::<String>::new());
        Ok(())
    }

    fn check_found(path: &str, text: &str, expected: &[&str]) {
        let file = TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let mut found = Vec::new();
        check_text(&file, &mut found);
        check_rust(&file, &mut found);
        assert_eq!(found, expected, "of {text:?}");
    }

    #[test]
    fn blanks_and_missing_newlines_are_found() {
        check_found("a.rs", "//! x\n", &[]);
        check_found(
            "a.rs",
            "//! x \n",
            &["a.rs:1: blanks at the end of the line"],
        );
        check_found("a.rs", "//! x", &["a.rs: should end with one newline"]);
        check_found("a.rs", "//! x\n\n", &["a.rs: should end with one newline"]);
        check_found(
            "a.rs",
            "fn f() {}\n",
            &["a.rs: does not begin by saying what it owns (`//!`)"],
        );
    }

    #[test]
    fn a_word_that_has_a_better_one_is_found() {
        for (word, better) in WORDS {
            let text = format!("//! A{word}, one {}s: x\n", word.to_uppercase());
            check_found(
                "a.rs",
                &text,
                &[&format!("a.rs:1: `{word}`: here it is `{better}`")],
            );
            check_found("a.rs", &format!("//! A{word} alone.\n"), &[]);
        }
    }

    #[test]
    fn unfinished_work_and_wide_comments_are_found() {
        let text = format!("//! {}: later\n", UNFINISHED[0]);
        check_found(
            "a.rs",
            &text,
            &[&format!(
                "a.rs:1: `{}`: finish it, or file it",
                UNFINISHED[0]
            )],
        );
        let text = format!("//! {}\n", "x".repeat(97));
        check_found("a.rs", &text, &["a.rs:1: a comment of 101 columns"]);
    }

    #[test]
    fn a_machine_path_is_told_from_a_directory_inside_another() {
        for directory in MACHINE_DIRECTORIES {
            for before in ["", "see ", "\"", "`", "(", "="] {
                assert_eq!(
                    machine_path(&format!("{before}/{directory}/x")),
                    Some(*directory)
                );
            }
            for before in ["overlay/<id>", "a", "..", "$ROOT", "{id}"] {
                assert_eq!(
                    machine_path(&format!("{before}/{directory}/x")),
                    None,
                    "{before}"
                );
            }
        }
    }

    #[test]
    fn functions_are_measured_from_their_first_to_their_last_line() {
        let text = "\
pub(crate) fn one(x: [u8; 4]) -> u8 { x[0] }
trait T {
    fn declared(
        &self,
    ) -> u8;
    fn given(&self) -> &str {
        let f: fn(u8) -> u8 = one; // fn not_code() {
        \"}\"
    }
}
#[cfg(test)]
mod tests {
    fn in_tests() {
    }
}
";
        let expected = [("one", 1, 1), ("declared", 3, 3), ("given", 6, 4)];
        assert_eq!(
            functions(text),
            expected.map(|(name, at, n)| (name.to_owned(), at, n))
        );
    }

    #[test]
    fn a_function_longer_than_a_screen_is_found() {
        let function =
            |lines: usize| format!("//! x\nfn f() {{\n{}}}\n", "    g();\n".repeat(lines));
        check_found("src/a.rs", &function(FUNCTION_TOO_LONG - 2), &[]);
        check_found(
            "src/a.rs",
            &function(FUNCTION_TOO_LONG - 1),
            &["src/a.rs:2: `f` has 71 lines, more than 70"],
        );
        check_found("tests/a.rs", &function(FUNCTION_TOO_LONG), &[]);
    }

    #[test]
    fn links_are_read_outside_of_code_blocks() {
        let text = "[a](b.md#c) and [d](https://e)\n```\n[f](g)\n```\n| [h](i) |\n";
        assert_eq!(links(text), [("b.md#c", 1), ("https://e", 1), ("i", 5)]);
    }

    #[test]
    fn a_link_to_nowhere_is_found() {
        let text = "[up](../Cargo.toml#x), [gone](gone.md), [here](#here), [web](https://a.b)\n";
        let file = TextFile {
            path: "docs/x.md".to_owned(),
            text: text.to_owned(),
        };
        let mut found = Vec::new();
        check_links(&file, &mut found);
        assert_eq!(found, ["docs/x.md:1: no such file: gone.md"]);
    }
}
