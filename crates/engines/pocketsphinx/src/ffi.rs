//! The part of the PocketSphinx C API that is used here, found in the shared library at run time.
//!
//! Signatures are those of `pocketsphinx.h`, `ps_search.h`, `cmd_ln.h`, `err.h`, `feat.h`, `cmn.h`, `logmath.h`, `ckd_alloc.h`
//! and `ngram_model.h` of version 5prealpha (Debian's `libpocketsphinx3`), whose shared library has the name
//! `libpocketsphinx.so.3`. It depends on `libsphinxbase.so.3`, so one handle resolves the symbols of both.

use std::ffi::{c_char, c_double, c_float, c_int, c_void};
use std::path::Path;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

/// `ps_decoder_t`, only ever behind a pointer.
#[repr(C)]
pub struct PsDecoder {
    _opaque: [u8; 0],
}

/// `cmd_ln_t`, only ever behind a pointer.
#[repr(C)]
pub struct CmdLn {
    _opaque: [u8; 0],
}

/// `ps_seg_t`, only ever behind a pointer.
#[repr(C)]
pub struct PsSeg {
    _opaque: [u8; 0],
}

/// `ngram_model_t`, only ever behind a pointer.
#[repr(C)]
pub struct NgramModel {
    _opaque: [u8; 0],
}

/// `logmath_t`, only ever behind a pointer.
#[repr(C)]
pub struct LogMath {
    _opaque: [u8; 0],
}

/// `cmn_t`, only ever behind a pointer.
#[repr(C)]
pub struct Cmn {
    _opaque: [u8; 0],
}

/// The head of `feat_t`, a public structure of `feat.h`, as far as the pointer that is wanted.
#[repr(C)]
pub struct Feat {
    _refcount: c_int,
    _name: *const c_char,
    /// Components of one cepstral vector, and so of the mean.
    pub cepsize: i32,
    _n_stream: i32,
    _stream_len: *const u32,
    _window_size: i32,
    _n_sv: i32,
    _sv_len: *const u32,
    _subvecs: *const *const i32,
    _sv_buf: *const c_float,
    _sv_dim: i32,
    _cmn: c_int,
    _varnorm: i32,
    _agc: c_int,
    _compute_feat: Option<unsafe extern "C" fn()>,
    /// The state of cepstral mean normalisation.
    pub cmn_struct: *mut Cmn,
}

macro_rules! symbols {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions, each with the signature of its C declaration, and the library that holds them.
        pub struct Api {
            $($(#[$doc])* pub $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
            /// Unloading would leave the pointers above dangling; the field keeps it loaded as long as they are.
            _library: Library,
        }

        impl Api {
            /// Loads the library and resolves every symbol, or names the one that is missing.
            ///
            /// # Safety
            /// The file must be PocketSphinx 5prealpha: its initialisers run, and the signatures are taken on trust.
            pub unsafe fn load(path: &Path) -> Result<Self, libloading::Error> {
                // SAFETY: the caller vouches for the file; NOW reports a missing dependency here and not mid-stream.
                let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL)? };
                Ok(Self {
                    // SAFETY: the field's type is the C declaration's, and the library is kept beside it.
                    $($name: unsafe { *library.get(concat!(stringify!($name), "\0").as_bytes())? },)*
                    _library: library,
                })
            }
        }
    };
}

symbols! {
    /// The options a decoder knows, for `cmd_ln_parse_r`.
    fn ps_args() -> *const c_void;
    /// `argv` must outlive the configuration.
    fn cmd_ln_parse_r(*mut CmdLn, *const c_void, i32, *mut *mut c_char, i32) -> *mut CmdLn;
    fn cmd_ln_free_r(*mut CmdLn) -> c_int;
    /// A null stream silences the library.
    fn err_set_logfp(*mut libc::FILE);
    /// Retains the configuration.
    fn ps_init(*mut CmdLn) -> *mut PsDecoder;
    fn ps_free(*mut PsDecoder) -> c_int;
    /// Sets the clock to zero and forgets the noise floor.
    fn ps_start_stream(*mut PsDecoder) -> c_int;
    fn ps_start_utt(*mut PsDecoder) -> c_int;
    /// Data, samples, no_search, full_utt.
    fn ps_process_raw(*mut PsDecoder, *const i16, usize, c_int, c_int) -> c_int;
    fn ps_end_utt(*mut PsDecoder) -> c_int;
    fn ps_seg_iter(*mut PsDecoder) -> *mut PsSeg;
    /// Frees the iterator when it returns null.
    fn ps_seg_next(*mut PsSeg) -> *mut PsSeg;
    fn ps_seg_word(*mut PsSeg) -> *const c_char;
    fn ps_seg_frames(*mut PsSeg, *mut c_int, *mut c_int);
    /// Log posterior; acoustic, language and back-off scores through the pointers, each of which may be null.
    fn ps_seg_prob(*mut PsSeg, *mut i32, *mut i32, *mut i32) -> i32;
    fn ps_get_logmath(*mut PsDecoder) -> *mut LogMath;
    fn logmath_exp(*mut LogMath, c_int) -> c_double;
    fn ps_get_feat(*mut PsDecoder) -> *mut Feat;
    fn cmn_live_get(*mut Cmn, *mut c_float);
    fn cmn_live_set(*mut Cmn, *const c_float);
    /// The caller frees the string with `ckd_free`.
    fn ps_lookup_word(*mut PsDecoder, *const c_char) -> *mut c_char;
    fn ckd_free(*mut c_void);
    /// Word, phones, whether to rebuild the search now.
    fn ps_add_word(*mut PsDecoder, *const c_char, *const c_char, c_int) -> c_int;
    /// The grammar's one public rule becomes a search of this name, with optional silence between its words.
    fn ps_set_jsgf_string(*mut PsDecoder, *const c_char, *const c_char) -> c_int;
    fn ps_set_search(*mut PsDecoder, *const c_char) -> c_int;
    fn ps_get_lm(*mut PsDecoder, *const c_char) -> *mut NgramModel;
    /// The weight is relative to the uniform distribution over all words.
    fn ngram_model_add_word(*mut NgramModel, *const c_char, c_float) -> i32;
}
