//! The story of layers that came from elsewhere: those of an image that the user names.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::Result;
use crate::demo::image;
use crate::demo::laws::{Layer, check_refusals, check_round_trip};
use crate::demo::screen::{Size, grouped, say};
use crate::demo::shell::Shell;

/// The image, as a directory.
const IMAGE: &str = "image";
/// The image, if it is an archive.
const ARCHIVE: &str = "image.tar";

/// With more layers than this, the command line of the first stands for all.
const FEW: usize = 3;

/// Tells the story of the image at `path`.
pub(crate) fn run(shell: &mut Shell, path: &Path) -> Result {
    let files = open(shell, path)?;
    shell.screen.step(
        "Registered, each layer on the one below",
        "As they came, in whatever codec. The store makes the tree of each.",
    );
    let layers = register(shell, files)?;
    look(shell, &layers)?;
    shell.screen.step(
        "Exported and applied again",
        "Each layer has to come out byte for byte, and, applied on its parent's tree, to make its own tree exactly, \
         and so have the layers as they came.",
    );
    check_round_trip(shell, &layers)?;
    check_refusals(shell, &layers)
}

/// Makes the image a directory here, and returns the files of its layers.
fn open(shell: &mut Shell, path: &Path) -> Result<Vec<String>> {
    let shown = path.display();
    shell.screen.step(
        &format!("The layers of {shown}"),
        "A docker-archive or an OCI layout; an archive is a tar itself, and unpacked.",
    );
    if path.is_dir() {
        symlink(path, shell.path(IMAGE))?;
    } else {
        symlink(path, shell.path(ARCHIVE))?;
        let ran = shell.run(&["unpack", ARCHIVE, IMAGE], 1)?;
        let bytes = shell.size_of(ARCHIVE)?;
        shell.took("unpack the archive", Size { files: 0, bytes }, ran.time);
    }
    let image = image::read(&shell.path(IMAGE)).map_err(|error| format!("{shown}: {error}"))?;
    say(&format!(
        "{}: {}.",
        image.name.as_deref().unwrap_or("An image without a name"),
        match image.layers.len() {
            1 => "1 layer".to_owned(),
            number => format!("{number} layers"),
        }
    ));
    let files = image.layers.iter().map(|layer| format!("{IMAGE}/{layer}"));
    Ok(files.collect())
}

fn register(shell: &mut Shell, files: Vec<String>) -> Result<Vec<Layer>> {
    let all = files.len();
    let mut layers: Vec<Layer> = Vec::new();
    for (file, number) in files.into_iter().zip(1..) {
        let mut args = vec!["register"];
        if let Some(parent) = layers.last() {
            args.extend(["--parent", parent.short()]);
        }
        args.push(&file);
        let ran = if all <= FEW || number <= 2 {
            shell.run(&args, 1)?
        } else {
            shell.quietly(&args)?
        };
        let bytes = shell.size_of(&file)?;
        shell.took(
            "register a layer on its parent",
            Size { files: 0, bytes },
            ran.time,
        );
        let printed = ran.text();
        let id = id_in(&printed).ok_or(format!("register prints no id: {printed:?}"))?;
        layers.push(Layer {
            id: id.to_owned(),
            name: format!("layer {number} of {all}"),
            file,
            source: None,
        });
    }
    if all > FEW {
        say(&format!("And so on: {all} layers."));
    }
    Ok(layers)
}

/// Returns the id in what a command prints.
fn id_in(printed: &str) -> Option<&str> {
    let is_id = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    printed.split_whitespace().find(is_id)
}

fn look(shell: &mut Shell, layers: &[Layer]) -> Result {
    let top = layers.last().ok_or("there are no layers")?;
    shell.screen.step(
        "What the store holds",
        "Layers form a graph, each above its parent; the first digits of an id are enough.",
    );
    let ran = shell.run(&["layers"], 6)?;
    shell.took("list the layers", Size::default(), ran.time);
    shell.run(&["tree"], 6)?;
    shell.run(&["history", top.short()], 6)?;
    let mounted = shell.mount(top.short(), true)?;
    let entries = fs::read_dir(shell.path(&mounted))?.count();
    shell.unmount(&mounted, true)?;
    say(&format!(
        "The root of the tree has {} entries.",
        grouped(entries)
    ));
    let ran = shell.run(&["changes", top.short()], 6)?;
    shell.took("compare a layer with its parent", Size::default(), ran.time);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_among_other_words() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(id_in(&format!("made {id} of 5 bytes\n")), Some(&*id));
        assert_eq!(id_in(&format!("sha256:{id} 0123")), None);
    }
}
