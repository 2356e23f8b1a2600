//! Writes the fuzzer's first inputs, made from the contract's samples: a folder for each target.

use std::path::PathBuf;

use keypool_properties::{envelope_seeds, request_seeds};

fn main() -> std::io::Result<()> {
    let corpus = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "tests/fuzz/corpus".into()));
    for (target, seeds) in [("request", request_seeds()), ("envelope", envelope_seeds())] {
        let folder = corpus.join(target);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("sample-{number}")), seed)?;
        }
    }
    Ok(())
}
