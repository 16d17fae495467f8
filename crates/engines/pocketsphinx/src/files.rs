//! Where the library and the model are, found without loading either.

use std::path::{Path, PathBuf};

use dalston_engine_sdk::{AnyLanguage, EngineError, Languages};

/// The shared library's name, whose number is its binary interface.
const LIBRARY: &str = "libpocketsphinx.so.3";
/// Where distributions and `make install` put shared libraries.
const LIBRARY_FOLDERS: [&str; 6] = [
    "/usr/local/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/riscv64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
];
/// Where Debian's `pocketsphinx-en-us` puts the American English model.
const MODEL_FOLDER: &str = "/usr/share/pocketsphinx/model/en-us";
/// The variable that leaves the library's log on.
pub const LOG_KEY: &str = "DALSTON_POCKETSPHINX_LOG";
const INSTALL: &str = "apt-get install libpocketsphinx3 pocketsphinx-en-us";

/// What may be set about PocketSphinx. Everything has a default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Path of `libpocketsphinx.so.3`, when it is in no usual folder. `DALSTON_POCKETSPHINX_LIBRARY`.
    pub library: Option<PathBuf>,
    /// Folder of a model: an acoustic model (a folder with `mdef`), a language model (`*.lm`, `*.lm.bin`) and a dictionary
    /// (`*.dict`, `*.dic`). `DALSTON_POCKETSPHINX_MODEL`.
    pub model: Option<PathBuf>,
    /// Leaves the library's own log on stderr: verbose, and with the words it hears. `DALSTON_POCKETSPHINX_LOG=1`.
    pub log: bool,
}

impl Settings {
    /// The settings of the environment.
    pub fn from_env() -> Self {
        let path = |key| std::env::var_os(key).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            library: path("DALSTON_POCKETSPHINX_LIBRARY"),
            model: path("DALSTON_POCKETSPHINX_MODEL"),
            log: std::env::var_os(LOG_KEY).is_some_and(|value| value == "1"),
        }
    }

    /// Finds the library and the model's files. Reads folders only: nothing is loaded, and no native code runs.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] with what is missing and how to get it.
    pub fn probe(&self) -> Result<Installation, EngineError> {
        let library = self.find_library()?;
        // The link's target carries the full version: `libpocketsphinx.so.3.0.0`.
        let target = library.canonicalize().unwrap_or_else(|_| library.clone());
        let version = target
            .file_name()
            .and_then(|name| name.to_str()?.split_once(".so.").map(|(_, version)| version.to_owned()))
            .unwrap_or_else(|| "3".to_owned());
        let folder = self.model.clone().unwrap_or_else(|| PathBuf::from(MODEL_FOLDER));
        Ok(Installation { library, version, model: Model::in_folder(&folder)? })
    }

    fn find_library(&self) -> Result<PathBuf, EngineError> {
        if let Some(path) = &self.library {
            let missing = || unavailable(&format!("the library {}", path.display()), "DALSTON_POCKETSPHINX_LIBRARY");
            return path.is_file().then(|| path.clone()).ok_or_else(missing);
        }
        let folders = LIBRARY_FOLDERS.iter().map(|folder| Path::new(folder).join(LIBRARY));
        folders.into_iter().find(|path| path.is_file()).ok_or_else(|| EngineError::Unavailable {
            what: format!("PocketSphinx ({LIBRARY})"),
            fix: INSTALL.to_owned(),
        })
    }
}

/// What a fresh look at the disk found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The shared library.
    pub library: PathBuf,
    /// Its version, e.g. `3.0.0`.
    pub version: String,
    /// The model.
    pub model: Model,
}

/// The files of one Sphinx model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The folder's name, e.g. `en-us`.
    pub name: String,
    /// The acoustic model's folder.
    pub acoustic: PathBuf,
    /// The language model.
    pub language_model: PathBuf,
    /// The pronunciation dictionary.
    pub dictionary: PathBuf,
}

impl Model {
    /// The model in a folder laid out as Sphinx models are: an acoustic folder, one language model, one dictionary.
    fn in_folder(folder: &Path) -> Result<Self, EngineError> {
        let missing = |part: &str| {
            unavailable(
                &format!("the PocketSphinx model in {} ({part})", folder.display()),
                "DALSTON_POCKETSPHINX_MODEL",
            )
        };
        let read = std::fs::read_dir(folder).map_err(|error| missing(&error.to_string()))?;
        let mut entries: Vec<PathBuf> = read.filter_map(|entry| Some(entry.ok()?.path())).collect();
        entries.sort();
        let ending = |endings: &'static [&str]| {
            // `…-phone.lm.bin` is a model of phones, for another kind of search.
            let named = move |path: &&PathBuf| {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                endings.iter().any(|ending| name.ends_with(ending)) && !name.contains("-phone.")
            };
            entries.iter().find(named).cloned()
        };
        let acoustic = std::iter::once(folder.to_owned())
            .chain(entries.iter().cloned())
            .find(|path| path.join("mdef").is_file())
            .ok_or_else(|| missing("no acoustic model: a folder with the file mdef"))?;
        Ok(Self {
            name: folder.file_name().map_or_else(|| "custom".to_owned(), |name| name.to_string_lossy().into_owned()),
            acoustic,
            language_model: ending(&[".lm.bin", ".lm", ".lm.gz", ".lm.DMP"])
                .ok_or_else(|| missing("no *.lm.bin or *.lm"))?,
            dictionary: ending(&[".dict", ".dic"]).ok_or_else(|| missing("no *.dict or *.dic"))?,
        })
    }

    /// The language by the folder's name (`en-us` is `en`: one model serves its variants), else any.
    pub fn languages(&self) -> Languages {
        let code = self.name.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        if matches!(code.len(), 2 | 3) && code.bytes().all(|b| b.is_ascii_lowercase()) {
            Languages::Only(vec![code])
        } else {
            Languages::Any(AnyLanguage::Any)
        }
    }
}

fn unavailable(what: &str, key: &str) -> EngineError {
    EngineError::Unavailable { what: what.to_owned(), fix: format!("{INSTALL}, or set {key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_packages_are_found() {
        let found = Settings::default().probe().expect(INSTALL);
        assert_eq!(found.model.name, "en-us");
        assert_eq!(found.model.languages(), Languages::Only(vec!["en".into()]));
        assert!(found.model.language_model.ends_with("en-us.lm.bin"), "{found:?}");
        assert!(found.version.starts_with('3'), "{found:?}");
    }

    #[test]
    fn what_is_missing_is_named_with_its_fix() {
        let gone = PathBuf::from("/nonexistent/model");
        let no_model = Settings { model: Some(gone.clone()), ..Settings::default() }.probe().unwrap_err().to_string();
        assert!(no_model.contains("/nonexistent/model") && no_model.contains("apt-get install"), "{no_model}");
        let no_library = Settings { library: Some(gone), ..Settings::default() }.probe().unwrap_err().to_string();
        assert!(no_library.contains("DALSTON_POCKETSPHINX_LIBRARY"), "{no_library}");
    }
}
