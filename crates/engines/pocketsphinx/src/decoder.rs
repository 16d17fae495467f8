//! A safe decoder over the C API: one loaded model, one utterance at a time, on one thread.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

use dalston_engine_sdk::EngineError;

use crate::ffi::{Api, CmdLn, Cmn, PsDecoder};
use crate::files::{Installation, LOG_KEY};
use crate::hypothesis::Segment;
use crate::search::Search;

/// The name under which the library keeps the search made from `-lm`.
const DEFAULT_SEARCH: &CStr = c"_default";
/// The name of the search for a text.
const TEXT_SEARCH: &CStr = c"text";

/// One decoder with its model. Neither `Send` nor `Sync`; and the library's log is one for the whole process, so decoders
/// of one process are not used at the same time either. The engine host has one thread, and a process per stream.
pub struct Decoder {
    api: Api,
    decoder: *mut PsDecoder,
    config: *mut CmdLn,
    /// The configuration points into these strings, so they go after it (`Drop` frees it first).
    _arguments: Vec<CString>,
    in_utterance: bool,
}

impl Decoder {
    /// Loads the model: a quarter of a second, 108 MB. The library speaks (on stderr) only with `log`; it **ends the process**
    /// on files that it cannot make sense of.
    pub fn load(installation: &Installation, search: Search, log: bool) -> Result<Self, EngineError> {
        // SAFETY: `Installation` names a `libpocketsphinx.so.3`, whose number is the interface that `Api` declares.
        let api = unsafe { Api::load(&installation.library) }.map_err(|error| EngineError::Unavailable {
            what: installation.library.display().to_string(),
            fix: format!("install the library of version 5prealpha (libpocketsphinx3): {error}"),
        })?;
        if !log {
            // SAFETY: a null stream is what silences the library.
            unsafe { (api.err_set_logfp)(ptr::null_mut()) };
        }
        let mut arguments = search.arguments(installation)?;
        let mut argv: Vec<*mut c_char> = arguments.iter_mut().map(|argument| argument.as_ptr().cast_mut()).collect();
        let argc = i32::try_from(argv.len()).expect("a dozen arguments");
        // SAFETY: `argv` holds `argc` valid strings which outlive the configuration; the library only reads them.
        let config = unsafe { (api.cmd_ln_parse_r)(ptr::null_mut(), (api.ps_args)(), argc, argv.as_mut_ptr(), 1) };
        // SAFETY: a null configuration is not used; a valid one is retained by the decoder.
        let decoder = if config.is_null() { ptr::null_mut() } else { unsafe { (api.ps_init)(config) } };
        let loaded = Self { api, decoder, config, _arguments: arguments, in_utterance: false };
        if decoder.is_null() {
            let model = &installation.model.name;
            return Err(EngineError::Failed(format!(
                "PocketSphinx did not load the model {model}; {LOG_KEY}=1 shows why"
            )));
        }
        Ok(loaded)
    }

    /// Begins an utterance, whose first frame is frame 0: the library would go on counting from the last one.
    pub fn start(&mut self) -> Result<(), EngineError> {
        // SAFETY: the decoder is valid for as long as `self` is; the same holds below.
        check("ps_start_stream", unsafe { (self.api.ps_start_stream)(self.decoder) })?;
        // SAFETY: as above.
        check("ps_start_utt", unsafe { (self.api.ps_start_utt)(self.decoder) })?;
        self.in_utterance = true;
        Ok(())
    }

    /// Decodes more of the utterance.
    pub fn process(&mut self, samples: &[i16]) -> Result<(), EngineError> {
        if samples.is_empty() || !self.in_utterance {
            return Ok(());
        }
        // SAFETY: the pointer and the length are one slice's.
        let frames = unsafe { (self.api.ps_process_raw)(self.decoder, samples.as_ptr(), samples.len(), 0, 0) };
        check("ps_process_raw", frames)
    }

    /// Ends the utterance: the later passes run here, and the cepstral mean becomes that of the audio heard.
    pub fn end(&mut self) -> Result<(), EngineError> {
        if !std::mem::take(&mut self.in_utterance) {
            return Ok(());
        }
        // SAFETY: as above.
        check("ps_end_utt", unsafe { (self.api.ps_end_utt)(self.decoder) })
    }

    /// The best path, so far or of the utterance that has ended.
    pub fn segments(&self) -> Vec<Segment> {
        let mut segments = Vec::new();
        // SAFETY: an iterator is valid until `ps_seg_next` returns null, which also frees it; the word is copied at once;
        // null pointers for scores are allowed.
        unsafe {
            let log_math = (self.api.ps_get_logmath)(self.decoder);
            let mut iterator = (self.api.ps_seg_iter)(self.decoder);
            while !iterator.is_null() {
                let word = (self.api.ps_seg_word)(iterator);
                let (mut start, mut end, mut acoustic): (c_int, c_int, i32) = (0, 0, 0);
                (self.api.ps_seg_frames)(iterator, &raw mut start, &raw mut end);
                let confidence = (!self.in_utterance).then(|| {
                    let log = (self.api.ps_seg_prob)(iterator, &raw mut acoustic, ptr::null_mut(), ptr::null_mut());
                    ((self.api.logmath_exp)(log_math, log) as f32).clamp(0.0, 1.0)
                });
                if !word.is_null() {
                    segments.push(Segment {
                        token: CStr::from_ptr(word).to_string_lossy().into_owned(),
                        start: u32::try_from(start).unwrap_or(0),
                        end: u32::try_from(end).unwrap_or(0),
                        confidence,
                        acoustic,
                    });
                }
                iterator = (self.api.ps_seg_next)(iterator);
            }
        }
        segments
    }

    /// Searches from now on for these dictionary entries, one after the other, with silence between them where there is some.
    pub fn expect(&mut self, tokens: &[String]) -> Result<(), EngineError> {
        let grammar = format!("#JSGF V1.0; grammar text; public <text> = {};", tokens.join(" "));
        let grammar = CString::new(grammar).map_err(|_| EngineError::Rejected("a word holds a zero byte".into()))?;
        // SAFETY: the strings live through the calls and the library copies them.
        unsafe {
            check("ps_set_jsgf_string", {
                (self.api.ps_set_jsgf_string)(self.decoder, TEXT_SEARCH.as_ptr(), grammar.as_ptr())
            })?;
            check("ps_set_search", (self.api.ps_set_search)(self.decoder, TEXT_SEARCH.as_ptr()))
        }
    }

    /// Decodes a whole utterance, normalised by its own mean.
    pub fn process_whole(&mut self, samples: &[i16]) -> Result<(), EngineError> {
        self.start()?;
        // SAFETY: the pointer and the length are one slice's.
        let frames = unsafe { (self.api.ps_process_raw)(self.decoder, samples.as_ptr(), samples.len(), 0, 1) };
        check("ps_process_raw", frames)?;
        self.end()
    }

    /// The cepstral mean that normalises what comes next.
    pub fn cepstral_mean(&self) -> Vec<f32> {
        let (cmn, size) = self.normaliser();
        let mut mean = vec![0.0; size];
        // SAFETY: the library writes exactly `cepsize` values.
        unsafe { (self.api.cmn_live_get)(cmn, mean.as_mut_ptr()) };
        mean
    }

    /// Sets the cepstral mean. It keeps adapting, and this one counts as five seconds of audio.
    pub fn set_cepstral_mean(&mut self, mean: &[f32]) -> Result<(), EngineError> {
        let (cmn, size) = self.normaliser();
        if mean.len() != size || mean.iter().any(|value| !value.is_finite()) {
            return Err(EngineError::Rejected(format!("a cepstral mean has {size} finite numbers")));
        }
        // SAFETY: the library reads exactly `cepsize` values.
        unsafe { (self.api.cmn_live_set)(cmn, mean.as_ptr()) };
        Ok(())
    }

    fn normaliser(&self) -> (*mut Cmn, usize) {
        // SAFETY: every decoder has a feature extractor for as long as it lives, and `Feat` is laid out as `feat_t`.
        let feat = unsafe { &*(self.api.ps_get_feat)(self.decoder) };
        (feat.cmn_struct, usize::try_from(feat.cepsize).unwrap_or(0))
    }

    /// How the dictionary says a word is pronounced, as phones parted by spaces.
    pub fn pronunciation(&self, word: &str) -> Option<String> {
        let word = CString::new(word).ok()?;
        // SAFETY: the string is owned by the caller and freed by the library's own function.
        unsafe {
            let phones = (self.api.ps_lookup_word)(self.decoder, word.as_ptr());
            if phones.is_null() {
                return None;
            }
            let text = CStr::from_ptr(phones).to_string_lossy().into_owned();
            (self.api.ckd_free)(phones.cast::<c_void>());
            Some(text)
        }
    }

    /// Adds a word to the language model, if there is one (`weight` times as likely as a word would be if all were equal), and
    /// the dictionary.
    /// The search knows it only after a call with `rebuild`, which costs 0.15 s.
    pub fn add_word(&mut self, token: &str, phones: &str, weight: f32, rebuild: bool) -> Result<(), EngineError> {
        let text = |s: &str| CString::new(s).map_err(|_| EngineError::Rejected("a word holds a zero byte".into()));
        let (token, phones) = (text(token)?, text(phones)?);
        // SAFETY: the strings live through the calls and the library copies them. The language model comes first: a word
        // that it lacks when the dictionary gets it is given the weight 1.
        let id = unsafe {
            let model = (self.api.ps_get_lm)(self.decoder, DEFAULT_SEARCH.as_ptr());
            if !model.is_null() {
                (self.api.ngram_model_add_word)(model, token.as_ptr(), weight);
            }
            (self.api.ps_add_word)(self.decoder, token.as_ptr(), phones.as_ptr(), c_int::from(rebuild))
        };
        check("ps_add_word", id)
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: both are valid or null and are not used again; the decoder holds a reference to the configuration.
        unsafe {
            if !self.decoder.is_null() {
                (self.api.ps_free)(self.decoder);
            }
            if !self.config.is_null() {
                (self.api.cmd_ln_free_r)(self.config);
            }
        }
    }
}

fn check(function: &str, result: c_int) -> Result<(), EngineError> {
    if result < 0 { Err(EngineError::Failed(format!("{function} returned {result}"))) } else { Ok(()) }
}
