//! This machine's run of the kernel.

use std::io;

/// A name that is new whenever the machine starts (not when it wakes).
pub fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_run_of_the_kernel_has_a_name() {
        let id = super::boot_id().unwrap();
        assert_eq!((id.len(), &id), (36, &super::boot_id().unwrap()));
    }
}
