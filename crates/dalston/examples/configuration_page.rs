//! Prints docs/configuration.md. `make docs` puts it in its place.

fn main() {
    print!("{}", dalston::config::reference_page());
}
