//! Lets the program find the shared libraries of sherpa-onnx beside itself, where their build puts them (tests are a
//! folder below). What a library's own build tells the linker does not reach the program.

fn main() {
    if std::env::var_os("CARGO_FEATURE_SHERPA").is_some() {
        println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN:$ORIGIN/..");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
