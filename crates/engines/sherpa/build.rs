//! Lets the tests find the shared libraries where the build of `sherpa-onnx` puts them: beside the programs, a folder
//! above the tests. What is linked in a library's own build does not reach those who use it.

fn main() {
    if std::env::var_os("CARGO_FEATURE_NATIVE").is_some() {
        println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/..");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
