//! The file that a recipe becomes when it is whole, for `split` and `unpack --recipe`.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::Path;

use layergraph::archive::recipe::NewRecipe;
use layergraph::fs::{Dir, Staging};

use crate::console::Console;
use crate::output::Output;
use crate::place::{Place, open_dir};
use crate::report::Why;

/// What the recipe is called while it is made.
const NAME: &str = "recipe";

/// A recipe that is being made in a temporary directory.
pub(crate) struct RecipeFile {
    staging: Staging,
    output: Output,
}

impl RecipeFile {
    /// Prepares for a recipe that gets into `file`, or to stdout if there is none. It must not
    /// become a part of `trees`.
    pub(crate) fn new(
        file: Option<&Path>,
        trees: &[&Path],
        console: &Console,
    ) -> Result<RecipeFile, Why> {
        let output = Output::open(file, trees, console)?;
        // Beside the output, or, where that is none on a disk, where the system has such files.
        let home = match (&output, file) {
            (Output::Whole(_), Some(path)) => Place::find(path)?.parent,
            _ => open_dir(&env::temp_dir())?,
        };
        let staging = Staging::new(&home)?;
        Ok(RecipeFile { staging, output })
    }

    /// Returns the temporary directory.
    pub(crate) fn dir(&self) -> &Dir {
        self.staging.dir()
    }

    /// Returns where in it the recipe is to be made.
    pub(crate) fn place(&self) -> NewRecipe<'_> {
        NewRecipe {
            home: self.dir(),
            name: OsStr::new(NAME),
        }
    }

    /// Puts the recipe where it belongs.
    pub(crate) fn publish(mut self, console: &Console) -> Result<(), Why> {
        let mut recipe = self.dir().open_file(OsStr::new(NAME))?;
        io::copy(&mut recipe, &mut self.output).map_err(Why::Output)?;
        self.output.finish()?;
        if let Err(error) = self.staging.discard() {
            console.warn("remove temporary files", &error);
        }
        Ok(())
    }
}
