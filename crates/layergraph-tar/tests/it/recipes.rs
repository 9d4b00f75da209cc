//! Split then assemble is the identity, for every archive that the reader accepts.

mod contents;
mod go;
mod hostile;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use layergraph_tar::recipe::{
    AssembleError, Assembled, Entry, FileEntry, Recipe, RecipeError, RecipeWriter, assemble,
};
use layergraph_tar::{Limits, Reader, TarError};
use proptest::prelude::*;

use crate::support::craft::{END, GNU, Header, MAGIC, V7, file, long, pax, record};
use crate::support::tree;
use crate::taps::{Dribble, content, sizes, stream};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What splitting leaves: the recipe, and contents by where they stood in the archive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) recipe: Vec<u8>,
    pub(crate) contents: BTreeMap<u64, Vec<u8>>,
    pub(crate) names: Vec<(Vec<u8>, u64)>,
}

/// Splits an archive; says of each member in turn whether its content is kept in the recipe.
pub(crate) fn split<R: Read>(archive: R, keep: &[bool]) -> std::result::Result<Split, TarError> {
    let mut keep = keep.iter().copied().cycle();
    let mut reader = Reader::with(archive, RecipeWriter::new(Vec::new()), Limits::default());
    let mut contents = BTreeMap::new();
    let mut names = Vec::new();
    while let Some(member) = reader.next_member()? {
        let is_kept = keep.next().unwrap_or(false);
        if is_kept {
            reader.tap_mut().keep_content();
        }
        let content = tree::data(&mut reader)?;
        if !is_kept && member.sparse.is_none() {
            names.push((member.path, member.data_position));
            contents.insert(member.data_position, content);
        }
    }
    let recipe = reader.finish()?.tap.finish();
    Ok(Split {
        recipe: recipe.expect("a vector takes all"),
        contents,
        names,
    })
}

/// Assembles, and checks that the source is asked for what it has.
pub(crate) fn join(split: &Split) -> std::result::Result<(Vec<u8>, Assembled), AssembleError> {
    let mut archive = Vec::new();
    let asked = RefCell::new(Vec::new());
    let source = |file: &FileEntry| {
        asked.borrow_mut().push((file.name.clone(), file.offset));
        let content = split.contents.get(&file.offset);
        Ok(content.ok_or(io::ErrorKind::NotFound)?.as_slice())
    };
    let assembled = assemble(Recipe::new(&split.recipe[..])?, source, &mut archive)?;
    let asked = asked.into_inner();
    let with_content = split
        .names
        .iter()
        .filter(|name| !split.contents[&name.1].is_empty());
    assert!(asked.iter().eq(with_content), "{asked:?}");
    assert_eq!(assembled.contents, asked.len() as u64);
    assert_eq!(assembled.size, archive.len() as u64);
    Ok((archive, assembled))
}

pub(crate) fn entries(recipe: &[u8]) -> std::result::Result<Vec<Entry>, RecipeError> {
    Recipe::new(recipe)?.collect()
}

/// The lines of a recipe.
pub(crate) fn text(recipe: &[u8]) -> io::Result<String> {
    let mut text = String::new();
    MultiGzDecoder::new(recipe).read_to_string(&mut text)?;
    Ok(text)
}

/// Splits and assembles an archive that must be accepted; nothing of it is kept without need.
fn check(parts: &[Vec<u8>]) -> Result<Split> {
    let archive = parts.concat();
    let split = split(&archive[..], &[false])?;
    assert!(join(&split)?.0 == archive, "it is another archive");
    Ok(split)
}

/// The sparse forms of GNU tar, each of a file of 8192 bytes with 100 at 4096.
fn sparse() -> [Vec<u8>; 4] {
    let data = [b's'; 100];
    let old = Header::new(b"old", b'S')
        .with(MAGIC, GNU)
        .with(386..398, b"00000010000\0")
        .with(398..410, b"00000000144\0")
        .with(483..495, b"00000020000\0")
        .data(&data);
    let first = pax(&[
        ("GNU.sparse.size", b"8192"),
        ("GNU.sparse.numblocks", b"1"),
        ("GNU.sparse.offset", b"4096"),
        ("GNU.sparse.numbytes", b"100"),
    ]);
    let second = pax(&[
        ("GNU.sparse.name", b"0.1"),
        ("GNU.sparse.size", b"8192"),
        ("GNU.sparse.numblocks", b"1"),
        ("GNU.sparse.map", b"4096,100"),
    ]);
    let third = pax(&[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"1.0"),
        ("GNU.sparse.realsize", b"8192"),
    ]);
    let mut map = b"1\n4096\n100\n".to_vec();
    map.resize(512, 0);
    map.extend_from_slice(&data);
    [
        old,
        [first, file(b"0.0", &data)].concat(),
        [second, file(b"x", &data)].concat(),
        [third, file(b"x", &map)].concat(),
    ]
}

/// A global header.
fn global() -> Vec<u8> {
    Header::new(b"pax_global_header", b'g').data(&record("comment", b"all"))
}

/// A member and what is odd about it.
fn member() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        3 => Just(b"same".to_vec()),
        1 => "[a-z\"\\\\<&>\u{1}-\u{1f}é\u{2028}]{1,20}".prop_map(String::into_bytes),
        // A slash at the end would make a directory of it.
        1 => prop::collection::vec(1..=255_u8, 1..99).prop_map(|name| [&name[..], b"n"].concat()),
    ];
    let file = (name, content(0..1500)).prop_flat_map(|(name, content)| {
        let plain = file(&name, &content);
        let odd = {
            let mut odd = plain.clone();
            odd[512 + content.len()..].fill(b'p');
            odd
        };
        let extended = [
            pax(&[("path", &name), ("mtime", b"-1.5")]),
            file(b"x", &content),
        ];
        let v7 = Header::new(&name, 0).with(MAGIC, V7).data(&content);
        prop::sample::select(vec![
            plain,
            odd,
            extended.concat(),
            [long(b'L', &name.repeat(20)), v7].concat(),
        ])
    });
    let link = [
        long(b'K', &b"t".repeat(300)),
        Header::new(b"hard", b'1').link(b"same").block(),
    ];
    prop_oneof![
        6 => file,
        2 => prop::sample::select(sparse().to_vec()),
        1 => Just(global()),
        1 => Just(link.concat()),
        1 => Just(Header::new(b"same/", b'5').size(77).block()),
    ]
}

fn accepted_stream() -> impl Strategy<Value = Vec<u8>> {
    let end = prop_oneof![
        Just(Vec::new()),
        Just(END.to_vec()),
        content(0..3000).prop_map(|rest| [END.to_vec(), rest].concat()),
    ];
    let members = prop::collection::vec(member(), 0..8);
    (members, end).prop_map(|(members, end)| [members.concat(), end].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn split_then_assemble_is_the_identity(
        stream in accepted_stream(),
        keep in prop::collection::vec(any::<bool>(), 1..5),
        sizes in sizes(),
    ) {
        let split_whole = split(&stream[..], &keep).expect("the reader accepts it");
        prop_assert!(join(&split_whole).expect("nothing has changed").0 == stream);
        let in_pieces = split(Dribble::new(&stream, sizes), &keep);
        prop_assert!(in_pieces.expect("the reader accepts it") == split_whole);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_accepted_comes_out_again_and_nothing_else_gets_a_recipe(stream in stream()) {
        if let Ok(split) = split(&stream[..], &[false, true]) {
            prop_assert!(join(&split).expect("nothing has changed").0 == stream);
        }
    }
}

#[test]
fn every_odd_archive_comes_out_again() -> Result {
    let mut odd = file(b"odd", b"abc");
    odd[515..].fill(b'p');
    let unpadded = file(b"last", b"abc")[..515].to_vec();
    check(&[])?;
    check(&[END.to_vec()])?;
    check(&[vec![0; 20 << 10]])?;
    check(&[odd.clone(), END.to_vec()])?;
    check(&[odd, b"x".repeat(0), vec![0; 700]])?;
    check(&[file(b"a", b"1")])?;
    check(&[unpadded])?;
    check(&[file(b"a", b"1"), END.to_vec(), b"after the end".to_vec()])?;
    check(&[file(b"a", b"1"), END.to_vec(), file(b"b", b"2")])?;
    check(&[
        global(),
        global(),
        long(b'L', &b"n".repeat(200)),
        Header::new(b"n", b'5').with(MAGIC, GNU).block(),
        pax(&[("path", b"\xff\xfe"), ("size", b"3")]),
        file(b"x", b"abc"),
        Header::new(b"v7/", 0).with(MAGIC, V7).block(),
        Header::new(b"hard", b'1').link(b"\xff\xfe").block(),
        END.to_vec(),
    ])?;
    Ok(())
}

#[test]
fn members_of_one_name_are_told_apart_by_their_place() -> Result {
    let split = check(&[
        file(b"same", b"the first"),
        file(b"./same", b"another"),
        file(b"same", b"the last"),
        END.to_vec(),
    ])?;
    let files: Vec<_> = entries(&split.recipe)?
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::File(file) => Some((file.name, file.offset, file.position)),
            _ => None,
        })
        .collect();
    let expected = [
        (b"same".to_vec(), 512, 1),
        (b"./same".to_vec(), 1536, 3),
        (b"same".to_vec(), 2560, 5),
    ];
    assert_eq!(files, expected);
    Ok(())
}

#[test]
fn sparse_members_are_in_the_recipe_whole() -> Result {
    for member in sparse() {
        let split = check(&[file(b"a", b"1"), member, file(b"b", b"2"), END.to_vec()])?;
        let names: Vec<_> = split.names.iter().map(|(name, _)| &name[..]).collect();
        assert_eq!(names, [b"a", b"b"]);
    }
    Ok(())
}

#[test]
fn a_segment_begins_with_the_padding_of_the_member_before_and_ends_with_headers() -> Result {
    let archive = [
        file(b"a", b"1"),
        sparse()[3].clone(),
        file(b"kept", &b"k".repeat(700)),
        file(b"b", b"2"),
        END.to_vec(),
    ]
    .concat();
    let split = split(&archive[..], &[false, false, true, false])?;
    let lengths: Vec<_> = entries(&split.recipe)?
        .into_iter()
        .map(|entry| match entry {
            Entry::Segment(bytes) => bytes.len(),
            Entry::File(_) => 0,
            _ => usize::MAX,
        })
        .collect();
    let sparse = 511 + sparse()[3].len() - 412;
    let kept = 412 + 512 + 700;
    assert_eq!(lengths, [512, 0, sparse, kept, 324 + 512, 0, 511 + 1024]);
    assert_eq!(join(&split)?.0, archive);
    Ok(())
}

#[test]
fn long_runs_come_in_pieces() -> Result {
    let after = b"after the end ".repeat(200_000);
    let archive = [&END[..], &after].concat();
    let split = split(&archive[..], &[false])?;
    let entries = entries(&split.recipe)?;
    let lengths: Vec<_> = entries
        .iter()
        .map(|entry| match entry {
            Entry::Segment(bytes) => bytes.len(),
            _ => 0,
        })
        .collect();
    assert_eq!(lengths, [1 << 20, 1 << 20, archive.len() - (2 << 20)]);
    assert_eq!(join(&split)?.0, archive);
    Ok(())
}
