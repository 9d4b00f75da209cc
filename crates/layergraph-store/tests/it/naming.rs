//! Names of images, and finding images.

use layergraph_store::StoreErrorKind;

use crate::support::{Lab, Memory, Result, import, name};

#[test]
fn an_image_is_found_by_name_digest_id_and_the_beginning_of_these() -> Result {
    let lab = Lab::new("vfs")?;
    import(&lab.store, &Memory::of("user/app:v1", &[&["f = 1"]]))?;
    let image = lab.store.image("user/app:v1")?;
    for text in [
        "docker.io/user/app:v1".to_owned(),
        image.manifest.to_string(),
        image.manifest.hex(),
        image.id.to_string(),
        image.id.hex()[..12].to_owned(),
        format!("user/app@{}", image.manifest),
        format!("user/app:v1@{}", image.manifest),
    ] {
        assert_eq!(lab.store.image(&text)?, image, "{text}");
    }
    for (text, kind) in [
        ("user/app", StoreErrorKind::NotFound),
        ("other", StoreErrorKind::NotFound),
        ("0123456789abcdef0123", StoreErrorKind::NotFound),
        ("UPPER", StoreErrorKind::InvalidName),
        ("", StoreErrorKind::InvalidName),
        ("../x", StoreErrorKind::InvalidName),
    ] {
        let error = lab.store.image(text).expect_err(text);
        assert_eq!(error.kind(), kind, "{text}: {error}");
    }
    Ok(())
}

#[test]
fn a_beginning_that_several_images_have_is_ambiguous() -> Result {
    let lab = Lab::new("vfs")?;
    for number in 0..17 {
        let line = format!("f = {number}");
        import(&lab.store, &Memory::of(&format!("x:{number}"), &[&[&line]]))?;
    }
    // Of so many two begin with the same digit.
    let kinds: Vec<_> = "0123456789abcdef"
        .chars()
        .filter_map(|digit| lab.store.image(&digit.to_string()).err())
        .map(|error| error.kind())
        .collect();
    assert!(kinds.contains(&StoreErrorKind::Ambiguous), "{kinds:?}");
    Ok(())
}

#[test]
fn a_name_moves_to_the_image_that_gets_it_last() -> Result {
    let lab = Lab::new("vfs")?;
    let one = import(&lab.store, &Memory::of("x", &[&["f = 1"]]))?
        .remove(0)
        .image;
    let two = import(&lab.store, &Memory::of("x", &[&["f = 2"]]))?
        .remove(0)
        .image;
    assert_eq!(lab.store.image("x")?.manifest, two.manifest);
    let all = lab.store.images()?.images;
    let unnamed = all.iter().find(|image| image.names.is_empty());
    assert_eq!(unnamed.map(|image| image.manifest), Some(one.manifest));
    lab.store.tag(&one.manifest, &name("y:1"))?;
    lab.store.tag(&one.manifest, &name("a/b:c"))?;
    lab.store.tag(&two.manifest, &name("a:b"))?;
    assert_eq!(lab.store.image("y:1")?.names, [name("a/b:c"), name("y:1")]);
    assert_eq!(lab.store.image("a:b")?.manifest, two.manifest);
    lab.store.untag(&name("y:1"))?;
    for done in [
        lab.store.untag(&name("y:1")),
        lab.store.tag(&one.id, &name("z")),
    ] {
        assert_eq!(
            done.expect_err("it is not there").kind(),
            StoreErrorKind::NotFound
        );
    }
    Ok(())
}

#[test]
fn r34_a_broken_record_hides_no_other_image() -> Result {
    let lab = Lab::new("vfs")?;
    let one = import(&lab.store, &Memory::of("one", &[&["f = 1"]]))?
        .remove(0)
        .image;
    import(&lab.store, &Memory::of("two", &[&["f = 2"]]))?;
    std::fs::write(
        lab.place.path().join("images").join(one.manifest.hex()),
        "{",
    )?;
    let all = lab.store.images()?;
    assert_eq!((all.images.len(), all.broken_images.len()), (1, 1));
    assert!(lab.store.image("two").is_ok());
    let error = lab.store.image("one").expect_err("it is broken");
    assert_eq!(error.kind(), StoreErrorKind::Damaged);
    Ok(())
}
