//! Prints .env.example. `make docs` puts it in its place.

fn main() {
    print!("{}", dalston::config::env_example());
}
