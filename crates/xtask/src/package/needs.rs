//! What the program needs of a machine: the packages of the libraries that it names, and the oldest C library that has all
//! that it calls.

use std::path::Path;

use crate::program::{self, Outcome};

/// Packages in Debian's words. A library that is not known here is an error: a package that lacks it would not start.
pub(super) fn packages(program: &Path) -> Outcome<String> {
    let named = program::output(program::command(["objdump", "-p"]).arg(program))?;
    let called = program::output(program::command(["objdump", "-T"]).arg(program))?;
    let libc = newest_called(&called).ok_or("the program calls no C library")?;
    let mut packages = vec![format!("libc6 (>= {}.{})", libc.0, libc.1)];
    for library in libraries(&named) {
        match library {
            "libc.so.6" | "libm.so.6" | "libdl.so.2" | "libpthread.so.0" | "ld-linux-x86-64.so.2" => {}
            "libgcc_s.so.1" => packages.push("libgcc-s1 (>= 4.2)".into()),
            other => return Err(format!("do not know which package {other} is in")),
        }
    }
    Ok(packages.join(", "))
}

fn libraries(named: &str) -> impl Iterator<Item = &str> {
    named.lines().filter_map(|line| line.trim().strip_prefix("NEEDED")).map(str::trim)
}

/// The newest version of the C library whose symbols are called.
fn newest_called(called: &str) -> Option<(u32, u32)> {
    let versions = called.split("GLIBC_").skip(1).filter_map(|rest| {
        let mut numbers = rest.split(|sign: char| !sign.is_ascii_digit());
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    });
    versions.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_symbol_says_which_c_library_is_needed() {
        let called = "0000 DF *UND* 0000 (GLIBC_2.2.5) free\n0000 DF *UND* 0000 (GLIBC_2.34) dlsym\n (GLIBC_2.9) pipe2";
        assert_eq!(newest_called(called), Some((2, 34)));
        assert_eq!(newest_called("nothing"), None);
    }

    #[test]
    fn libraries_are_read_from_the_program_s_header() {
        let named =
            "Dynamic Section:\n  NEEDED               libgcc_s.so.1\n  NEEDED               libc.so.6\n  INIT 0x1\n";
        assert_eq!(libraries(named).collect::<Vec<_>>(), ["libgcc_s.so.1", "libc.so.6"]);
    }
}
