//! Agreement with Go's tar-split, whose recipes are in `tests/data/recipes`.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use layergraph_tar::Reader;
use layergraph_tar::recipe::{Entry, FileEntry, Recipe, assemble};

use super::{Result, entries, split, text};
use crate::support::tree;

/// The archives that Go's tar-split and we record alike.
const ALIKE: [&str; 6] = ["cut", "empty", "gnu", "pax", "trailing", "ustar"];

fn read(name: &str) -> io::Result<Vec<u8>> {
    let directory: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/data/recipes"]
        .iter()
        .collect();
    std::fs::read(directory.join(name))
}

/// What a recipe says, however it cuts its segments: the files, and the bytes before, between and
/// after their contents.
///
/// The place of a file without content is not compared: of a global header's padding Go's tar-split
/// makes the beginning of the next segment.
#[derive(PartialEq, Eq, Default)]
struct Meaning {
    files: Vec<(String, u64, u64, u64)>,
    runs: Vec<Vec<u8>>,
}

fn meaning(recipe: &[u8]) -> Result<Meaning> {
    let mut meaning = Meaning::default();
    let mut run = Vec::new();
    for entry in entries(recipe)? {
        match entry {
            Entry::Segment(bytes) => run.extend(bytes),
            Entry::File(file) => {
                let has_content = file.size > 0;
                let offset = if has_content { file.offset } else { 0 };
                let name = file.name.escape_ascii().to_string();
                meaning.files.push((name, file.size, file.checksum, offset));
                if has_content {
                    meaning.runs.push(std::mem::take(&mut run));
                }
            }
            _ => return Err("an unknown kind of entry".into()),
        }
    }
    meaning.runs.push(run);
    Ok(meaning)
}

/// Assembles with contents by name, none for names that have none.
fn assemble_by_name(archive: &[u8], recipe: &[u8]) -> Result<Vec<u8>> {
    let mut contents = BTreeMap::new();
    let mut reader = Reader::new(archive);
    while let Some(member) = reader.next_member()? {
        contents.insert(member.path, tree::data(&mut reader)?);
    }
    let source = |file: &FileEntry| Ok(contents[&file.name].as_slice());
    let mut assembled = Vec::new();
    assemble(Recipe::new(recipe)?, source, &mut assembled)?;
    Ok(assembled)
}

#[test]
fn recipes_made_by_go_assemble() -> Result {
    for name in ALIKE.into_iter().chain(["sized"]) {
        let archive = read(&format!("{name}.tar"))?;
        let recipe = read(&format!("{name}.json.gz"))?;
        assert!(assemble_by_name(&archive, &recipe)? == archive, "{name}");
    }
    Ok(())
}

#[test]
fn recipes_made_by_go_have_the_entries_of_ours() -> Result {
    for name in ALIKE {
        let ours = split(&read(&format!("{name}.tar"))?[..], &[false])?.recipe;
        let theirs = read(&format!("{name}.json.gz"))?;
        let (ours, theirs) = (meaning(&ours)?, meaning(&theirs)?);
        assert_eq!(ours.files, theirs.files, "{name}");
        assert!(ours.runs == theirs.runs, "what is no content of {name}");
    }
    Ok(())
}

/// Where an archive has its end marker and nothing else after its members, the lines are the same
/// text, but for a last segment without bytes.
#[test]
fn lines_are_written_as_go_writes_them() -> Result {
    let ours = text(&split(&read("cut.tar")?[..], &[false])?.recipe)?;
    let theirs = text(&read("cut.json.gz")?)?;
    let empty = "{\"type\":2,\"payload\":\"\",\"position\":4}\n";
    assert_eq!(theirs, format!("{ours}{empty}"));
    Ok(())
}

/// A size that a header states for what has no content is not in our recipe: Go's tar-split would
/// ask for a content and find that of a directory.
#[test]
fn sizes_of_what_has_no_content_are_left_out() -> Result {
    let archive = read("sized.tar")?;
    let ours = text(&split(&archive[..], &[false])?.recipe)?;
    assert!(ours.contains(r#"{"type":1,"name":"d/","payload":null,"position":1}"#));
    assert!(ours.contains(r#"{"type":1,"name":"s","payload":null,"position":3}"#));
    Ok(())
}
