//! Archives of 2015, which have no manifests.

use std::io::Read;

use layergraph_image::NodeId;
use layergraph_oci::{LegacyArchive, OciError, Opened};

use crate::support::{File, Of, Result, Symlink, gzip, layer, open_bytes, tar};

fn id(digit: char) -> NodeId {
    let text: String = std::iter::repeat_n(digit, 64).collect();
    text.parse().expect("an id")
}

fn json(digit: char, parent: Option<char>) -> String {
    let parent = parent.map_or(String::new(), |parent| {
        format!(r#","parent":"{}""#, id(parent))
    });
    format!(r#"{{"id":"{}"{parent}, "unknown":1}}"#, id(digit))
}

/// Makes an archive of layers with these parents.
fn archive(layers: &[(char, Option<char>)], repositories: &str) -> Vec<u8> {
    let packed = gzip(&layer("text"));
    let mut files = Vec::new();
    for &(digit, parent) in layers {
        files.push((
            format!("{}/json", id(digit)),
            json(digit, parent).into_bytes(),
        ));
        files.push((format!("{}/VERSION", id(digit)), b"1.0".to_vec()));
        files.push((format!("{}/layer.tar", id(digit)), packed.clone()));
    }
    files.push(("repositories".to_owned(), repositories.as_bytes().to_vec()));
    let members: Vec<_> = files
        .iter()
        .map(|(name, data)| (name.as_str(), File(data)))
        .collect();
    tar(&members)
}

fn opened(bytes: &[u8]) -> Result<LegacyArchive, OciError> {
    match open_bytes(bytes)? {
        Opened::Legacy(archive) => Ok(archive),
        Opened::Images(_) => panic!("it has no manifests"),
    }
}

#[test]
fn layers_come_behind_their_parents_with_their_names() -> Result {
    let names = format!(
        r#"{{"x":{{"1":"{0}","2":"{1}"}},"a/y":{{"1":"{0}"}}}}"#,
        id('a'),
        id('c')
    );
    let bytes = archive(
        &[
            ('a', Some('b')),
            ('b', Some('c')),
            ('c', None),
            ('d', Some('e')),
        ],
        &names,
    );
    let archive = opened(&bytes)?;
    let found: Vec<_> = archive
        .images()
        .iter()
        .map(|image| (image.id, image.parent))
        .collect();
    let expected = [
        ('c', None),
        ('b', Some('c')),
        ('a', Some('b')),
        ('d', Some('e')),
    ];
    assert_eq!(
        found,
        expected.map(|(digit, parent)| (id(digit), parent.map(id)))
    );
    let names: Vec<Vec<String>> = archive
        .images()
        .iter()
        .map(|image| image.names.iter().map(ToString::to_string).collect())
        .collect();
    let of_a = vec![
        "docker.io/a/y:1".to_owned(),
        "docker.io/library/x:1".to_owned(),
    ];
    assert_eq!(
        names,
        [
            vec!["docker.io/library/x:2".to_owned()],
            vec![],
            of_a,
            vec![]
        ]
    );
    Ok(())
}

#[test]
fn json_and_layers_are_given_in_their_exact_bytes() -> Result {
    let archive = opened(&archive(&[('a', None)], "{}"))?;
    assert_eq!(archive.json(id('a'))?, json('a', None).as_bytes());
    let mut bytes = Vec::new();
    archive.layer(id('a'))?.read_to_end(&mut bytes)?;
    assert_eq!(bytes, gzip(&layer("text")));
    assert!(archive.layer(id('b')).is_err());
    Ok(())
}

#[test]
fn r2_ids_and_names_of_2015_are_checked() {
    let traversal = r#"{"x":{"1":"../../../../etc"}}"#;
    let bytes = archive(&[('a', None)], traversal);
    assert!(matches!(opened(&bytes), Err(OciError::Id { .. })));
    for name in ["../x", "X", "-o", "x\\n"] {
        let names = format!(r#"{{"{name}":{{"1":"{}"}}}}"#, id('a'));
        let bytes = archive(&[('a', None)], &names);
        assert!(
            matches!(opened(&bytes), Err(OciError::Name { .. })),
            "{name}"
        );
    }
}

#[test]
fn layers_that_contradict_each_other_are_refused() {
    let missing = format!(r#"{{"x":{{"1":"{}"}}}}"#, id('b'));
    let result = opened(&archive(&[('a', None)], &missing));
    assert!(matches!(result, Err(OciError::Member { .. })), "{result:?}");
    // Two ways to write one name.
    let twice = format!(
        r#"{{"x":{{"1":"{0}"}},"library/x":{{"1":"{0}"}}}}"#,
        id('a')
    );
    let result = opened(&archive(&[('a', None)], &twice));
    assert!(
        matches!(result, Err(OciError::Ambiguous { .. })),
        "{result:?}"
    );
    for circle in [
        &[('a', Some('a'))][..],
        &[('a', Some('b')), ('b', Some('c')), ('c', Some('b'))],
    ] {
        let result = opened(&archive(circle, "{}"));
        assert!(
            matches!(result, Err(OciError::Contradiction { .. })),
            "{result:?}"
        );
    }
    let other = json('b', None);
    let name = format!("{}/json", id('a'));
    let members: [(&str, Of<'_>); 2] = [
        (&name, File(other.as_bytes())),
        ("repositories", File(b"{}")),
    ];
    let result = opened(&tar(&members));
    assert!(
        matches!(result, Err(OciError::Contradiction { .. })),
        "{result:?}"
    );
}

#[test]
fn a_layer_that_leads_out_of_the_archive_is_refused() -> Result {
    let json = json('a', None);
    let (name, layer) = (
        format!("{}/json", id('a')),
        format!("{}/layer.tar", id('a')),
    );
    for target in ["/etc/passwd", "../../etc/passwd"] {
        let members: [(&str, Of<'_>); 3] = [
            (&name, File(json.as_bytes())),
            (&layer, Symlink(target)),
            ("repositories", File(b"{}")),
        ];
        let archive = opened(&tar(&members))?;
        assert!(matches!(
            archive.layer(id('a')).err(),
            Some(OciError::Member { .. })
        ));
    }
    Ok(())
}
