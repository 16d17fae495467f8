//! `chunk-cost WAY CHUNKS`: traces so many chunks in one way and prints how many allocations they made on this thread.
//!
//! Two runs under callgrind with different numbers of chunks give the instructions of one chunk: what the start and the end
//! of the process cost is in both.

use anyhow::Context;
use dalston_benches::counting::Counting;
use dalston_benches::way::Way;
use dalston_benches::work::Work;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What is lazily made at the first spans is made before the count begins.
const WARM_UP: u64 = 100;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (name, chunks) = arguments.next().zip(arguments.next()).context("usage: chunk-cost WAY CHUNKS")?;
    let way = Way::from_name(&name).with_context(|| {
        let names: Vec<String> = Way::ALL.into_iter().map(Way::name).collect();
        format!("{name:?} is none of {}", names.join(" | "))
    })?;
    let chunks: u64 = chunks.parse().context("CHUNKS is a number")?;

    let work = Work::new();
    let mut session = way.open()?;
    session.chunks(&work, WARM_UP);
    println!("{}", Counting::during(|| session.chunks(&work, chunks)));
    Ok(())
}
