//! Finds libcrypto_mb.a, which the package `ipp-crypto-static` brings. Without it there is nothing to link, and no
//! error: the crate is then one that never has lanes.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const ARCHIVE: &str = "libcrypto_mb.a";
/// Names the folder of the archive, for builds without Python packages.
const FOLDER: &str = "CRYPTO_MB_LIB_DIR";

const LOCATE: &str = "\
from importlib.metadata import distribution
found = distribution('ipp-crypto-static')
print(*(found.locate_file(f).resolve().parent for f in found.files if f.name == 'libcrypto_mb.a'))
";

fn main() {
    println!("cargo::rustc-check-cfg=cfg(crypto_mb)");
    for name in [FOLDER, "PYO3_PYTHON", "VIRTUAL_ENV", "PYTHONPATH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let target = ["ARCH", "OS", "ENV"].map(|part| {
        let told = env::var(format!("CARGO_CFG_TARGET_{part}"));
        told.unwrap_or_default()
    });
    if target != ["x86_64", "linux", "gnu"] {
        return;
    }
    let Some(folder) = given().or_else(of_python) else {
        println!("cargo::warning={ARCHIVE} is not here: signatures are verified one by one");
        return;
    };
    println!("cargo::rerun-if-changed={}", folder.join(ARCHIVE).display());
    println!("cargo::rustc-link-search=native={}", folder.display());
    println!("cargo::rustc-link-lib=static=crypto_mb");
    println!("cargo::rustc-cfg=crypto_mb");
}

fn given() -> Option<PathBuf> {
    with_archive(env::var_os(FOLDER)?.into())
}

/// Asks the Python that the extension is built for: its environment is the one that the build requirements are in.
fn of_python() -> Option<PathBuf> {
    let python = env::var_os("PYO3_PYTHON").map_or_else(of_environment, PathBuf::from);
    let answer = Command::new(python).args(["-c", LOCATE]).output().ok()?;
    let folder = String::from_utf8(answer.stdout).ok()?;
    with_archive(folder.trim().into())
}

fn of_environment() -> PathBuf {
    let folder = env::var_os("VIRTUAL_ENV").map(|folder| Path::new(&folder).join("bin/python"));
    folder.unwrap_or_else(|| "python3".into())
}

fn with_archive(folder: PathBuf) -> Option<PathBuf> {
    folder.join(ARCHIVE).is_file().then_some(folder)
}
